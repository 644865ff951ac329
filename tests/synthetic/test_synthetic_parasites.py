"""Hard parasites have the size that names their stage; cells with look-alikes are labelled as red cells."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import label, regionprops
from sklearn.metrics import roc_auc_score

from reddino.foundations.errors import RedDinoError
from reddino.synthetic.canvas import BLUE, CHROMATIN, HAEMOGLOBIN, PX_PER_UM, REFRACTION
from reddino.synthetic.cells import Mark
from reddino.synthetic.infection import HOSTS, infected
from reddino.synthetic.lookalikes import LOOKALIKES
from reddino.synthetic.morphologies import MORPHOLOGIES, draw_cell
from reddino.synthetic.paint import paint
from reddino.synthetic.parasites import STAGES
from reddino.synthetic.patients import draw_patient
from reddino.synthetic.scene import Scene, Slide, make_scene
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.write import write_smears

SIDE = 14.0
CLEAN = Slide(haemoglobin=1.0, blue=1.0, chromatin=1.0, specks=0.0, crowd=1.0, overlap=0.0, plasma=0.0)


def painted(marks: tuple[Mark, ...]) -> NDArray[np.float32]:
    """What marks add to the dye maps of one normal cell of 7.5 um in the middle of an empty field."""
    cell = draw_cell(np.random.default_rng(5), "normal", draw_patient(5, "healthy").habit)
    scale = 7.5 / cell.diameter
    cell = replace(cell, diameter=7.5, outline=cell.outline * scale, blur=0.0, blue=0.0).moved(
        SIDE / 2, SIDE / 2
    )
    with_marks, without = (
        paint(Scene(SIDE, SIDE, CLEAN, (replace(cell, marks=m),), (), (), (), 1)) for m in (marks, ())
    )
    return np.asarray(with_marks - without)


@cache
def drawn(kind: str, count: int = 30) -> list[NDArray[np.float32]]:
    draw = {**STAGES, **LOOKALIKES}[kind]
    return [painted(draw(np.random.default_rng([seed, 7]), 7.5, 1.0)) for seed in range(count)]


def extent(maps: NDArray[np.float32]) -> float:
    """Longest side of the largest piece of blue cytoplasm, in micrometres."""
    pieces = regionprops(label(maps[..., BLUE] > 0.1))
    longest: int = max(max(p.bbox[2] - p.bbox[0], p.bbox[3] - p.bbox[1]) for p in pieces)
    return longest / PX_PER_UM


def test_ring__takes_up_a_fifth_to_a_third_of_the_cell() -> None:
    single = [extent(maps) for maps in drawn("ring-stage parasite")]
    # rings that overlap are one piece, and those at the edge are drawn out
    assert 1.5 < np.median(single) < 2.6
    assert np.quantile(single, 0.1) > 1.2


def test_ring__is_paler_in_its_middle_than_on_its_band_and_holds_chromatin() -> None:
    pale = []
    for maps in drawn("ring-stage parasite"):
        assert maps[..., CHROMATIN].max() > 0.3
        ring = max(regionprops(label(maps[..., BLUE] > 0.1)), key=lambda piece: piece.area)
        pale.append(ring.area_filled > 1.1 * ring.area or ring.solidity < 0.9)
    assert np.mean(pale) > 0.7


def test_stages__grow_from_ring_to_gametocyte() -> None:
    sizes = [float(np.median([extent(m) for m in drawn(stage)])) for stage in STAGES]
    ring, trophozoite, schizont, gametocyte = sizes
    assert ring < trophozoite < gametocyte
    assert ring < schizont
    assert 0.9 * 7.5 > gametocyte > 0.55 * 7.5


def test_trophozoite__makes_pigment_of_haemoglobin() -> None:
    for maps in drawn("trophozoite"):
        assert maps[..., REFRACTION].max() > 0.5
        assert maps[..., HAEMOGLOBIN].min() < -0.1


def test_schizont__has_many_nuclei() -> None:
    counts = [label(maps[..., CHROMATIN] > 0.3).max() for maps in drawn("schizont")]
    assert min(counts) >= 5 and np.median(counts) >= 8
    assert np.median([label(maps[..., CHROMATIN] > 0.3).max() for maps in drawn("trophozoite")]) <= 2


@pytest.mark.parametrize("kind", LOOKALIKES)
def test_lookalikes__change_a_part_of_the_cell(kind: str) -> None:
    changed = [(np.abs(maps) > 0.06).any(axis=2).sum() / PX_PER_UM**2 for maps in drawn(kind)]
    cell = np.pi * 3.75**2
    assert 0.002 * cell < np.median(changed) < (0.9 if kind == "mottled" else 0.35) * cell


def test_lookalikes__some_hold_chromatin_some_blue_and_some_neither() -> None:
    def most(kind: str, dye: int) -> float:
        return float(np.median([maps[..., dye].max() for maps in drawn(kind)]))

    assert most("nuclear remnant", CHROMATIN) > 0.5
    assert most("nuclear remnant", BLUE) < 0.05
    assert most("stain ring", BLUE) > 0.35 > most("stain ring", CHROMATIN)
    assert most("platelet", BLUE) > 0.15 and most("platelet", CHROMATIN) > 0.3
    assert most("bubble", BLUE) == most("bubble", CHROMATIN) == 0.0


@cache
def scenes() -> tuple[tuple[Scene, Scene], ...]:
    """Fields as they are, and with hard parasites."""
    pairs = []
    for seed in range(24):
        patient = draw_patient(seed)
        scene = make_scene(patient, 0, width=60.0, height=60.0)
        pairs.append((scene, infected(scene, patient)))
    return tuple(pairs)


def test_infected__is_the_same_again_and_moves_no_cell() -> None:
    patient = draw_patient(3)
    scene, hard = scenes()[3]
    again = infected(scene, patient)
    assert [c.morphology for c in again.cells] == [c.morphology for c in hard.cells]
    assert [len(c.marks) for c in again.cells] == [len(c.marks) for c in hard.cells]
    for before, after in zip(scene.cells, hard.cells, strict=True):
        assert (before.x, before.y, before.diameter) == (after.x, after.y, after.diameter)
        assert np.array_equal(before.outline, after.outline)
        assert not after.rings


def test_infected__a_quarter_to_half_of_the_cells_whatever_their_shape() -> None:
    cells = [pair for a, b in scenes() for pair in zip(a.cells, b.cells, strict=True)]
    ill = np.array([after.morphology in STAGES for _, after in cells])
    assert 0.3 < ill.mean() < 0.5
    for shape in ("normal", "target", "burr"):
        these = np.array([before.morphology == shape for before, _ in cells])
        assert abs(ill[these].mean() - ill.mean()) < 0.15, shape
    counts = [sum(after.morphology == stage for _, after in cells) for stage in STAGES]
    assert counts[0] > counts[1] > max(counts[2:])
    assert min(counts) > 5


def test_infected__lookalikes_lie_on_cells_that_keep_their_shape_as_label() -> None:
    cells = [pair for a, b in scenes() for pair in zip(a.cells, b.cells, strict=True)]
    alike = [(before, after) for before, after in cells if after.marks and after.morphology not in STAGES]
    # most of them, so that holding something does not make a cell an infected one
    assert 0.45 < len(alike) / sum(after.morphology not in STAGES for _, after in cells) < 0.85
    for before, after in alike:
        assert after.morphology == ("normal" if before.morphology in STAGES else before.morphology)


def basic_dye(scene: Scene) -> tuple[list[bool], list[float]]:
    """Whether each whole cell of a scene is infected, and how much blue and chromatin lies on it."""
    maps = paint(replace(scene, specks=(), platelets=(), white_cells=()))
    truth, amount = [], []
    for cell in scene.cells:
        x, y, reach = (round(PX_PER_UM * v) for v in (cell.x, cell.y, cell.diameter / 2))
        if reach <= min(x, y) and max(x, y) <= maps.shape[0] - reach:
            truth.append(cell.morphology in STAGES)
            window = maps[y - reach : y + reach, x - reach : x + reach, BLUE : CHROMATIN + 1]
            amount.append(float(window.sum()))
    return truth, amount


def test_infected__the_amount_of_dye_shows_usual_rings_but_not_hard_parasites() -> None:
    def told(cells: list[tuple[list[bool], list[float]]]) -> float:
        truth, amount = (np.concatenate(part) for part in zip(*cells, strict=True))
        return float(roc_auc_score(truth, amount))

    usual = [make_scene(draw_patient(seed, "malaria"), 0, width=60.0, height=60.0) for seed in range(6)]
    assert told([basic_dye(scene) for scene in usual]) > 0.9
    assert told([basic_dye(hard) for _, hard in scenes()[:12]]) < 0.82


def test_write_smears__hard_parasites_are_labelled_by_stage_and_the_setting_is_noted(tmp_path: Path) -> None:
    hard = write_smears(
        tmp_path / "hard",
        sources=["phone"],
        patients_per_source=4,
        fields_per_patient=1,
        field_um=60.0,
        parasites="hard",
    )
    names = hard.strings("label")
    assert set(names) <= {*MORPHOLOGIES, *STAGES}
    assert 0.25 < np.mean([name in STAGES for name in names]) < 0.55
    assert set(hard.strings("profile")) <= set(HOSTS)
    assert '"parasites": "hard"' in (tmp_path / "hard" / "synthetic.json").read_text()


def test_write_smears__refuses_other_parasites(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="'easy'"):
        # A value that is none of those listed, on purpose.
        write_smears(tmp_path / "new", sources=[next(iter(SOURCES))], parasites="easy")  # type: ignore[arg-type]
