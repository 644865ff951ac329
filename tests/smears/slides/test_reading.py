"""Files that other programs wrote are read back as they were written: any rectangle, any level, the scale."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from slide_files import (
    Pixels,
    smear,
    write_czi,
    write_dicom,
    write_grey_czi,
    write_lif,
    write_pyramid,
    write_zarr,
)

from reddino.smears.decode import decode_bytes, decode_image, image_size, read_header, sharpest_plane
from reddino.smears.failures import ImageError
from reddino.smears.slides.names import SlidePart
from reddino.smears.slides.opening import open_reader, opened

SMEAR = smear(1300, 900)
#: Left, top, width and height, in pixels of a level: within a tile, across tiles, at the borders, all of it.
RECTANGLES = [(10, 20, 100, 50), (200, 100, 301, 257), (0, 0, 1, 1), (0, 0, 600, 400)]


def tiff(compression: str | None = None, **options: Any) -> Callable[[Path], tuple[Path, list[Pixels]]]:
    def write(folder: Path) -> tuple[Path, list[Pixels]]:
        import tifffile

        path = folder / "slide.btf"
        write_pyramid(path, SMEAR, compression=compression, **options)
        return path, [tifffile.imread(path, key=level) for level in range(3)]

    return write


def planar(folder: Path) -> tuple[Path, list[Pixels]]:
    """Red, green and blue have tiles of their own."""
    import tifffile

    path = folder / "slide.btf"
    options: dict[str, Any] = {
        "resolution": (40_000, 40_000),
        "resolutionunit": 3,
        "planarconfig": "separate",
        "metadata": None,
    }
    tifffile.imwrite(path, SMEAR.transpose(2, 0, 1), tile=(128, 128), photometric="rgb", **options)
    return path, [SMEAR]


def strips(folder: Path) -> tuple[Path, list[Pixels]]:
    """A picture in strips of many rows, of which the last is shorter."""
    import tifffile

    path = folder / "slide.btf"
    options: dict[str, Any] = {
        "resolution": (40_000, 40_000),
        "resolutionunit": 3,
        "metadata": None,
        "compression": "lzw",
    }
    tifffile.imwrite(path, SMEAR, rowsperstrip=37, photometric="rgb", predictor=True, **options)
    return path, [SMEAR]


def ome_tiff(folder: Path) -> tuple[Path, list[Pixels]]:
    """An OME-TIFF whose smaller levels are pages below its page."""
    import tifffile

    levels = [SMEAR, np.ascontiguousarray(SMEAR[::2, ::2])]
    path = folder / "slide.ome.btf"
    stated: dict[str, Any] = {
        "axes": "YXS",
        "PhysicalSizeX": 250.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 250.0,
    }
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as file:
        stated |= {"PhysicalSizeYUnit": "nm"}
        file.write(levels[0], subifds=1, tile=(128, 128), photometric="rgb", metadata=stated)
        file.write(levels[1], subfiletype=1, tile=(128, 128), photometric="rgb")
    return path, levels


def svs(folder: Path) -> tuple[Path, list[Pixels]]:
    pytest.importorskip("openslide", reason="openslide-python is not installed")
    import tifffile

    path = folder / "slide.svs"
    lines = "Aperio Image Library v11\r\n1300x900 (256x256) JPEG/RGB Q=90|AppMag = 40|MPP = 0.25"
    with tifffile.TiffWriter(path) as file:
        for level, pixels in enumerate((SMEAR, np.ascontiguousarray(SMEAR[::2, ::2]))):
            options: dict[str, Any] = {
                "photometric": "rgb",
                "compression": "jpeg",
                "metadata": None,
                "description": lines,
            }
            file.write(pixels, tile=(256, 256), **options)
            if level == 0:  # a thumbnail follows the picture
                thumbnail = np.ascontiguousarray(SMEAR[::10, ::10])
                file.write(thumbnail, photometric="rgb", metadata=None, description=lines)
    return path, [tifffile.imread(path, key=key) for key in (0, 2)]


def dicom(*, jpeg: bool) -> Callable[[Path], tuple[Path, list[Pixels]]]:
    def write(folder: Path) -> tuple[Path, list[Pixels]]:
        pytest.importorskip("wsidicom", reason="wsidicom is not installed")
        files = write_dicom(folder / "slide", SMEAR, jpeg=jpeg)
        levels = [SMEAR, np.ascontiguousarray(SMEAR[::2, ::2])]
        if not jpeg:
            return files[0], levels
        openslide = pytest.importorskip("openslide", reason="openslide-python is not installed")
        with openslide.OpenSlide(str(files[0])) as slide:  # another reader of the same file
            return files[0], [
                np.array(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))
                for level in range(2)
            ]

    return write


def czi(folder: Path) -> tuple[Path, list[Pixels]]:
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed")
    write_czi(folder / "slide.czi", [SMEAR])
    return folder / "slide.czi", [SMEAR]


def zarr(version: int) -> Callable[[Path], tuple[Path, list[Pixels]]]:
    def write(folder: Path) -> tuple[Path, list[Pixels]]:
        pytest.importorskip("zarr", reason="zarr is not installed")
        return folder / "slide.zarr", write_zarr(folder / "slide.zarr", SMEAR, version=version)

    return write


def lif(folder: Path) -> tuple[Path, list[Pixels]]:
    pytest.importorskip("liffile", reason="liffile is not installed")
    write_lif(folder / "slide.lif", [SMEAR])
    return folder / "slide.lif", [SMEAR]


FORMATS: dict[str, Callable[[Path], tuple[Path, list[Pixels]]]] = {
    "tiff": tiff(),
    "tiff deflate": tiff("deflate", predictor=True),
    "tiff lzw": tiff("lzw", predictor=True),
    "tiff zstd": tiff("zstd"),
    "tiff packbits": tiff("packbits"),
    "tiff jpeg": tiff("jpeg"),
    "tiff jpeg 2000": tiff("jpeg2000"),
    "tiff webp": tiff("webp"),
    "tiff planar": planar,
    "tiff strips": strips,
    "bigtiff": tiff("deflate", bigtiff=True),
    "ome-tiff": ome_tiff,
    "svs": svs,
    "dicom": dicom(jpeg=False),
    "dicom jpeg": dicom(jpeg=True),
    "czi": czi,
    "zarr 2": zarr(2),
    "zarr 3": zarr(3),
    "lif": lif,
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_read__returns_what_was_written(tmp_path: Path, name: str) -> None:
    path, levels = FORMATS[name](tmp_path)
    with opened(path) as reader:
        assert reader.size == (1300, 900)
        assert reader.um_per_px == pytest.approx(0.25, rel=1e-4)
        assert len(reader.levels) >= len(levels)
        for level, pixels in enumerate(levels):
            assert reader.level_sizes[level] == pixels.shape[1::-1]
            for x, y, width, height in RECTANGLES:
                w, h = min(width, pixels.shape[1] - x), min(height, pixels.shape[0] - y)
                found = reader.read(x, y, w, h, level=level)
                assert found.dtype == np.uint8
                assert found.flags.c_contiguous
                np.testing.assert_array_equal(found, pixels[y : y + h, x : x + w])


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_decode_image__takes_parts_and_whole_files(tmp_path: Path, name: str) -> None:
    path, levels = FORMATS[name](tmp_path)
    part = str(SlidePart(path, None, (300, 200, 400, 250)))
    np.testing.assert_array_equal(decode_image(part), levels[0][200:450, 300:700])
    assert image_size(part) == (400, 250)
    if not path.name.endswith(".tif"):
        np.testing.assert_array_equal(decode_image(path), levels[0])
        assert image_size(path) == (1300, 900)
    header = read_header(part)
    assert (header.bits, header.planes) == (8, 1)


@pytest.mark.parametrize("name", ["tiff jpeg", "dicom", "czi", "svs", "zarr 2", "lif"])
def test_read__by_several_threads_is_that_of_one(tmp_path: Path, name: str) -> None:
    path, levels = FORMATS[name](tmp_path)
    places = [(x, y) for y in range(0, 800, 160) for x in range(0, 1200, 240)]

    def read(place: tuple[int, int]) -> Pixels:
        with opened(path) as reader:
            return reader.read(*place, 100, 100)

    with ThreadPoolExecutor(4) as pool:
        for (x, y), found in zip(places, pool.map(read, places), strict=True):
            np.testing.assert_array_equal(found, levels[0][y : y + 100, x : x + 100])


def test_opened__keeps_few_files_open_and_reads_from_all(tmp_path: Path) -> None:
    pictures = [smear(300, 280, seed) for seed in range(12)]
    for number, pixels in enumerate(pictures):
        write_pyramid(tmp_path / f"{number}.btf", pixels, levels=1)
    before = open_files()
    with opened(tmp_path / "0.btf") as first:
        for number, pixels in enumerate(pictures):
            np.testing.assert_array_equal(decode_image(tmp_path / f"{number}.btf"), pixels)
        assert open_files() - before <= 9
        np.testing.assert_array_equal(first.read(0, 0, 300, 280), pictures[0])
    assert open_files() - before <= 8


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_opened__reads_a_file_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.btf"
    for seed in (0, 1):
        pixels = smear(300, 280 + seed, seed)
        write_pyramid(path, pixels, levels=1)
        np.testing.assert_array_equal(decode_image(path), pixels)


@pytest.mark.parametrize("rectangle", [(1201, 0, 100, 100), (0, 801, 100, 100), (5000, 5000, 1, 1)])
def test_decode_image__refuses_a_rectangle_beyond_the_slide(
    tmp_path: Path, rectangle: tuple[int, int, int, int]
) -> None:
    path, _ = FORMATS["tiff"](tmp_path)
    part = str(SlidePart(path, None, rectangle))
    with pytest.raises(ImageError, match=r"slide\.btf::x") as caught:
        decode_image(part)
    assert str(caught.value.path) == part
    with pytest.raises(ImageError, match="1300 x 900"):
        image_size(part)


def test_read__refuses_what_would_take_too_much_memory(tmp_path: Path) -> None:
    path, _ = FORMATS["tiff"](tmp_path)
    with opened(path) as reader:
        reader.size, reader.level_sizes = (900_000, 900_000), ((900_000, 900_000),)
        with pytest.raises(ImageError, match="is too large"):
            reader.read(0, 0, 900_000, 900_000)


@pytest.mark.parametrize("words", ["x00-y0-w9-h9", "s01", "x0-y0", ""])
def test_decode_image__says_how_parts_are_spelled(tmp_path: Path, words: str) -> None:
    path, _ = FORMATS["tiff"](tmp_path)
    with pytest.raises(ImageError, match="names no part of its file; write ::x0-y0-w512-h512"):
        decode_image(f"{path}::{words}")


def test_scenes__are_named(tmp_path: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed")
    scenes = [smear(400, 300, 1), smear(350, 320, 2)]
    path = tmp_path / "two.czi"
    write_czi(path, scenes)
    for number, pixels in enumerate(scenes):
        np.testing.assert_array_equal(decode_image(f"{path}::s{number}"), pixels)
        part = SlidePart(path, number, (5, 6, 70, 80))
        np.testing.assert_array_equal(decode_image(str(part)), pixels[6:86, 5:75])
    with pytest.raises(ImageError, match=r"holds 2 scenes; name one, from two.czi::s0 on"):
        decode_image(path)
    with pytest.raises(ImageError, match=r"has 2 scene.s., counted from s0, and no scene s2"):
        decode_image(f"{path}::s2")


def test_images_of_a_lif__are_scenes(tmp_path: Path) -> None:
    pytest.importorskip("liffile", reason="liffile is not installed")
    scenes = [smear(400, 300, 1), smear(350, 320, 2)]
    write_lif(tmp_path / "two.lif", scenes)
    for number, pixels in enumerate(scenes):
        np.testing.assert_array_equal(decode_image(f"{tmp_path / 'two.lif'}::s{number}"), pixels)


def test_planes__the_sharpest_or_the_one_that_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed")
    import cv2

    sharp = SMEAR[:, :, 0]
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 3), np.uint8)
    path = tmp_path / "stack.czi"
    write_grey_czi(path, [[blurred, sharp, blurred]])
    assert read_header(path).planes == 3
    assert sharpest_plane(path) == 2
    np.testing.assert_array_equal(decode_image(path)[:, :, 1], sharp)
    np.testing.assert_array_equal(decode_image(path, plane=3)[:, :, 1], blurred)
    with pytest.raises(ImageError, match=r"has 3 plane.s. and no plane 4"):
        decode_image(path, plane=4)


def test_channels__are_colours_where_the_file_says_so(tmp_path: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed")
    channels = [[np.ascontiguousarray(SMEAR[:, :, colour])] for colour in (2, 0, 1)]
    named, unnamed = tmp_path / "named.czi", tmp_path / "unnamed.czi"
    write_grey_czi(named, channels, channel_names={0: "Blue", 1: "Red", 2: "Green"})
    np.testing.assert_array_equal(decode_image(named), SMEAR)
    write_grey_czi(unnamed, channels, channel_names={0: "DAPI", 1: "x", 2: "y"})
    with pytest.raises(ImageError, match=r"does not call red, green and blue \(DAPI, x, y\).*grey_channel"):
        decode_image(unnamed)
    np.testing.assert_array_equal(decode_image(unnamed, grey_channel=2)[:, :, 0], SMEAR[:, :, 0])
    with pytest.raises(ImageError, match=r"has 3 grey channel.s. and no channel 4"):
        decode_image(unnamed, grey_channel=4)


def test_decode_image__takes_a_grey_channel_of_microscope_files_alone(tmp_path: Path) -> None:
    Image.fromarray(SMEAR).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="is no microscope file, of which a grey_channel can be taken"):
        decode_image(tmp_path / "a.png", grey_channel=1)
    with pytest.raises(ImageError, match="is no microscope file"):
        decode_bytes("a.png", (tmp_path / "a.png").read_bytes(), grey_channel=1)


def test_pictures_of_phones__are_read(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    options: dict[str, Any] = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    heif.from_pillow(Image.fromarray(SMEAR)).save(tmp_path / "a.heic", **options)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.heic"), SMEAR)


def test_avif__is_read_by_pillow(tmp_path: Path) -> None:
    from PIL import features

    if not features.check("avif"):
        pytest.skip("Pillow was built without AVIF")
    Image.fromarray(SMEAR).save(tmp_path / "a.avif", quality=80)
    with Image.open(tmp_path / "a.avif") as picture:
        np.testing.assert_array_equal(decode_image(tmp_path / "a.avif"), np.array(picture.convert("RGB")))


def test_open_reader__names_a_label_as_what_it_is(tmp_path: Path) -> None:
    pytest.importorskip("wsidicom", reason="wsidicom is not installed")
    write_dicom(tmp_path, SMEAR, levels=1)
    label = write_dicom(tmp_path, SMEAR[:300, :300], levels=1, kind="LABEL")[0]
    with pytest.raises(ImageError, match="is the label of a slide, which is never read"):
        open_reader(label)
    with opened(tmp_path / "volume-0.dcm") as reader:
        assert reader.size == (1300, 900)
        assert dict(reader.about) == {"format": "DICOM", "scanner": "Maker Model", "objective": "40x"}
