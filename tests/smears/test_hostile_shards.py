"""Tar shards that other programs, or nobody honest, wrote: read right, or one sentence, in both readers."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from reddino.pretraining.data.shard_stream import ShardImage, stream_shard
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest, write_manifest
from reddino.smears.shard_pairs import pair
from reddino.smears.shard_rows import read_shard

PNG = cv2.imencode(".png", np.zeros((12, 16, 3), np.uint8))[1].tobytes()


def cell(x: float) -> bytes:
    return json.dumps([{"x": x, "y": 5, "w": 2, "h": 2, "label": f"at {x}"}]).encode()


def shard(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def read(path: Path) -> tuple[dict[str, list[float | None]], dict[str, str]]:
    """x of the cells of each member, and the reasons of failures by member ("" = the shard)."""
    failures = Failures()
    found = read_shard(path, failures)
    cells: dict[str, list[float | None]] = {}
    if found is not None:
        for name, x in zip(found.strings("path"), found.table["x"].to_pylist(), strict=True):
            cells.setdefault(name.split("::")[1], []).append(x)
    return cells, {name.partition("::")[2]: reason for name, reason in failures}


def streamed(path: Path, url: bool) -> tuple[dict[str, list[float | None]], dict[str, str]]:
    """As `read`, by the reader that `data pack` uses."""
    failures = Failures()
    images: list[ShardImage] = list(stream_shard(f"file://{path}" if url else str(path), failures))
    cells: dict[str, list[float | None]] = {
        one.path.split("::")[1]: [float(x) - 1 for x in one.centres[:, 0]] or [None] for one in images
    }
    return cells, {name.partition("::")[2]: reason for name, reason in failures}


Reader = Callable[[Path], tuple[dict[str, list[float | None]], dict[str, str]]]
READERS: dict[str, Reader] = {
    "embed": read,
    "pack": lambda path: streamed(path, url=False),
    "pack of a URL": lambda path: streamed(path, url=True),
}


@pytest.fixture(params=list(READERS))
def reader(request: pytest.FixtureRequest) -> Reader:
    return READERS[request.param]


def test_shards__names_with_dots_have_their_own_labels(tmp_path: Path, reader: Reader) -> None:
    names = ["smear_jpg.rf.1a", "smear_jpg.rf.2b", "p1_0.5mm", "p1_0.7mm", "a/17"]
    members = [
        one for x, name in enumerate(names) for one in ((f"{name}.png", PNG), (f"{name}.JSON", cell(x)))
    ]
    assert reader(shard(tmp_path / "s.tar", *members)) == (
        {f"{name}.png": [x] for x, name in enumerate(names)},
        {},
    )


def test_shards__labels_of_webdataset_go_by_the_first_dot(tmp_path: Path, reader: Reader) -> None:
    path = shard(tmp_path / "s.tar", ("17.rgb.png", PNG), ("17.json", cell(3)), ("18.png", PNG))
    assert reader(path) == ({"17.rgb.png": [3], "18.png": [None]}, {})


def test_shards__labels_of_two_images_or_of_none_are_named(tmp_path: Path, reader: Reader) -> None:
    path = shard(
        tmp_path / "s.tar",
        ("1.left.png", PNG),
        ("1.right.png", PNG),
        ("1.json", cell(1)),
        ("2.png", PNG),
        ("2.jpg", PNG),
        ("2.json", cell(2)),
        ("3.json", cell(3)),
        ("4_0.png", PNG),
        ("4_0.json", cell(4)),
        ("4_0.5mm.png", PNG),
    )
    cells, reasons = reader(path)
    assert cells == {
        "1.left.png": [None],
        "1.right.png": [None],
        "2.png": [None],
        "2.jpg": [None],
        "4_0.png": [4],
        "4_0.5mm.png": [None],
    }
    assert reasons == {
        "1.json": "labels not read: they could be of 1.left.png or 1.right.png",
        "2.json": "labels not read: they could be of 2.png or 2.jpg",
        "3.json": "labels not read: no image of the shard has the same name",
    }


def test_pair__needs_no_order() -> None:
    found = pair(["b.x.json", "a.json", "b.cls", "a.v1.png", "b.x.png", "a.v1.cls"])
    assert found.labels == {"a.v1.png": ["a.v1.cls"], "b.x.png": ["b.x.json"]}
    assert [name for name, _ in found.faults] == ["a.json", "b.cls"]


def test_shards__labels_that_stand_elsewhere_in_a_file_are_found(tmp_path: Path) -> None:
    path = shard(tmp_path / "s.tar", ("1.png", PNG), ("2.png", PNG), ("1.json", cell(1)), ("2.json", cell(2)))
    assert read(path) == streamed(path, url=False) == ({"1.png": [1], "2.png": [2]}, {})
    assert set(streamed(path, url=True)[1]) == {"1.json", "2.json"}


def test_shards__a_name_that_stands_there_twice_is_named(tmp_path: Path, reader: Reader) -> None:
    path = shard(tmp_path / "s.tar", ("1.png", PNG), ("./1.png", PNG), ("2.png", PNG))
    cells, reasons = reader(path)
    assert set(cells) == {"1.png", "2.png"} and "twice" in reasons["1.png"]


def test_shards__names_stay_inside(tmp_path: Path, reader: Reader) -> None:
    path = shard(
        tmp_path / "s.tar",
        ("../a.png", PNG),
        ("b/../../a.png", PNG),
        ("/etc/b.png", PNG),
        ("x/../c.png", PNG),
    )
    cells, reasons = reader(path)
    assert set(cells) == {"etc/b.png", "c.png"} and set(reasons) == {"../a.png"}
    if reader is read:
        written = read_shard(path, Failures())
        assert written is not None
        write_manifest(Manifest(written.table, path.parent), tmp_path / "elsewhere" / "m.csv")


def test_shards__a_name_that_is_no_text_is_named(tmp_path: Path, reader: Reader) -> None:
    path = shard(tmp_path / "s.tar", ("1.png", PNG), ("q.png", PNG))
    damage(path, 1, 0, b"\xff")
    cells, reasons = reader(path)
    assert set(cells) == {"1.png"} and reasons == {"\\udcff.png": "its name is not valid UTF-8"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_shards__links_and_devices_are_no_images(tmp_path: Path, reader: Reader, kind: bytes) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, type_ in (("1.png", tarfile.REGTYPE), ("2.png", kind)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = type_, "1.png", len(PNG) if name == "1.png" else 0
            tar.addfile(info, io.BytesIO(PNG))
    cells, reasons = reader(tmp_path / "s.tar")
    assert set(cells) == {"1.png"} and set(reasons) == {"2.png"}


def damage(path: Path, entry: int, at: int, value: bytes) -> None:
    """Overwrite bytes of the header of an entry (each is a header and one block), and make its sum right."""
    data = bytearray(path.read_bytes())
    block = -(-len(PNG) // 512) + 1
    start = entry * block * 512
    data[start + at : start + at + len(value)] = value
    data[start + 148 : start + 156] = b" " * 8
    data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    path.write_bytes(data)


SIZES = {
    "2 ** 87": b"\x80" + b"\x7f" * 11,
    "2 ** 63": b"\x80\0\0\0\x80" + b"\0" * 7,
    "2 ** 35": b"\x80\0\0\0\0\0\0\x08" + b"\0" * 4,
    "-1": b"\xff" * 12,
    "-512": b"\xff" * 10 + b"\xfe\0",
    "-1024": b"\xff" * 10 + b"\xfc\0",
    "-2 ** 87": b"\xff\x80" + b"\0" * 10,
    "no number": b"99999999999\0",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("entry", [0, 1])
@pytest.mark.parametrize("kind", [b"0", b"L", b"x", b"g", b"S", b"5", b"Z"])
def test_shards__sizes_that_cannot_be_end_in_a_sentence(
    tmp_path: Path, reader: Reader, size: str, entry: int, kind: bytes
) -> None:
    path = shard(tmp_path / "s.tar", ("1.png", PNG), ("2.png", PNG), ("3.png", PNG))
    damage(path, entry, 124, SIZES[size])
    damage(path, entry, 156, kind)
    cells, reasons = reader(path)
    assert set(cells) <= {"1.png", "2.png", "3.png"} and reasons
    assert entry == 0 or "1.png" in cells


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", ["-512", "-1024", "9" * 30, "1e9", "x", ""])
def test_shards__pax_sizes_that_cannot_be_end_in_a_sentence(
    tmp_path: Path, reader: Reader, size: str
) -> None:
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("1.png", "2.png"):
            info = tarfile.TarInfo(name)
            info.size = len(PNG)
            info.pax_headers = {"size": size} if name == "2.png" else {}
            tar.addfile(info, io.BytesIO(PNG))
    cells, reasons = reader(tmp_path / "s.tar")
    assert "1.png" in cells and (reasons or set(cells) == {"1.png", "2.png"})


@pytest.mark.timeout(20)
def test_shards__headers_without_end_end_in_a_sentence(tmp_path: Path, reader: Reader) -> None:
    long = shard(tmp_path / "long.tar", *[("././@LongLink", PNG)] * 3000)
    data = bytearray(long.read_bytes())
    header = bytearray(data[:512])
    header[156:157] = b"L"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    block = (-(-len(PNG) // 512) + 1) * 512
    for start in range(0, 3000 * block, block):
        data[start : start + 512] = header
    long.write_bytes(data)
    cells, reasons = reader(long)
    assert cells == {} and reasons
    with tarfile.open(tmp_path / "pax.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("1.png")
        info.size = 8_000_000
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "1.png"}
        tar.addfile(info, io.BytesIO(b"1" * 8_000_000))
    cells, reasons = reader(tmp_path / "pax.tar")
    assert cells == {} and reasons


@pytest.mark.timeout(20)
@pytest.mark.parametrize("length", [100, 512, 600, 1200, 2100])
def test_shards__that_are_cut_off_keep_what_came_before(tmp_path: Path, reader: Reader, length: int) -> None:
    path = shard(tmp_path / "s.tar", ("1.png", PNG), ("2.png", PNG), ("3.png", PNG))
    path.write_bytes(path.read_bytes()[:length])
    cells, reasons = reader(path)
    block = 512 + -(-len(PNG) // 512) * 512
    assert list(cells) == [f"{number + 1}.png" for number in range(length // block)] and reasons
