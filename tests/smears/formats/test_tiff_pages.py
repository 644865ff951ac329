"""Which page of a TIFF is the picture; and tags that lie about counts, places and links."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from reddino.smears.decode import (
    ImageError,
    PictureHeader,
    decode_bytes,
    decode_image,
    image_size,
    read_header,
)
from reddino.smears.opening import open_data

Array = np.ndarray[Any, Any]
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
SMALL = cv2.resize(PICTURE, (20, 16))
BLURRED = cv2.GaussianBlur(PICTURE, (0, 0), 3)
GREY = np.ascontiguousarray(PICTURE[:, :, 0])


def pages(path: Path, *several: tuple[Array, dict[str, Any]]) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for page, options in several:
            photometric = "rgb" if page.ndim == 3 else "minisblack"
            writer.write(page, **{"photometric": photometric, "metadata": None, **options})
    return path


def reason(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(path)
    with pytest.raises(ImageError):
        image_size(path)
    return caught.value.reason


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        (SMALL, {"subfiletype": 1}),
        (SMALL, {}),
        (PICTURE, {"subfiletype": 1}),
        (GREY, {}),
        (np.zeros((200, 200, 3), np.uint8), {"description": "label"}),
        (np.zeros((200, 300, 3), np.uint8), {"description": "Aperio Image Library v1\nmacro 300x200"}),
        (np.zeros((200, 300), np.bool_), {"subfiletype": 4}),
    ],
)
def test_decode_image__takes_the_picture_and_not_its_neighbours(
    tmp_path: Path, first: bool, other: tuple[Array, dict[str, Any]]
) -> None:
    both = [other, (PICTURE, {})] if first else [(PICTURE, {}), other]
    path = pages(tmp_path / "a.tif", *both)
    np.testing.assert_array_equal(decode_image(path), PICTURE)
    assert image_size(path) == (80, 64)
    header = read_header(path)
    assert header == PictureHeader(8, None, 1, others=1, rivals=header.rivals)


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        ((SMALL, {}), "thumbnails passed over"),
        ((PICTURE, {"subfiletype": 1}), "thumbnails passed over"),
        ((np.zeros((200, 200, 3), np.uint8), {"description": "label"}), "thumbnails passed over"),
        ((PICTURE[:60], {}), "pages passed over"),
        ((GREY, {}), "pages passed over"),
    ],
)
def test_open_data__counts_pages_that_are_not_read(
    tmp_path: Path, other: tuple[Array, dict[str, Any]], kind: str
) -> None:
    pages(tmp_path / "a.tif", (PICTURE, {}), other)
    [finding] = open_data(tmp_path).findings
    assert (finding.kind, finding.count, finding.harmless) == (kind, 1, kind.startswith("thumb"))
    assert finding.first == "a.tif (1 page not read)"


def test_decode_image__refuses_colours_that_were_saved_as_columns(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PICTURE, photometric="minisblack")
    assert "stores its colours as columns (shape [64, 80, 3])" in reason(tmp_path / "a.tif")


def test_decode_image__finds_the_picture_below_a_thumbnail(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(SMALL, photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        writer.write(PICTURE, photometric="rgb", metadata=None)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.tif"), PICTURE)
    pages(tmp_path / "b.tif", (SMALL, {"subfiletype": 1}))
    assert "holds no picture" in reason(tmp_path / "b.tif")


@pytest.mark.parametrize("sharp", [0, 1, 2])
def test_decode_image__takes_the_sharpest_plane_or_the_one_that_is_named(tmp_path: Path, sharp: int) -> None:
    pictures = [PICTURE if number == sharp else BLURRED + number for number in range(3)]
    path = pages(tmp_path / "a.tif", *((plane, {}) for plane in pictures))
    np.testing.assert_array_equal(decode_image(path), PICTURE)
    for number, plane in enumerate(pictures, 1):
        np.testing.assert_array_equal(decode_image(path, plane=number), plane)
    for wrong in (0, 4):
        with pytest.raises(ImageError, match=f"no plane {wrong}"):
            decode_image(path, plane=wrong)
    assert read_header(path).planes == 3


RAMPS = [
    np.stack([np.arange(256) * (channel == n) for n in range(3)]).astype(np.uint8) for channel in range(3)
]
COLOURS = [-16776961, 16711935, 65535]  # red, green and blue, as OME writes them


def ome(path: Path, data: Array, axes: str, **metadata: Any) -> Path:
    photometric = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(path, data, ome=True, photometric=photometric, metadata={"axes": axes, **metadata})
    return path


def imagej(path: Path, data: Array, axes: str, **metadata: Any) -> Path:
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": axes, **metadata})
    return path


def test_decode_image__reads_ome_and_imagej_colours(tmp_path: Path) -> None:
    apart = np.ascontiguousarray(np.moveaxis(PICTURE, 2, 0))
    for path in (
        ome(tmp_path / "1.tif", PICTURE, "YXS"),
        ome(tmp_path / "2.tif", apart, "CYX", Channel={"Color": COLOURS}),
        ome(tmp_path / "3.tif", apart[[2, 0, 1]], "CYX", Channel={"Color": [COLOURS[n] for n in (2, 0, 1)]}),
        imagej(tmp_path / "4.tif", PICTURE, "YXS"),
        imagej(tmp_path / "5.tif", apart, "CYX", LUTs=RAMPS, mode="composite"),
        imagej(tmp_path / "6.tif", apart[[1, 2, 0]], "CYX", LUTs=[RAMPS[n] for n in (1, 2, 0)]),
    ):
        np.testing.assert_array_equal(decode_image(path), PICTURE, err_msg=path.name)


@pytest.mark.parametrize("order", ["ZCYX", "CZYX"])
def test_decode_image__reads_stacks_of_ome_and_imagej(tmp_path: Path, order: str) -> None:
    stack = np.stack([np.moveaxis(one, 2, 0) for one in (BLURRED, PICTURE, BLURRED)])
    if order == "CZYX":
        stack = np.ascontiguousarray(stack.swapaxes(0, 1))
    files = [ome(tmp_path / "a.tif", stack, order, Channel={"Color": COLOURS})]
    if order == "ZCYX":
        files.append(imagej(tmp_path / "b.tif", stack, order, LUTs=RAMPS))
    for path in files:
        np.testing.assert_array_equal(decode_image(path), PICTURE)
        np.testing.assert_array_equal(decode_image(path, plane=3), BLURRED)
        assert read_header(path).planes == 3


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_decode_image__refuses_channels_that_nobody_calls_red_green_and_blue(
    tmp_path: Path, channels: int
) -> None:
    data = np.stack([GREY] * channels)
    for path in (
        ome(tmp_path / "a.tif", data, "CYX"),
        ome(tmp_path / "b.tif", data, "CYX", Channel={"Name": ["DAPI", "FITC", "TRITC", "Cy5"][:channels]}),
        imagej(tmp_path / "c.tif", data, "CYX"),
        imagej(tmp_path / "d.tif", data, "CYX", LUTs=[RAMPS[0]] * channels),
    ):
        assert f"{channels} channels" in reason(path)
    tifffile.imwrite(tmp_path / "e.tif", data, photometric="minisblack", metadata={"axes": "CYX"})
    assert f"{channels} channels" in reason(tmp_path / "e.tif")


def test_decode_image__refuses_points_in_time_and_scenes(tmp_path: Path) -> None:
    data = np.stack([GREY] * 3)
    for path in (ome(tmp_path / "a.tif", data, "TYX"), imagej(tmp_path / "b.tif", data, "TYX")):
        assert "3 points in time" in reason(path)
    with tifffile.TiffWriter(tmp_path / "c.ome.tif", ome=True) as writer:
        for _ in range(2):
            writer.write(PICTURE, photometric="rgb", metadata={"axes": "YXS"})
    assert "2 pictures of one size" in reason(tmp_path / "c.ome.tif")


def test_decode_image__takes_the_picture_of_an_ome_pyramid(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(PICTURE, photometric="rgb", subifds=1, metadata={"axes": "YXS"})
        writer.write(PICTURE[::2, ::2], photometric="rgb", subfiletype=1)
        writer.write(SMALL, photometric="rgb", metadata={"axes": "YXS"})
    np.testing.assert_array_equal(decode_image(tmp_path / "a.ome.tif"), PICTURE)


def test_decode_image__refuses_planes_that_lie_elsewhere(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.tif", np.stack([GREY] * 3), "ZYX")
    data = path.read_bytes()
    more = data.replace(b'SizeZ="3"', b'SizeZ="9"')
    assert more != data
    path.write_bytes(more)
    assert "other files" in reason(path)
    stored = np.stack([GREY] * 3)
    tifffile.imwrite(
        tmp_path / "b.tif", stored, photometric="minisblack", metadata={"axes": "ZYX"}, truncate=True
    )
    assert "under one page" in reason(tmp_path / "b.tif")
    tifffile.imwrite(tmp_path / "c.tif", stored, imagej=True, metadata={"axes": "ZYX"}, truncate=True)
    assert "save each as a page" in reason(tmp_path / "c.tif")


def test_decode_image__takes_the_depth_that_ome_states(tmp_path: Path) -> None:
    deep = (GREY.astype(np.uint16) * 16)[:, :, None].repeat(3, axis=2)
    for bits, depth in ((12, 12), (16, None)):
        path = ome(tmp_path / "a.tif", deep, "YXS", SignificantBits=bits)
        assert read_header(path) == PictureHeader(16, depth, 1)


@pytest.mark.parametrize(
    "xml",
    [
        "<OME><Image><Pixels SizeX='80' SizeY='64' SizeC='1' SizeZ='999999999' SizeT='1'/></Image></OME>",
        "<OME><Image><Pixels SizeX='80' SizeY='64' SizeC='1' SizeZ='1e9' SizeT='1'/></Image></OME>",
        "<OME><Image><Pixels SizeX='80'/></Image></OME>",
        "<OME></OME>",
        "<OME><Image>",
        "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><OME>&b;</OME>",
        "<OME>" + "<a>" * 100_000,
        "<OME><Image><Pixels SizeX='80' SizeY='64' SizeC='1' SizeZ='1' SizeT='1'>"
        "<TiffData IFD='77'/></Pixels></Image></OME>",
        "<OME><Image><Pixels SizeX='80' SizeY='64' SizeC='1' SizeZ='1' SizeT='1' DimensionOrder='XYZ'/>"
        "</Image></OME>",
    ],
)
def test_decode_image__refuses_hostile_ome_in_one_sentence(tmp_path: Path, xml: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, description=xml, metadata=None)
    assert len(reason(tmp_path / "a.tif")) < 400


def plain() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, PICTURE, photometric="rgb", metadata=None, rowsperstrip=8)
    return file.getvalue()


def place_of(data: bytes | bytearray, tag: int) -> int:
    """Where the entry of a tag lies in a little-endian TIFF of one page."""
    start: int = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    entries = [start + 2 + 12 * number for number in range(count)]
    return next(place for place in entries if struct.unpack("<H", data[place : place + 2])[0] == tag)


def changed(tag: int, **fields: int) -> bytes:
    """The file of `plain` with another type, count or value in the entry of a tag."""
    data = bytearray(plain())
    place = place_of(data, tag)
    for name, value in fields.items():
        at, form = {"kind": (2, "<H"), "count": (4, "<I"), "value": (8, "<I")}[name]
        struct.pack_into(form, data, place + at, value)
    return bytes(data)


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 278, 279, 284])
@pytest.mark.parametrize("field", ["kind", "count", "value"])
@pytest.mark.parametrize("number", [0, 1, 2, 0xFFFF, 2**31, 2**32 - 1])
def test_decode_bytes__survives_tags_that_lie(tag: int, field: str, number: int) -> None:
    data = changed(tag, **{field: min(number, 0xFFFF) if field == "kind" else number})
    try:
        decoded = decode_bytes("a", data)
    except ImageError as error:
        assert "\n" not in error.reason
    else:
        # A tag may lie harmlessly, such as a count of strips that holds all of them and more.
        assert decoded.shape[2] == 3 and decoded.size <= PICTURE.size


def test_decode_bytes__refuses_pages_in_a_loop_and_without_end() -> None:
    data = bytearray(plain())
    start: int = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    with pytest.raises(ImageError, match="form a loop"):
        decode_bytes("a", bytes(data))
    struct.pack_into("<H", data, start, 0xFFFF)
    with pytest.raises(ImageError, match="65535 tags"):
        decode_bytes("a", bytes(data))
    struct.pack_into("<I", data, 4, 2**32 - 1)
    with pytest.raises(ImageError, match="truncated"):
        decode_bytes("a", bytes(data))


def test_decode_bytes__refuses_a_stack_of_too_many_planes_unless_one_is_named() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for number in range(300):
            writer.write(np.full((4, 4), number % 256, np.uint8), photometric="minisblack", metadata=None)
    with pytest.raises(ImageError, match="300 planes; name one"):
        decode_bytes("a", file.getvalue())
    assert decode_bytes("a", file.getvalue(), plane=200)[0, 0, 0] == 199
