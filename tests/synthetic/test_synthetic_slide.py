"""Synthetic whole smears: truth that fits the pixels, windows that fit each other, zones and faults."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import tifffile

from reddino.foundations.errors import RedDinoError
from reddino.smears.slides.opening import opened
from reddino.synthetic.choices import SlideFormat
from reddino.synthetic.patients import draw_patient
from reddino.synthetic.random_sources import named_source
from reddino.synthetic.whole_slide.bank import paint_bank
from reddino.synthetic.whole_slide.layout import MONOLAYER, THICK, draw_layout
from reddino.synthetic.whole_slide.pixels import Pixels, SlidePixels
from reddino.synthetic.whole_slide.populate import populate
from reddino.synthetic.whole_slide.settings import SlideSettings
from reddino.synthetic.whole_slide.slide_file import write_slide

SETTINGS = SlideSettings(2000, 1000, seed=4, bank=40)


def test_slide__is_a_tiled_pyramid_with_its_scale_and_truth(tmp_path: Path) -> None:
    truth = write_slide(tmp_path / "a.tif", SETTINGS)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        pages = [file.pages.get(number) for number in range(len(file.pages))]
        assert [page.shape for page in pages] == [(1000, 2000, 3), (250, 500, 3)]
        first = pages[0]
        assert isinstance(first, tifffile.TiffPage) and first.is_tiled
        above, below = first.tags["XResolution"].value
        assert above / below == 40_000
        pixels = first.asarray()
    clear = np.array([not fault for fault in truth["fault"].to_pylist()])
    x, y = (truth[name].to_numpy()[clear].astype(int) for name in ("cx", "cy"))
    # The middle of a body absorbs, the empty right edge does not.
    assert np.mean(pixels[y, x, 1] < 0.93 * np.median(pixels[:, -100:, 1])) > 0.9
    with np.load(tmp_path / "a.masks.npz") as masks:
        zones = masks["zones"]
    assert zones.shape == (32, 63)
    assert set(np.unique(zones)) == {0, 1, 2, 3}


def test_slide__follows_from_its_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_slide(tmp_path / f"{name}.tif", replace(SETTINGS, width=800, height=600))
    other = write_slide(tmp_path / "c.tif", replace(SETTINGS, width=800, height=600, seed=5))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert (tmp_path / "a.truth.parquet").read_bytes() != (tmp_path / "c.truth.parquet").read_bytes()
    assert other.num_rows


@pytest.fixture(scope="module")
def lossless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One slide as TIFF and as DICOM, both as it was drawn, and as DICOM in JPEG."""
    pytest.importorskip("wsidicom", reason="wsidicom is not installed")
    folder = tmp_path_factory.mktemp("lossless")
    small = replace(SETTINGS, width=900, height=600, um_per_px=0.23, lossless=True)
    write_slide(folder / "tiff.tif", small)
    write_slide(folder / "dicom", replace(small, format="dicom"))
    write_slide(folder / "jpeg", replace(small, format="dicom", lossless=False))
    return folder


def _levels(path: Path) -> list[Pixels]:
    with opened(path) as slide:
        assert slide.um_per_px == pytest.approx(0.23)
        return [slide.read(0, 0, *size, level=level) for level, size in enumerate(slide.level_sizes)]


def test_dicom__has_the_pixels_of_the_tiff(lossless: Path) -> None:
    drawn = _levels(lossless / "tiff.tif")
    assert [level.shape for level in drawn] == [(600, 900, 3), (150, 225, 3)]
    for level, same in zip(drawn, _levels(lossless / "dicom" / "level-0.dcm"), strict=True):
        np.testing.assert_array_equal(level, same)
    for level, near in zip(drawn, _levels(lossless / "jpeg" / "level-1.dcm"), strict=True):
        assert 0 < np.abs(level.astype(int) - near).mean() < 4


@pytest.mark.parametrize("name", ["dicom", "jpeg"])
def test_dicom__is_read_alike_by_other_programs(lossless: Path, name: str) -> None:
    import openslide
    import wsidicom

    ours = _levels(lossless / name / "level-0.dcm")
    with wsidicom.WsiDicom.open(lossless / name) as slide:
        assert (slide.mpp.width, slide.mpp.height) == pytest.approx((0.23, 0.23))
        assert [(level.size.width, level.size.height) for level in slide.levels] == [(900, 600), (225, 150)]
        for level, pixels in zip(slide.levels, ours, strict=True):
            read = slide.read_region((0, 0), level.level, (level.size.width, level.size.height))
            np.testing.assert_array_equal(np.asarray(read)[:, :, :3], pixels)
    with openslide.OpenSlide(lossless / name / "level-0.dcm") as slide:
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_X]) == pytest.approx(0.23)
        for number, size in enumerate(slide.level_dimensions):
            read = np.asarray(slide.read_region((0, 0), number, size))[:, :, :3].astype(int)
            # Two decoders of JPEG may differ by a rounding.
            assert np.abs(read - ours[number]).max() <= (0 if name == "dicom" else 4)


def test_dicom__follows_from_its_settings_and_names_no_patient(lossless: Path, tmp_path: Path) -> None:
    import pydicom

    small = replace(SETTINGS, width=900, height=600, um_per_px=0.23, format="dicom")
    write_slide(tmp_path / "again", small)
    for file in ("level-0.dcm", "level-1.dcm"):
        assert (tmp_path / "again" / file).read_bytes() == (lossless / "jpeg" / file).read_bytes()
    heads = [
        pydicom.dcmread(lossless / name / file, stop_before_pixels=True)
        for name in ("jpeg", "dicom")
        for file in ("level-0.dcm", "level-1.dcm")
    ]
    assert len({head.SeriesInstanceUID for head in heads}) == 2
    assert len({head.SOPInstanceUID for head in heads}) == 4
    assert all(head.PatientName == "" and head.PatientID == "" for head in heads)
    stored = (lossless / "jpeg" / "level-0.dcm").stat().st_size
    assert float(heads[0].LossyImageCompressionRatio) == pytest.approx(12 * 256 * 256 * 3 / stored, rel=0.05)
    assert "LossyImageCompressionRatio" not in heads[2] and heads[2].LossyImageCompression == "00"
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_windows__fit_each_other() -> None:
    source = replace(named_source("lilac"), cell_px=30.0)
    patient = draw_patient(1, "healthy")
    layout = draw_layout(300.0, 150.0, 1)
    bank = paint_bank(patient, source, 1, 20)
    bodies = populate(layout, bank, patient, 1, px_per_um=source.px_per_um)
    pixels = SlidePixels(layout, bank, bodies, source, 1)
    whole = pixels.window(0, 0, 600, 400).astype(int)
    parts = np.hstack([pixels.window(0, 0, 256, 400), pixels.window(256, 0, 344, 400)]).astype(int)
    assert np.abs(whole - parts).max() <= 2
    assert np.mean(whole != parts) < 0.02


def test_cells__lie_apart_in_the_monolayer_and_on_each_other_in_the_thick_part() -> None:
    source = replace(named_source("lilac"), cell_px=30.0)
    patient = draw_patient(1, "healthy")
    layout = draw_layout(1000.0, 500.0, 1, faults=False)
    bank = paint_bank(patient, source, 1, 30)
    bodies = populate(layout, bank, patient, 1, px_per_um=source.px_per_um)
    red = np.isin(bodies.stamp, bank.round)
    near = {}
    for zone in (THICK, MONOLAYER):
        mine = red & (bodies.zone == zone)
        places = np.column_stack([bodies.left, bodies.top])[mine].astype(float)
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        np.fill_diagonal(apart, np.inf)
        near[zone] = np.mean(apart.min(axis=1) < 0.8 * 30)
    assert near[MONOLAYER] < 0.12
    assert near[THICK] > 0.8


def test_slide__refuses_what_it_cannot_draw(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"ends in \.tif"):
        write_slide(tmp_path / "a.png", SETTINGS)
    with pytest.raises(RedDinoError, match="width of a slide"):
        write_slide(tmp_path / "a.tif", replace(SETTINGS, width=100))
    (tmp_path / "a.tif").touch()
    with pytest.raises(RedDinoError, match="exists"):
        write_slide(tmp_path / "a.tif", SETTINGS)
    for other, form in (("a.tiff", "tiff"), ("a", "dicom")):  # whose truth has the names of that of a.tif
        with pytest.raises(RedDinoError, match=r"a\.tif is another slide, whose truth"):
            write_slide(tmp_path / other, replace(SETTINGS, format=cast(SlideFormat, form)))
    with pytest.raises(RedDinoError, match="is tiff or dicom"):
        write_slide(tmp_path / "b", replace(SETTINGS, format=cast(SlideFormat, "svs")))
    with pytest.raises(RedDinoError, match=r"give it a name without \.dcm"):
        write_slide(tmp_path / "a.dcm", replace(SETTINGS, format="dicom"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(RedDinoError, match="exists"):
        write_slide(tmp_path / "folder", replace(SETTINGS, format="dicom"))
