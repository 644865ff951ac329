"""The commands of search and tables: what they print, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_tables import write_stored

from reddino import cli


def test_search__prints_what_was_found_and_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_stored(tmp_path / "t")
    out = tmp_path / "hits.csv"
    given = ["search", str(tmp_path / "t"), "--like", "3", "--out", str(out)]
    assert cli.main([*given, "--where", "source!=lab0", "label=round", "--top", "5"]) == 0
    assert "hits.csv: 5 hits among 26 rows; every row was compared" in capsys.readouterr().out
    assert cli.main([*given, "--where", "slide=s5", "--top", "50"]) == 0
    assert "30 hits fewer than were requested" in capsys.readouterr().err
    given[3] = str(tmp_path / "t")
    assert cli.main([*given, "--top", "1"]) == 0
    assert "120 hits of 120 queries among 120 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--at", "here"], "--at takes X,Y in pixels, such as 120,85, not 'here'"),
        (["--where", "slide"], "'slide' is no condition"),
        (["--like", "nothing.png"], "'nothing.png' is neither a picture"),
    ],
)
def test_search__ends_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    write_stored(tmp_path / "t")
    like = [] if "--like" in more else ["--like", "3"]
    out = str(tmp_path / "hits.csv")
    assert cli.main(["search", str(tmp_path / "t"), *like, "--out", out, *more]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "hits.csv").exists()


def test_table__commands_print_what_they_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_stored(tmp_path / "t")
    write_stored(tmp_path / "u", first=10, seed=1)
    table = str(tmp_path / "t")
    for given, words in (
        (["info", table], "reddino embed"),
        (["filter", table, "--where", "label!=", "--out", str(tmp_path / "f")], "f: 80 of 120 rows"),
        (["sample", table, "--rows", "9", "--out", str(tmp_path / "s")], "s: 9 of 120 rows (seed 0)"),
        (
            ["sample", table, "--rows", "50", "--whole", "slide", "--out", str(tmp_path / "w")],
            "w: 40 of 120 rows, all those of 2 values of slide (seed 0)",
        ),
        (["compact", table, "--out", str(tmp_path / "c")], "c: 120 rows in 1 part"),
        (
            ["merge", table, str(tmp_path / "u"), "--doubles", "drop", "--out", str(tmp_path / "m")],
            "m: 220 rows of 2 tables",
        ),
    ):
        assert cli.main(["table", *given]) == 0
        assert words in capsys.readouterr().out.replace("\n", "")
