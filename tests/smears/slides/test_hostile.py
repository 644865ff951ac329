"""Damaged and hostile files are refused in one sentence, soon, and without much memory."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slide_files import smear, write_czi, write_dicom, write_lif, write_pyramid, write_zarr

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures, ImageError
from reddino.smears.opening import open_data
from reddino.smears.slides.names import SLIDE_SUFFIXES
from reddino.smears.slides.opening import open_reader, opened

NOISE = np.random.default_rng(0).bytes(4000)
LIBRARIES = {
    ".svs": ("openslide", "reddino[slides]"),
    ".dcm": ("pydicom", "reddino[slides]"),
    ".nd2": ("nd2", "reddino[slides]"),
    ".lif": ("liffile", "reddino[slides]"),
    ".czi": ("pylibCZIrw", "reddino[slides-more]"),
    ".zarr": ("zarr", "reddino[slides-more]"),
    ".heic": ("pillow_heif", "reddino[heic]"),
}


@pytest.mark.parametrize("suffix", SLIDE_SUFFIXES)
@pytest.mark.parametrize("content", [b"", NOISE, b"II*\0" + NOISE, b"\xff\xd8\xff" + NOISE])
def test_decode_image__refuses_what_is_no_such_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        decode_image(path)
    assert caught.value.path == path


@pytest.mark.parametrize("suffix", SLIDE_SUFFIXES)
def test_decode_image__says_that_a_file_is_missing(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ImageError, match="the file does not exist"):
        decode_image(tmp_path / f"a{suffix}::x0-y0-w1-h1")


@pytest.mark.parametrize("suffix", sorted(LIBRARIES))
def test_decode_image__names_the_library_that_is_missing(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, install = LIBRARIES[suffix]
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(
        {".heic": b"\0\0\0\x18ftypheic", ".lif": b"\x70\0\0\0\0\0\0\0\x2a\0\0\0\0"}.get(suffix, b"x")
    )
    failures = Failures()
    with pytest.raises(RedDinoError, match="no image could be found"):
        open_data(path, failures)
    ((name, reason),) = failures
    assert name == str(path)
    assert reason.endswith(f"which needs a library: pip install '{install}'")


def replaced(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def set_tag(path: Path, number: int, value: int) -> None:
    """Set the value of a LONG or SHORT tag of the first page of a little-endian TIFF."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[start : start + 2])
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack("<H", data[entry : entry + 2])[0] == number:
            data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, value)
            path.write_bytes(data)
            return
    raise AssertionError(number)


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        (256, 2**31 - 1, "damaged|truncated"),
        (256, 0, "damaged|no pixels"),
        (257, 2**30, "damaged|truncated"),
        (322, 2**24, "damaged|too large|truncated"),
        (322, 0, "damaged"),
        (323, 0, "damaged"),
        (259, 65000, "compression"),
        (258, 64, "64-bit"),
        (277, 65535, "."),
        (262, 32803, "raw sensor values"),
    ],
)
def test_tiff__with_a_broken_tag_is_refused(tmp_path: Path, tag: int, value: int, words: str) -> None:
    path = tmp_path / "a.btf"
    write_pyramid(path, smear(700, 600), levels=1, compression="deflate")
    set_tag(path, tag, value)
    with pytest.raises(ImageError, match=words):
        decode_image(f"{path}::x0-y0-w512-h512")


def test_tiff__a_bomb_in_a_tile_is_not_unpacked(tmp_path: Path) -> None:
    """A tile of 256 x 256 pixels that would unpack to a gigabyte."""
    path = tmp_path / "a.btf"
    write_pyramid(path, np.zeros((256, 256, 3), np.uint8), levels=1)
    bomb = zlib.compress(bytes(2**28), 9)
    data = bytearray(path.read_bytes())
    place = len(data)
    path.write_bytes(bytes(data) + bomb)
    for tag, value in ((259, 8), (324, place), (325, len(bomb))):
        set_tag(path, tag, value)
    tracemalloc = pytest.importorskip("tracemalloc")
    tracemalloc.start()
    try:
        assert not decode_image(path).any()
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp"])
def test_tiff__a_tile_that_is_larger_than_its_tags_is_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.btf"
    write_pyramid(path, smear(512, 512), levels=1, compression=compression)
    set_tag(path, 256, 64)
    set_tag(path, 257, 64)
    set_tag(path, 322, 64)
    set_tag(path, 323, 64)
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        decode_image(path)


def test_tiff__a_cut_jpeg_tile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.btf"
    write_pyramid(path, smear(256, 256), levels=1, compression="jpeg")
    data = path.read_bytes()
    end = data.rindex(b"\xff\xd9")
    path.write_bytes(data[: end - 200] + bytes(202) + data[end + 2 :])
    with pytest.raises(ImageError, match="truncated"):
        decode_image(path)


WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {}


def written(name: str, library: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    def note(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        WRITERS[name] = library, write
        return write

    return note


@written("tiff", "tifffile")
def tiff(folder: Path) -> Path:
    write_pyramid(folder / "a.btf", smear(600, 500), compression="jpeg")
    return folder / "a.btf"


@written("svs", "openslide")
def svs(folder: Path) -> Path:
    write_pyramid(folder / "a.svs", smear(600, 500), compression="jpeg")
    return folder / "a.svs"


@written("dicom", "wsidicom")
def dicom(folder: Path) -> Path:
    return write_dicom(folder, smear(600, 500), levels=1)[0]


@written("czi", "pylibCZIrw")
def czi(folder: Path) -> Path:
    write_czi(folder / "a.czi", [smear(600, 500)])
    return folder / "a.czi"


@written("lif", "liffile")
def lif(folder: Path) -> Path:
    write_lif(folder / "a.lif", [smear(600, 500)])
    return folder / "a.lif"


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_cut_files__are_refused_or_whole(tmp_path: Path, name: str) -> None:
    """What is read of a cut file is what the whole one holds; anything else is refused in a sentence."""
    library, write = WRITERS[name]
    pytest.importorskip(library, reason=f"{library} is not installed")
    path = write(tmp_path)
    data, whole = path.read_bytes(), decode_image(path)
    for part in (0.01, 0.3, 0.6, 0.9, 0.99):
        path.write_bytes(data[: int(len(data) * part)])
        try:
            found = decode_image(path)
        except ImageError:
            continue
        np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_changed_files__raise_nothing_else(tmp_path: Path, name: str) -> None:
    library, write = WRITERS[name]
    pytest.importorskip(library, reason=f"{library} is not installed")
    path = write(tmp_path)
    data = path.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(40):
        changed = bytearray(data)
        for place in random.integers(0, min(len(data), 3000), 6).tolist():
            changed[place] = int(random.integers(0, 256))
        path.write_bytes(changed)
        try:
            with opened(path) as reader:
                reader.read(0, 0, min(50, reader.size[0]), min(50, reader.size[1]))
        except ImageError:
            continue


def test_dicom__a_claim_of_huge_sizes_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("wsidicom", reason="wsidicom is not installed")
    import pydicom

    path = write_dicom(tmp_path, smear(300, 300), levels=1)[0]
    data = pydicom.dcmread(path)
    data.TotalPixelMatrixColumns = data.TotalPixelMatrixRows = 2**31
    data.save_as(path)
    with pytest.raises(RedDinoError, match="no image could be found"):
        open_data(path)


def test_dicom__compressed_as_a_whole_is_not_unpacked(tmp_path: Path) -> None:
    pytest.importorskip("wsidicom", reason="wsidicom is not installed")
    import pydicom

    path = write_dicom(tmp_path, smear(300, 300), levels=1)[0]
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data.save_as(path)
    with pytest.raises(ImageError, match="compressed as a whole"):
        decode_image(path)


def test_dicom__pictures_of_another_kind_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("wsidicom", reason="wsidicom is not installed")
    path = write_dicom(tmp_path, smear(300, 300), levels=1)[0]
    replaced(path, b"1.2.840.10008.5.1.4.1.1.77.1.6", b"1.2.840.10008.5.1.4.1.1.77.1.4")
    with pytest.raises(ImageError, match="is a DICOM file, but no whole slide"):
        decode_image(path)


def zarr_array(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "0" / ".zarray").read_text())
    return found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filters": [{"id": "pickle"}]}, "codec pickle"),
        ({"compressor": {"id": "pickle"}}, "codec pickle"),
        ({"dtype": "|O"}, "samples of kind"),
        ({"dtype": "<f4"}, "samples of kind <f4"),
        ({"shape": [3, 2**40, 2**40]}, "damaged"),
        ({"shape": [3, 2**30, 2**30]}, "claims"),
        ({"chunks": [3, 2**20, 2**20]}, "chunks of"),
        ({"chunks": [1, 0, 256]}, "damaged"),
        ({"shape": "huge"}, "damaged"),
    ],
)
def test_zarr__metadata_are_checked_before_anything_is_unpacked(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    folder = tmp_path / "a.zarr"
    write_zarr(folder, smear(300, 280))
    (folder / ".zmetadata").unlink(missing_ok=True)
    (folder / "0" / ".zarray").write_text(json.dumps(zarr_array(folder) | changes))
    with pytest.raises(ImageError, match=words):
        decode_image(folder)


def test_zarr__a_level_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    folder = tmp_path / "a.zarr"
    write_zarr(folder, smear(300, 280))
    text = (folder / ".zattrs").read_text().replace('"path": "0"', '"path": "../secret"')
    (folder / ".zattrs").write_text(text)
    with pytest.raises(ImageError, match="a level of the OME-Zarr lies outside of it"):
        decode_image(folder)


def test_lif__xml_that_names_other_files_is_refused(tmp_path: Path) -> None:
    """Such are the XLIF files of Leica, under another name."""
    pytest.importorskip("liffile", reason="liffile is not installed")
    (tmp_path / "a.lif").write_text('<?xml version="1.0"?><LMSDataContainerHeader Version="2"/>')
    with pytest.raises(ImageError, match="is no LIF file of Leica"):
        open_reader(tmp_path / "a.lif")


def test_lif__entities_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("liffile", reason="liffile is not installed")
    text = '<!DOCTYPE a [<!ENTITY b "c">]><LMSDataContainerHeader Version="2"/>'.encode("utf-16-le")
    (tmp_path / "a.lif").write_bytes(struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(text) // 2) + text)
    with pytest.raises(ImageError, match="defines entities"):
        open_reader(tmp_path / "a.lif")


def test_tiff__stored_turned_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.btf"
    write_pyramid(path, smear(300, 280), levels=1, extratags=[(274, "H", 1, 6, True)])
    with pytest.raises(ImageError, match=r"is stored turned \(orientation 6\)"):
        decode_image(path)


def test_tiff__a_label_is_no_level(tmp_path: Path) -> None:
    import tifffile

    path, label = tmp_path / "a.btf", np.zeros((280, 300, 3), np.uint8)
    options: dict[str, Any] = {"photometric": "rgb", "tile": (128, 128), "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(smear(600, 560), **options)
        tiff.write(label, description="Aperio Image Library\r\nlabel 300x280", **options)
        tiff.write(label, description="macro", **options)
    with opened(path) as reader:
        assert reader.level_sizes == ((600, 560),)


def test_pixels_that_are_not_square__are_refused(tmp_path: Path) -> None:
    import tifffile

    options: dict[str, Any] = {"resolution": (40_000, 30_000), "resolutionunit": 3, "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "a.btf", smear(300, 280), tile=(128, 128), **options)
    with pytest.raises(ImageError, match=r"pixels of 0\.25 x 0\.3333 um, which are not square"):
        decode_image(tmp_path / "a.btf")
