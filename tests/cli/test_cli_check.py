"""`check`, and the short form that `embed`, `fit` and `evaluate` print once before they compute."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from reddino import cli
from reddino.cli import terminal

#: What one line of stderr says where a patient is of two sources.
SHORT = "reddino: the input shows: patient in several sources (8)"


@pytest.fixture
def two_cameras(tmp_path: Path) -> Path:
    """The manifest of eight patients, each with a picture of four cells from either of two cameras."""
    draw = np.random.default_rng(0)
    rows = ["path,source,patient,x,y,w,h,label,cell_diameter"]
    for number in range(16):
        # Coarse noise: nothing that a hash could take for another picture.
        coarse = draw.integers(0, 255, (12, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.resize(coarse, (96, 96)))
        source, patient = ("A", number) if number < 8 else ("B", number - 8)
        rows += [
            f"{number}.png,{source},p{patient},{x},40,20,20,{name},20"
            for x, name in ((10, "round"), (30, "long"), (50, "round"), (70, "long"))
        ]
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "m.csv"


def test_check__strict_fails_with_a_sentence_and_findings_go_to_a_file(
    two_cameras: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = two_cameras.with_name("findings.csv")
    assert cli.main(["check", str(two_cameras), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "1 finding (fingerprint" in shown.out
    assert shown.err == ""
    with out.open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert (found["kind"], found["count"]) == ("patient in several sources", "8")
    assert found["first"] == f"patient 'p0' of 'A' and 'B': {two_cameras}, line 2 (0.png)"

    assert cli.main(["check", str(two_cameras), "--strict", "--no-pictures"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--strict allows no finding, and there are: patient in several sources (8)" in line


def test_check__counts_pictures_that_cannot_be_used(
    two_cameras: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = two_cameras.with_name("only.csv")
    only.write_text("path,source\n0.png,A\n1.png,A\n2.png,A\n")
    assert cli.main(["check", str(only), "--strict"]) == 0
    for name in ("1", "2"):
        two_cameras.with_name(f"{name}.png").write_bytes(b"no picture")
    capsys.readouterr()
    assert cli.main(["check", str(only), "--strict"]) == 1
    assert "unusable (2)" in capsys.readouterr().err
    assert cli.main(["check", str(only), "--strict", "--no-pictures"]) == 0


def test_embed_evaluate_and_fit__say_once_what_is_odd(
    two_cameras: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = two_cameras.parent
    table = ["--model", "colour-histogram", "--out", str(folder / "t")]
    question = ["--folds", "2", "--resamples", "0"]
    commands = {
        "embed": ["embed", str(two_cameras), *table],
        "evaluate": ["evaluate", str(folder / "t"), *question],
        "evaluate what it embeds": [
            *("evaluate", "--models", "colour-histogram", "cell-size", "--data", str(two_cameras)),
            *("--tables", str(folder / "tables"), *question),
        ],
        "fit": ["fit", str(folder / "t"), "--out", str(folder / "c"), "--folds", "2"],
    }
    for name, command in commands.items():
        assert cli.main(command) == 0, name
        assert capsys.readouterr().err.count(SHORT) == 1, name


def test_join_sources__without_names_joins_all(two_cameras: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(two_cameras.with_name("t"))
    assert cli.main(["embed", str(two_cameras), "--model", "colour-histogram", "--out", table]) == 0
    for option, groups in (([], 16), (["--join-sources"], 8), (["--join-sources", "slide"], 16)):
        capsys.readouterr()
        assert cli.main(["evaluate", table, "--folds", "2", "--resamples", "0", *option]) == 0
        assert f"{groups} groups" in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
def test_check__fits_its_sentences_into_the_terminal(
    two_cameras: Path, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.OUT, "_width", width)
    assert cli.main(["check", str(two_cameras), "--no-pictures"]) == 0
    *tables, _ = capsys.readouterr().out.splitlines()
    assert max(map(len, tables)) <= width
    words = " ".join(line.split("│")[3].strip() for line in tables if line.count("│") == 4)
    assert "8 patients stand under several sources, and each is taken for a different patient" in words
