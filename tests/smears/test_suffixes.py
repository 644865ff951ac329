"""Files of a folder that seem to be pictures: read, or counted and named."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reddino
from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures
from reddino.smears.opening import open_data
from reddino.smears.readers.folders import read_class_folders, read_folder
from reddino.smears.suffixes import IMAGE_SUFFIXES, why_unread

READ = ["a.jpg", "b.JPG", "c.jfif", "d.JPE", "e.jpeg", "f.jpe"]
#: Names of formats that are not read at all, and of microscope files, which these are not.
NEVER = ["i.gif", "j.jp2", "m.dng", "o.zip", "p.tar.gz", "u.tif.gz", "v.mpo", "w.fits", "x.vsi"]
MICROSCOPES = ["g.heic", "h.HEIC", "k.svs", "l.czi", "n.avif", "q.dcm"]
UNREAD = [*NEVER, *MICROSCOPES]
NEITHER = ["r.txt", "s.csv", "Thumbs.db", "._a.jpg", ".hidden.heic", "zip", ".zip"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of JPEGs by many names."""
    (tmp_path / "f" / "deep").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "one.jpg")
    data = (tmp_path / "one.jpg").read_bytes()
    for name in (*READ, *UNREAD, *NEITHER, "deep/t.heif"):
        (tmp_path / "f" / name).write_bytes(data)
    return tmp_path / "f"


def names(failures: Failures) -> set[str]:
    return {Path(path).name for path, _ in failures}


def test_open_data__reads_every_name_of_a_jpeg_and_names_what_it_leaves_out(folder: Path) -> None:
    failures = Failures()
    manifest = open_data(folder, failures)
    assert sorted(manifest.strings("path")) == sorted(READ)
    assert names(failures) == {*UNREAD, "t.heif"}
    assert dict(failures)[str(folder / "i.gif")] == (
        "is a .gif picture, which is not read; save it as PNG, TIFF or JPEG"
    )
    assert dict(failures)[str(folder / "x.vsi")] == (
        "is a .vsi picture, which is not read; save its fields as PNG or TIFF"
    )
    assert dict(failures)[str(folder / "g.heic")] == "is no HEIC or AVIF picture"
    assert "unpack it" in dict(failures)[str(folder / "p.tar.gz")]


def test_readers__name_what_they_leave_out(folder: Path, tmp_path: Path) -> None:
    failures = Failures()
    listed = len(READ) + len(MICROSCOPES) + 1  # microscope files are opened when their manifest is
    assert len(read_folder(folder, failures=failures)) == listed
    assert names(failures) == set(NEVER)
    failures = Failures()
    assert len(read_class_folders(tmp_path, label="(?P<label>f)/", failures=failures)) == listed + 1
    assert names(failures) == set(NEVER)


def test_open_data__names_what_a_pattern_matches_and_leaves_out(folder: Path) -> None:
    failures = Failures()
    assert len(open_data(f"{folder}/*", failures)) == len(READ)
    assert names(failures) == {*UNREAD, "t.heif"}


def test_open_data__names_them_where_a_folder_holds_nothing_else(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "a.heic").write_bytes(b"heic")
    failures = Failures()
    with pytest.raises(RedDinoError, match=r"a\.heic \(is no HEIC or AVIF picture"):
        open_data(tmp_path / "phone", failures)


def test_embed__lists_them_in_its_failures(folder: Path, tmp_path: Path) -> None:
    report = reddino.embed(folder, "colour-histogram", tmp_path / "t", view="image", image_size=16)
    text = (tmp_path / "t" / "failures.csv").read_text()
    assert all(name in text for name in UNREAD)
    assert report is not None


def test_why_unread__gives_no_reason_for_what_is_read_or_is_not_a_picture() -> None:
    assert all(why_unread(f"a{suffix}") is None for suffix in IMAGE_SUFFIXES)
    assert all(why_unread(name) is None for name in NEITHER)


def test_open_data__names_what_a_shard_holds_and_is_not_read(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name in ("a.jpg", "c.jfif", "g.heic", ".hidden.heic", "r.txt"):
            tar.add(folder / name, arcname=f"deep/{name}")
    failures = Failures()
    manifest = open_data(tmp_path / "s.tar", failures)
    assert manifest.strings("path") == ["s.tar::deep/a.jpg", "s.tar::deep/c.jfif"]
    assert [reason for _, reason in failures] == [
        "is a .heic picture, which is not read; save it as PNG, TIFF or JPEG"
    ]
