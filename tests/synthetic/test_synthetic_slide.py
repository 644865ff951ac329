"""Synthetic whole smears: truth that fits the pixels, windows that fit each other, zones and faults."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from reddino.foundations.errors import RedDinoError
from reddino.synthetic.patients import draw_patient
from reddino.synthetic.random_sources import named_source
from reddino.synthetic.whole_slide.bank import paint_bank
from reddino.synthetic.whole_slide.layout import MONOLAYER, THICK, draw_layout
from reddino.synthetic.whole_slide.pixels import SlidePixels
from reddino.synthetic.whole_slide.populate import populate
from reddino.synthetic.whole_slide.slide_file import SlideSettings, write_slide

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
