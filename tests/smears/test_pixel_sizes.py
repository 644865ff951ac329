"""The size of a pixel: by the manifest, else by the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tifffile
from slide_files import smear, write_pyramid

from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data
from reddino.smears.pixel_sizes import pixel_sizes, require_pixel_sizes, stated_um_per_px

SMEAR = smear(120, 90)

STATED: dict[str, tuple[dict[str, Any], float | None]] = {
    "centimetres": ({"resolution": (40_000, 40_000), "resolutionunit": 3}, 0.25),
    "inches": ({"resolution": (254_000, 254_000), "resolutionunit": 2}, 0.1),
    "of a screen": ({"resolution": (72, 72), "resolutionunit": 2}, None),
    "of a film scanner": ({"resolution": (2400, 2400), "resolutionunit": 2}, None),
    "of paper": ({"resolution": (300, 300), "resolutionunit": 2}, None),
    "without a unit": ({"resolution": (4, 4), "resolutionunit": 1}, None),
    "nothing": ({}, None),
    "imagej": ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, 0.25),
    "ome": ({"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}}, 0.5),
}


@pytest.mark.parametrize("name", sorted(STATED))
def test_stated_um_per_px__reads_the_tags_of_a_tiff(tmp_path: Path, name: str) -> None:
    options, expected = STATED[name]
    tifffile.imwrite(tmp_path / "a.tif", SMEAR, photometric="rgb", **options)
    found = stated_um_per_px(tmp_path / "a.tif")
    assert found == (None if expected is None else pytest.approx(expected))


def test_pixel_sizes__the_manifest_goes_before_the_file(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", SMEAR, levels=1)
    write_pyramid(tmp_path / "b.tif", SMEAR, levels=1)
    table = pa.table({"path": ["a.tif", "b.tif", "absent.png"], "um_per_px": ["0.3", None, None]})
    found = pixel_sizes(Manifest(table, tmp_path))
    np.testing.assert_allclose(found.um, [0.3, 0.25, np.nan], rtol=1e-6)
    assert found.sentence() == (
        "a pixel is 0.25 to 0.3 um, of 1 picture by the column um_per_px and of 1 picture by their files"
    )


def test_pixel_sizes__of_regions_are_by_their_file(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", smear(4200, 200), levels=2)
    found = pixel_sizes(open_data(tmp_path / "a.tif"))
    assert found.sentence() == "a pixel is 0.25 um, of 3 pictures by their files"


def test_require_pixel_sizes__names_the_first_picture_without_one(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.png", "b.png", "c.png"], "um_per_px": ["0.3", None, None]})
    with pytest.raises(RedDinoError, match=r"b\.png has none \(2 pictures have none in all\)"):
        require_pixel_sizes(Manifest(table, tmp_path))


@pytest.mark.parametrize("value", ["0", "-1", "nm", "250", "inf"])
def test_pixel_sizes__refuse_what_is_no_size(tmp_path: Path, value: str) -> None:
    table = pa.table({"path": ["a.png"], "um_per_px": [value]})
    with pytest.raises(RedDinoError, match=r"row 1 \(a\.png\), column um_per_px: '.*' is no size of a pixel"):
        pixel_sizes(Manifest(table, tmp_path))


def test_pixel_sizes__refuse_two_of_one_picture(tmp_path: Path) -> None:
    table = pa.table(
        {"path": ["a.png", "a.png"], "x": [1.0, 2.0], "y": [1.0, 2.0], "um_per_px": ["0.1", "0.2"]}
    )
    with pytest.raises(RedDinoError, match=r"has um_per_px 0\.2, and 0\.1 in another row"):
        pixel_sizes(Manifest(table, tmp_path))


_PIXELS = (
    '<{0}Image ID="Image:0"><{0}Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="120" '
    'SizeY="90" SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.25" '
    'PhysicalSizeXUnit="{1}"><{0}Channel ID="Channel:0" '
    'SamplesPerPixel="3"/><{0}TiffData IFD="0" PlaneCount="1"/></{0}Pixels></{0}Image>'
)
OME_XML = {
    "with a prefix": f'<ome:OME xmlns:ome="urn:ome">{_PIXELS.format("ome:", "um")}</ome:OME>',
    "after a long comment": f'<!--{"word " * 900}--><OME xmlns="urn:ome">{_PIXELS.format("", "um")}</OME>',
    "with entities": f'<OME xmlns="urn:ome">{_PIXELS.format("", "&#181;m")}</OME>',
    "in apostrophes": f'<OME xmlns="urn:ome">{_PIXELS.format("", "um")}</OME>'.replace('"', "'"),
}


@pytest.mark.parametrize("name", sorted(OME_XML))
def test_stated_um_per_px__ome_goes_before_the_resolution(tmp_path: Path, name: str) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        SMEAR,
        photometric="rgb",
        description=OME_XML[name],
        metadata=None,
        resolution=(20_000, 20_000),
        resolutionunit=3,
    )
    assert stated_um_per_px(tmp_path / "a.tif") == pytest.approx(0.25)
