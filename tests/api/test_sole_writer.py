"""Verbs that write a result alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reddino.api.sole_writer import sole_writer
from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import is_continued


@sole_writer(folders=("out",), files=("table",))
def verb(data: str, out: Path | None = None, table: str | None = None, **options: Any) -> list[bool]:
    """Return which results are continued."""
    inner = options.pop("inner", None)
    if inner is not None:
        inner()
    return [is_continued(Path(one)) for one in (out, table) if one is not None]


def test_sole_writer__refuses_a_second_call_into_the_same_folder_or_file(tmp_path: Path) -> None:
    def again_folder() -> None:
        verb("other", tmp_path / "out")

    def again_file() -> None:
        verb("other", table=str(tmp_path / "t.csv"))

    for inner in (again_folder, again_file):
        with pytest.raises(RedDinoError, match="another process is writing to"):
            verb("data", tmp_path / "out", str(tmp_path / "t.csv"), inner=inner)
    assert verb("data", tmp_path / "out", str(tmp_path / "t.csv")) == [False, False]
    assert verb("data") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "continued"), [({"seed": 1}, True), ({"seed": 2}, False), ({}, False)])
def test_sole_writer__knows_a_command_that_was_killed_by_all_that_it_was_given(
    tmp_path: Path, options: dict[str, int], continued: bool
) -> None:
    locks: list[str] = []
    lock = tmp_path / "out" / ".reddino.lock"
    verb("data", tmp_path / "out", inner=lambda: locks.append(lock.read_text()), seed=1)
    lock.parent.mkdir()
    lock.write_text(locks[0])  # as a killed process leaves it
    verbatim: dict[str, Any] = {"inner": lambda: None, **options}
    assert verb("data", tmp_path / "out", **verbatim) == [continued]


def test_sole_writer__removes_drafts_below_its_folder_and_beside_its_file(tmp_path: Path) -> None:
    drafts = [tmp_path / "out" / "model" / ".a.01234567.partial", tmp_path / ".t.csv.01234567.partial"]
    for draft in drafts:
        draft.mkdir(parents=True)
    verb("data", tmp_path / "out", str(tmp_path / "t.csv"))
    assert not any(draft.exists() for draft in drafts)
