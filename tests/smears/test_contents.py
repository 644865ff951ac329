"""Whether a picture is still what it was, by dates where they agree and by bytes where they do not."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.smears import contents
from reddino.smears.contents import (
    column_digests,
    file_state,
    is_unchanged,
    read_content,
    require_unchanged,
    what_changed,
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "a.bmp").write_bytes(b"first content")
    return tmp_path / "a.bmp"


def test_is_unchanged__reads_no_byte_where_the_dates_agree(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_content(picture)
    assert before is not None
    monkeypatch.setattr(contents, "read_content", lambda path: pytest.fail("read"))
    assert is_unchanged(picture, before)


def test_is_unchanged__recognises_a_copy_by_its_bytes(picture: Path) -> None:
    before = read_content(picture)
    assert before is not None
    shutil.copy(picture, picture.with_name("b"))
    os.replace(picture.with_name("b"), picture)  # noqa: PTH105
    os.utime(picture, (1, 1))
    assert file_state(picture) != before.state
    assert is_unchanged(picture, before)


@pytest.mark.parametrize("dates_set_back", [False, True])
def test_is_unchanged__sees_other_bytes_of_the_same_number(picture: Path, dates_set_back: bool) -> None:
    before = read_content(picture)
    assert before is not None
    picture.write_bytes(b"other content")
    if dates_set_back:
        os.utime(picture, ns=(before.state.modified, before.state.modified))
    assert not is_unchanged(picture, before)
    picture.unlink()
    assert not is_unchanged(picture, before)


def test_read_content__of_a_member_follows_its_own_bytes(tmp_path: Path) -> None:
    def pack(**members: bytes) -> None:
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            for name, data in members.items():
                (tmp_path / name).write_bytes(data)
                tar.add(tmp_path / name, name)

    pack(a=b"one", b=b"two")
    first, second = (read_content(tmp_path / f"s.tar::{name}") for name in "ab")
    assert first is not None and second is not None
    pack(a=b"one", b=b"owt")
    assert is_unchanged(tmp_path / "s.tar::a", first)
    assert not is_unchanged(tmp_path / "s.tar::b", second)
    assert read_content(tmp_path / "s.tar::c") is None


def test_read_content__reads_no_pipe_and_no_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert (
        read_content(tmp_path / "pipe") is read_content(tmp_path) is read_content(tmp_path / "none") is None
    )


def test_require_unchanged__names_a_picture_that_was_replaced_while_it_was_read(picture: Path) -> None:
    before = read_content(picture)
    require_unchanged(picture, before)
    picture.write_bytes(b"other content")
    with pytest.raises(RedDinoError, match=r"a\.bmp was changed while it was read"):
        require_unchanged(picture, before)


def test_column_digests__differ_by_value_and_not_by_how_it_is_stored() -> None:
    table = pa.table({"b": ["x", "", None], "a": pa.array([0.0, None, 1.0])})
    stored = pa.table({"a": pa.array([-0.0, None, 1.0]), "b": pa.chunked_array([["x"], [None, ""]])})
    assert column_digests(table) == column_digests(stored)
    other = column_digests(pa.table({"b": ["", "x", None], "a": pa.array([0.0, None, 1.0])}))
    assert other["b"] != column_digests(table)["b"] and other["a"] == column_digests(table)["a"]


def test_what_changed__names_every_column() -> None:
    assert what_changed({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "4", "d": "5"}) == (
        "column 'b' of the manifest, which changed, column 'c' of the manifest, which is gone, "
        "column 'd' of the manifest, which is new"
    )
    assert what_changed({"a": "1"}, {"a": "1"}) == ""
