"""How pictures are read: one bit depth for a source, the picture of a stack, recorded in the manifest."""

from __future__ import annotations

import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

import reddino
from reddino.embedding.table import read_embeddings
from reddino.figures.row_pictures import Pictures
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.image_cache import open_packed_cache
from reddino.rbc.found_cells import find_cells_in
from reddino.smears import readings
from reddino.smears.decode import ImageError, PictureHeader, decode_image, image_size, read_header
from reddino.smears.manifest import Manifest, read_manifest, write_manifest
from reddino.smears.opening import open_data
from reddino.smears.packs import read_pack
from reddino.smears.readings import Readings, settle_readings
from reddino.views.by_image import ViewsByImage
from reddino.views.spec import ViewSpec

Array = np.ndarray[Any, Any]


def field(brightest: int, seed: int = 0) -> Array:
    """(60, 60, 3) uint16 with values up to `brightest`."""
    values = np.random.default_rng(seed).integers(brightest // 2, brightest + 1, (60, 60, 3))
    return values.astype(np.uint16)


def saved(path: Path, values: Array, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        cv2.imwrite(str(path), values[..., ::-1])
    else:
        tifffile.imwrite(path, values, photometric="rgb", metadata=None, **options)
    return path


def kinds(manifest: Manifest) -> dict[str, int]:
    return {finding.kind: finding.count for finding in manifest.findings}


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """A folder of three fields of one 12-bit camera: an ordinary one, one with a hot pixel, and a dim one."""
    hot = field(4095, 1)
    hot[5, 5] = 65535
    saved(tmp_path / "camera" / "usual.tif", field(4095))
    saved(tmp_path / "camera" / "hot.tif", hot)
    saved(tmp_path / "camera" / "dim.png", field(250, 2))
    return tmp_path / "camera"


def views(manifest: Manifest) -> dict[str, Array]:
    opened = ViewsByImage(manifest, ViewSpec(kind="image", output=60))
    return {name: opened.open(number).pixels for number, name in enumerate(opened.names)}


def test_open_data__reads_a_source_by_one_depth(camera: Path) -> None:
    manifest = open_data(camera)
    assert manifest.numbers("bit_depth").tolist() == [12, 12, 12]
    seen = views(manifest)
    for name in ("usual.tif", "hot.tif", "dim.png"):
        path = camera / name
        stored = (
            tifffile.imread(path) if name != "dim.png" else np.asarray(cv2.imread(str(path), -1))[..., ::-1]
        )
        expected = np.minimum(np.rint(stored * (255 / 4095)), 255)
        np.testing.assert_array_equal(seen[name], expected)


def with_depth(path: Path, bits: int) -> None:
    """State in a PNG how many bits of its samples count (sBIT)."""
    data = path.read_bytes()
    chunk = b"sBIT" + bytes([bits] * 3)
    chunk = struct.pack(">I", 3) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[:33] + chunk + data[33:])


@pytest.mark.parametrize(("brightest", "depth"), [(4095, 12), (250, 12), (65535, 16)])
def test_open_data__a_png_may_state_its_bits_and_be_scaled_up(
    tmp_path: Path, brightest: int, depth: int
) -> None:
    for name, seed in (("a.png", 0), ("b.png", 1)):
        with_depth(saved(tmp_path / name, field(brightest, seed)), 12)
    manifest = open_data(tmp_path)
    assert manifest.numbers("bit_depth").tolist() == [depth, depth]
    expected = np.rint(field(brightest) * (255 / (2**depth - 1)))
    np.testing.assert_array_equal(views(manifest)["a.png"], expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_open_data__deep_samples_under_another_name_are_refused(tmp_path: Path, suffix: str) -> None:
    """They would be read as 16 bits, whatever their camera."""
    saved(tmp_path / f"a{suffix}", field(4095)).rename(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"16-bit samples, which a \.jpg file lacks"):
        views(open_data(tmp_path))
    assert decode_image(tmp_path / "a.jpg", bit_depth=12).max() == 255
    (tmp_path / "a.jpg").rename(tmp_path / "a")
    assert open_data(tmp_path / "a").numbers("bit_depth").tolist() == [12]


def test_open_data__reports_pictures_of_a_source_that_disagree(camera: Path) -> None:
    manifest = open_data(camera)
    assert kinds(manifest) == {
        "bit depth measured": 3,
        "bit depths differ": 1,
        "values above the bit depth": 1,
    }
    found = {finding.kind: finding for finding in manifest.findings}
    assert found["bit depths differ"].first == "dim.png"
    assert "8 bits in 1, 12 bits in 2" in found["bit depths differ"].message
    assert found["values above the bit depth"].first == "hot.tif"
    assert found["bit depth measured"].harmless


def test_open_data__measures_each_source_for_itself(tmp_path: Path) -> None:
    saved(tmp_path / "a" / "1.tif", field(4095))
    saved(tmp_path / "b" / "1.tif", field(60000))
    manifest = open_data([tmp_path / "a", tmp_path / "b"])
    assert dict(zip(manifest.strings("source"), manifest.numbers("bit_depth"), strict=True)) == {
        "a": 12,
        "b": 16,
    }
    assert kinds(manifest) == {"bit depth measured": 1}


def test_open_data__takes_the_depth_that_the_files_state(tmp_path: Path) -> None:
    stated = [(281, "H", 3, (1023,) * 3, True)]
    saved(tmp_path / "a" / "1.tif", field(250), extratags=stated)
    saved(tmp_path / "a" / "2.tif", field(200))
    manifest = open_data(tmp_path / "a")
    assert manifest.numbers("bit_depth").tolist() == [10, 10]
    assert not manifest.findings
    saved(tmp_path / "a" / "3.tif", field(250), extratags=[(281, "H", 3, (4095,) * 3, True)])
    manifest = open_data(tmp_path / "a")
    assert manifest.numbers("bit_depth").tolist() == [12, 12, 12]
    assert kinds(manifest) == {"bit depths differ": 1}


def test_open_data__the_manifest_decides(tmp_path: Path) -> None:
    saved(tmp_path / "1.tif", field(4095))
    (tmp_path / "m.csv").write_text("path,source,bit_depth\n1.tif,a,14\n")
    manifest = open_data(tmp_path / "m.csv")
    np.testing.assert_array_equal(views(manifest)["1.tif"], np.rint(field(4095) * (255 / (2**14 - 1))))
    assert not manifest.findings
    (tmp_path / "m.csv").write_text("path,source,bit_depth\n1.tif,a,14\n1.tif,a,12\n")
    with pytest.raises(RedDinoError, match=r"1\.tif has bit_depth 14 .* and 12"):
        open_data(tmp_path / "m.csv")
    saved(tmp_path / "2.tif", field(4095))
    (tmp_path / "m.csv").write_text("path,source,bit_depth\n1.tif,a,14\n2.tif,a,12\n")
    with pytest.raises(RedDinoError, match="source 'a' has bit_depth 12 and 14"):
        open_data(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("column", "value"), [("bit_depth", "7"), ("bit_depth", "12.5"), ("plane", "0"), ("plane", "x")]
)
def test_read_manifest__refuses_readings_that_make_no_sense(tmp_path: Path, column: str, value: str) -> None:
    (tmp_path / "m.csv").write_text(f"path,{column}\na.tif,{value}\n")
    with pytest.raises(RedDinoError, match=rf"m\.csv, line 2, column '{column}'"):
        read_manifest(tmp_path / "m.csv")


def test_open_data__leaves_ordinary_collections_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey = np.zeros((8, 8), np.uint8)
    for name in ("a.jpg", "b.jpg", "c.png"):
        cv2.imwrite(str(tmp_path / name), grey)
    opened: list[str] = []

    def noted(path: Path) -> PictureHeader:
        opened.append(path.name)
        return read_header(path)

    monkeypatch.setattr(readings, "read_header", noted)
    manifest = open_data(tmp_path)
    assert "bit_depth" not in manifest.table.column_names and not manifest.findings
    assert opened == ["c.png"]  # a JPEG has 8 bits whatever it says


def stack(path: Path, sharp: int, planes: int = 3) -> list[Array]:
    """A TIFF of focus planes, counted from 1, of which all but one are blurred."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    pages = [
        picture if n == sharp else cv2.GaussianBlur(picture, (0, 0), 2.0 + n) for n in range(1, planes + 1)
    ]
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, photometric="rgb", metadata=None)
    return pages


@pytest.mark.parametrize("sharp", [1, 2, 3])
def test_open_data__takes_the_sharpest_plane_and_notes_it(tmp_path: Path, sharp: int) -> None:
    pages = stack(tmp_path / "a.tif", sharp)
    manifest = open_data(tmp_path)
    assert manifest.numbers("plane").tolist() == [sharp]
    np.testing.assert_array_equal(views(manifest)["a.tif"], pages[sharp - 1])
    assert kinds(manifest) == {"several focus planes": 1}
    assert f"plane {sharp} of 3" in manifest.findings[0].message


def test_open_data__takes_the_plane_that_the_manifest_names(tmp_path: Path) -> None:
    pages = stack(tmp_path / "a.tif", 2)
    (tmp_path / "m.csv").write_text("path,plane\na.tif,3\n")
    manifest = open_data(tmp_path / "m.csv")
    np.testing.assert_array_equal(views(manifest)["a.tif"], pages[2])
    assert not manifest.findings
    (tmp_path / "m.csv").write_text("path,plane\na.tif,4\n")
    with pytest.raises(RedDinoError, match=r"has 3 plane\(s\) and no plane 4"):
        views(open_data(tmp_path / "m.csv"))


def test_find_cells_in__hands_on_how_pictures_are_read(tmp_path: Path) -> None:
    y, x = np.mgrid[0:200, 0:200]
    cells = np.full((200, 200), 3900, np.uint16)
    for cy in (50, 100, 150):
        for cx in (50, 100, 150):
            cells[(y - cy) ** 2 + (x - cx) ** 2 < 200] = 2000
    saved(tmp_path / "smear" / "a.tif", np.repeat(cells[..., None], 3, axis=2))
    found = find_cells_in(open_data(tmp_path / "smear"))
    assert len(found) and set(found.numbers("bit_depth")) == {12}
    write_manifest(found, tmp_path / "smear" / "cells.csv")
    again = read_manifest(tmp_path / "smear" / "cells.csv")
    assert set(again.numbers("bit_depth")) == {12}
    options = Readings(again.table).of("a.tif")
    assert options == {"bit_depth": 12}
    assert decode_image(tmp_path / "smear" / "a.tif", **options).max() == round(3900 * 255 / 4095)


def test_fingerprint__depends_on_how_pictures_are_read(tmp_path: Path) -> None:
    saved(tmp_path / "1.tif", field(4095))
    prints = set()
    for text in (
        "path\n1.tif\n",
        "path,bit_depth\n1.tif,12\n",
        "path,bit_depth\n1.tif,14\n",
        "path,plane\n1.tif,1\n",
    ):
        (tmp_path / "m.csv").write_text(text)
        prints.add(read_manifest(tmp_path / "m.csv").fingerprint())
    assert len(prints) == 4


def test_settle_readings__leaves_damaged_pictures_to_the_decoder(tmp_path: Path) -> None:
    saved(tmp_path / "1.tif", field(4095))
    data = (tmp_path / "1.tif").read_bytes()
    (tmp_path / "2.tif").write_bytes(data[:1000])
    (tmp_path / "3.tif").write_bytes(b"II*\0")
    manifest = settle_readings(open_data(tmp_path))
    assert manifest.numbers("bit_depth").tolist()[0] == 12
    assert len(manifest) == 3


def test_open_data__reads_the_headers_of_a_shard_alone(tmp_path: Path) -> None:
    stored = field(4095)
    saved(tmp_path / "a.tif", stored)
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((8, 8), np.uint8))
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name in ("b.png", "a.tif"):
            tar.add(tmp_path / name, arcname=name)
    manifest = open_data(tmp_path / "s.tar")
    assert manifest.strings("path") == ["s.tar::b.png", "s.tar::a.tif"]
    np.testing.assert_array_equal(manifest.numbers("bit_depth"), [np.nan, 12])
    np.testing.assert_array_equal(views(manifest)["s.tar::a.tif"], np.rint(stored * (255 / 4095)))
    assert image_size(tmp_path / "s.tar::a.tif") == (60, 60)


def test_pack__packs_what_the_other_verbs_see(camera: Path, tmp_path: Path) -> None:
    reddino.pack(camera, tmp_path / "pack")
    pack = read_pack(tmp_path / "pack")
    assert pack.numbers("bit_depth").tolist() == [12, 12, 12]
    cache = open_packed_cache(pack, None)
    seen = views(open_data(camera))
    for number, path in enumerate(pack.strings("path")):
        size = 60 * 60 * 3
        start = int(cache.index.offset[number])
        expected = seen[Path(path).name]
        np.testing.assert_array_equal(cache.pixels[start : start + size].reshape(60, 60, 3), expected)


def test_embed__carries_on_how_pictures_were_read(camera: Path, tmp_path: Path) -> None:
    said: list[str] = []
    reddino.embed(camera, "colour-histogram", tmp_path / "t", view="image", image_size=60, notice=said.append)
    table = read_embeddings(tmp_path / "t")
    assert table.numbers("bit_depth").tolist() == [12, 12, 12]
    assert len(said) == 1 and "bit depths differ (1)" in said[0]
    pictures = Pictures.of(table, camera).cut(np.arange(3), 60)
    seen = views(open_data(camera))
    for picture, path in zip(pictures, table.strings("path"), strict=True):
        np.testing.assert_array_equal(picture, seen[path])


def test_check__reports_depths_and_planes(camera: Path) -> None:
    stack(camera / "stack.tif", 2)
    found = {finding.kind: finding for finding in reddino.check(camera).findings}
    assert {"several focus planes", "bit depths differ", "values above the bit depth"} <= set(found)
    assert found["several focus planes"].first == "stack.tif"
