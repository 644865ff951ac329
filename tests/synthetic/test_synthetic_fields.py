"""Rendered fields: the same seed gives the same bytes, and the truth is where the pixels are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.synthetic.camera import render_field
from reddino.synthetic.morphologies import MORPHOLOGIES
from reddino.synthetic.patients import PROFILES, draw_patient
from reddino.synthetic.scene import Scene, make_scene
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.truth import boxes

SMALL = 50.0


@cache
def scene(seed: int = 3, profile: str = "thalassaemia") -> Scene:
    return make_scene(draw_patient(seed, profile), seed, width=SMALL, height=SMALL)


@cache
def picture(source: str, seed: int = 3, profile: str = "thalassaemia") -> NDArray[np.uint8]:
    return render_field(scene(seed, profile), SOURCES[source], seed)


def density(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Optical density of the green channel against the ground (the bright tail)."""
    green = rgb[..., 1].astype(float) + 1.0
    return np.asarray(-np.log(green / np.quantile(green, 0.9)))


def test_render_field__same_seed_same_bytes() -> None:
    again = make_scene(draw_patient(3, "thalassaemia"), 3, width=SMALL, height=SMALL)
    assert np.array_equal(render_field(again, SOURCES["lilac"], 3), picture("lilac"))


def test_render_field__another_seed_changes_the_photograph_but_not_the_cells() -> None:
    other = render_field(scene(), SOURCES["lilac"], 4)
    assert not np.array_equal(other, picture("lilac"))
    assert np.corrcoef(density(other).ravel(), density(picture("lilac")).ravel())[0, 1] > 0.9


def test_make_scene__differs_between_fields_slides_and_patients() -> None:
    patient = draw_patient(1, "healthy")
    first = make_scene(patient, 0)
    for other in (
        make_scene(patient, 1),
        make_scene(patient, 0, slide=1),
        make_scene(draw_patient(2, "healthy"), 0),
    ):
        assert [c.x for c in other.cells] != [c.x for c in first.cells]
    assert make_scene(patient, 1).slide == first.slide != make_scene(patient, 0, slide=1).slide


@pytest.mark.parametrize("source", SOURCES)
def test_boxes__frame_the_cells_in_the_picture(source: str) -> None:
    # the same photograph without any cell: what is darker than it is the cell
    empty = replace(scene(), cells=(), platelets=(), specks=(), white_cells=())
    ground = np.log(render_field(empty, SOURCES[source], 3)[..., 1] + 1.0)
    for index in range(0, len(scene().cells), 6):
        alone = replace(empty, cells=(scene().cells[index],))
        found = boxes(alone, SOURCES[source], visible=1.0)
        if not found:
            continue
        dye = ground - np.log(render_field(alone, SOURCES[source], 3)[..., 1] + 1.0)
        dark = dye > 0.4 * np.quantile(dye[dye > 0.5 * dye.max()], 0.5)
        ys, xs = np.nonzero(dark)
        low_x, high_x = np.quantile(xs, [0.01, 0.99])
        low_y, high_y = np.quantile(ys, [0.01, 0.99])
        box = found[0]
        slack = 0.14 * SOURCES[source].cell_px
        assert low_x == pytest.approx(box.x, abs=slack)
        assert low_y == pytest.approx(box.y, abs=slack)
        assert high_x == pytest.approx(box.x + box.w, abs=slack)
        assert high_y == pytest.approx(box.y + box.h, abs=slack)


@pytest.mark.parametrize("source", SOURCES)
def test_boxes__hold_more_dye_than_the_ground_between_them(source: str) -> None:
    rgb = picture(source)
    dye = density(rgb)
    inside = np.zeros(dye.shape, dtype=bool)
    for box in boxes(scene(), SOURCES[source], bystanders=True, visible=0.0):
        inside[int(box.y) : int(box.y + box.h) + 1, int(box.x) : int(box.x + box.w) + 1] = True
    for box in boxes(scene(), SOURCES[source]):
        core = dye[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)]
        assert np.quantile(core, 0.7) > np.quantile(dye[~inside], 0.8), box


def test_boxes__scale_with_the_source_and_name_the_same_cells() -> None:
    fine, coarse = SOURCES["cream"], SOURCES["phone"]
    a, b = boxes(scene(), fine), boxes(scene(), coarse)
    assert [(x.cell, x.label) for x in a] == [(x.cell, x.label) for x in b]
    ratio = fine.cell_px / coarse.cell_px
    assert np.array([x.w for x in a]) / np.array([x.w for x in b]) == pytest.approx(ratio, rel=0.01)
    assert np.array([x.y for x in a]) == pytest.approx(np.array([x.y for x in b]) * ratio, rel=0.01)
    height, width = picture("cream").shape[:2]
    assert all(x.x >= 0 and x.y >= 0 and x.x + x.w <= width and x.y + x.h <= height for x in a)


def test_boxes__leave_out_what_the_edge_cuts_and_add_bystanders_on_request() -> None:
    source = SOURCES["lilac"]
    everything = boxes(scene(), source, visible=0.0)
    whole = boxes(scene(), source, visible=1.0)
    assert 0 < len(whole) < len(everything)
    assert {b.label for b in everything} <= set(MORPHOLOGIES)
    extra = boxes(make_scene(draw_patient(5, "myelofibrosis"), 2), source, bystanders=True)
    assert {b.label for b in extra} - set(MORPHOLOGIES) == {"white cell", "platelet"}


def test_render_field__overlaps_are_darker_than_either_cell() -> None:
    base = replace(scene(), platelets=(), specks=(), white_cells=())
    cell = next(c for c in base.cells if c.morphology == "normal")
    left, right = cell.moved(22.0, 25.0), cell.moved(27.0, 25.0)
    dye = density(render_field(replace(base, cells=(left, right)), SOURCES["cream"], 0))
    px = SOURCES["cream"].px_per_um

    def at(x: float) -> float:
        return float(
            np.median(dye[int(24.2 * px) : int(25.8 * px), int((x - 0.3) * px) : int((x + 0.3) * px)])
        )

    assert at(24.5) > 1.5 * max(at(20.0), at(29.0))


def test_sources__a_colour_histogram_separates_them() -> None:
    def histogram(source: str, seed: int) -> NDArray[np.float64]:
        """Cumulative, so that a shift by a bin is a small distance."""
        rgb = picture(source, seed, "healthy")
        return np.concatenate(
            [np.cumsum(np.histogram(rgb[..., c], 32, (0, 256))[0]) / rgb[..., c].size for c in range(3)]
        )

    known = [(source, histogram(source, seed)) for source in SOURCES for seed in (1, 4, 5)]
    named = []
    for source, seed in ((source, seed) for source in SOURCES for seed in (2, 6)):
        unseen = histogram(source, seed)
        distances = [float(np.abs(seen - unseen).sum()) for _, seen in known]
        named.append(known[int(np.argmin(distances))][0] == source)
    # one in eight would be right by chance
    assert np.mean(named) > 0.6


def test_sources__differ_more_than_twofold_in_scale() -> None:
    sizes = [source.cell_px for source in SOURCES.values()]
    assert max(sizes) / min(sizes) > 2.0
    assert len(SOURCES) >= 6


def test_draw_patient__mixes_follow_the_disease_and_differ_between_patients() -> None:
    sickle = MORPHOLOGIES.index("sickle")
    ill = [draw_patient(seed, "sickle cell disease").mix[sickle] for seed in range(20)]
    well = [draw_patient(seed, "healthy").mix[sickle] for seed in range(20)]
    assert min(ill) > 0.02 > np.mean(well)
    assert np.std(ill) > 0.03
    assert all(sum(draw_patient(0, name).mix) == pytest.approx(1.0) for name in PROFILES)


def test_draw_patient__refuses_an_unknown_profile() -> None:
    with pytest.raises(RedDinoError, match="gout"):
        draw_patient(0, "gout")
