"""Quality measures against slides drawn with known faults, and the monolayer against the one drawn."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from shutil import copytree

import cv2
import numpy as np
import pytest
from drawn_slides import DrawnSlide, drawn_slide, found_cells

import reddino
from reddino.api.quality import _map_files
from reddino.rbc.finding import segment_cells
from reddino.regions.artefacts import without_ink
from reddino.regions.choices import EMPTY, GOOD, INK, OUT_OF_FOCUS, PRECIPITATE, RIMS, VERDICTS
from reddino.regions.measures import Core, light_of, measure_squares
from reddino.regions.monolayer import monolayer
from reddino.regions.quality import SlideQuality
from reddino.regions.verdicts import judged
from reddino.smears.decode import decode_image
from reddino.synthetic.patients import draw_patient
from reddino.synthetic.random_sources import named_source
from reddino.synthetic.whole_slide.bank import Bank, paint_bank
from reddino.synthetic.whole_slide.faults import FAULTS, Fault
from reddino.synthetic.whole_slide.layout import draw_layout
from reddino.synthetic.whole_slide.pixels import SlidePixels
from reddino.synthetic.whole_slide.populate import populate
from reddino.synthetic.whole_slide.slide_file import MASK_STEP


@pytest.fixture(scope="module")
def slide() -> DrawnSlide:
    return drawn_slide()


@pytest.fixture(scope="module")
def made(slide: DrawnSlide, tmp_path_factory: pytest.TempPathFactory) -> tuple[reddino.Quality, Path]:
    out = tmp_path_factory.mktemp("quality")
    copytree(found_cells()[1], out / "_survey")
    return reddino.quality(slide.path, out), out


def shares(slide: DrawnSlide, square: np.ndarray) -> dict[str, float]:
    """The fraction of a square that each fault and each zone covers."""
    x, y, w, h = (square[:4] / MASK_STEP).round().astype(int)
    window = slice(y, max(y + h, y + 1)), slice(x, max(x + w, x + 1))
    faults = {name: float((slide.faults[window] >> bit & 1).mean()) for bit, name in enumerate(FAULTS)}
    return faults | {f"zone {n}": float((slide.zones[window] == n).mean()) for n in range(4)}


#: A window of the monolayer of a slide of 1,200 x 600 um, in pixels of 0.25 um.
WINDOW = (2100, 800, 960, 640)
SOURCE = replace(named_source("lilac"), cell_px=30.0)


@cache
def bank() -> Bank:
    return paint_bank(draw_patient(3, "healthy"), SOURCE, 3, 60)


def window_with(*faults: Fault) -> np.ndarray:
    layout = replace(draw_layout(1200.0, 600.0, 3, faults=False), faults=faults)
    bodies = populate(layout, bank(), draw_patient(3, "healthy"), 3, px_per_um=SOURCE.px_per_um)
    return SlidePixels(layout, bank(), bodies, SOURCE, 3).window(*WINDOW)


def measured(pixels: np.ndarray) -> tuple[list[str], np.ndarray]:
    squares = measure_squares(pixels, segment_cells(pixels, 29.0), 29.0, Core(0, 0, *WINDOW[2:]))
    return judged(squares, 29.0), squares


def ellipse(kind: str, half: float) -> Fault:
    """A fault about the middle of the window."""
    return Fault(kind, np.array([[645.0, 280.0]]), (half, half))


def line(kind: str, half: float) -> Fault:
    return Fault(kind, np.array([[540.0, 240.0], [640.0, 290.0], [750.0, 250.0]]), (half, half))


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (ellipse("out of focus", 200.0), OUT_OF_FOCUS),
        (ellipse("precipitate", 200.0), PRECIPITATE),
        (ellipse("air bubble", 60.0), RIMS),
        (line("fold", 7.0), RIMS),
        (line("pen mark", 24.0), INK),
    ],
)
def test_verdict__names_a_fault_that_was_drawn(fault: Fault, verdict: str) -> None:
    assert set(measured(window_with())[0]) == {GOOD}
    assert verdict in measured(window_with(fault))[0]


def test_sharpness__falls_where_it_is_out_of_focus() -> None:
    (_, clear), (_, blurred) = (
        measured(window_with()),
        measured(window_with(ellipse("out of focus", 200.0))),
    )
    assert np.nanmax(blurred[:, 8]) < 0.75 * np.nanmin(clear[:, 8])


def test_grains__are_those_of_precipitate_and_not_platelets_or_white_cells() -> None:
    (_, clear), (_, grainy) = (
        measured(window_with()),
        measured(window_with(ellipse("precipitate", 200.0))),
    )
    assert clear[:, 9].max() < 0.3
    assert grainy[:, 9].min() > 1.0


def test_empty_glass__is_told_from_few_cells() -> None:
    glass = np.full((640, 960, 3), 228, np.uint8)
    glass += np.random.default_rng(0).integers(0, 4, glass.shape, dtype=np.uint8)
    squares = measure_squares(glass, segment_cells(glass, 29.0), 29.0, Core(0, 0, 960, 640))
    assert set(judged(squares, 29.0)) == {EMPTY}


def test_ink__does_not_hide_the_cells_next_to_it() -> None:
    pixels = window_with(line("pen mark", 24.0))
    clean, covered = without_ink(pixels, light_of(window_with()), 29.0)
    assert covered is not None
    whole = segment_cells(window_with(), 29.0).cells
    away = ~covered[np.rint(whole.cy).astype(int), np.rint(whole.cx).astype(int)]
    found = segment_cells(clean, 29.0).cells
    assert len(found) > 0.85 * away.sum()
    assert without_ink(window_with(), light_of(window_with()), 29.0)[1] is None


def test_quality__names_the_faults_of_a_slide(slide: DrawnSlide, made: tuple[reddino.Quality, Path]) -> None:
    quality = made[0].slides[0]
    expected = {"pen mark": INK, "air bubble": RIMS, "fold": RIMS}
    seen = set()
    for square, verdict in zip(quality.squares, quality.verdicts, strict=True):
        lies = shares(slide, square)
        worst = max(expected, key=lambda name: lies[name])
        if lies[worst] > 0.25 and sum(lies[name] > 0.05 for name in FAULTS) == 1:
            assert verdict == expected[worst], (square[:2], lies)
            seen.add(worst)
        if lies["zone 0"] == 1.0 and not any(lies[name] for name in FAULTS):
            assert verdict == EMPTY
            seen.add("glass")
        if not any(lies[name] for name in FAULTS):
            assert verdict not in (OUT_OF_FOCUS, PRECIPITATE, INK)
    assert "glass" in seen and len(seen) > 1


def test_monolayer__is_the_one_drawn(slide: DrawnSlide, made: tuple[reddino.Quality, Path]) -> None:
    quality = made[0].slides[0]
    best = quality.squares[quality.areas == 1]
    assert len(best) >= 5
    assert np.mean([shares(slide, square)["zone 2"] for square in best]) > 0.75
    thick = [i for i, square in enumerate(quality.squares) if shares(slide, square)["zone 1"] > 0.9]
    assert not quality.areas[thick].any()


def test_quality__writes_a_row_a_region_and_a_map(made: tuple[reddino.Quality, Path]) -> None:
    found, out = made
    with (out / "quality.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.rows) == 3
    assert sorted(int(row["rank"]) for row in rows) == [1, 2, 3]
    assert all(any(word in row["verdict"] for word in (*VERDICTS, "monolayer")) for row in rows)
    about = json.loads((out / "quality.json").read_text())
    assert about["slides"][0]["scale"] == "measured"
    drawn = cv2.imread(str(out / "smear.quality.png"))
    assert drawn is not None and drawn.shape[1] > 800


def test_quality__of_fields(tmp_path: Path) -> None:
    reddino.synthesise(
        tmp_path / "fields", sources=["lilac"], patients_per_source=1, fields_per_patient=3, seed=1
    )
    pictures = tmp_path / "fields" / "lilac"
    sharp = cv2.imread(str(sorted(pictures.glob("*.jpg"))[0]))
    assert sharp is not None
    cv2.imwrite(str(pictures / "blurred.jpg"), cv2.GaussianBlur(sharp, (0, 0), 8.0))
    found = reddino.quality(pictures, tmp_path / "out")
    verdicts = {Path(row.path).stem: row.verdict for row in found.rows}
    blurred = verdicts.pop("blurred")
    assert OUT_OF_FOCUS in blurred
    assert not any(OUT_OF_FOCUS in verdict for verdict in verdicts.values())
    assert (tmp_path / "out" / "quality.csv").exists() and len(found.maps) == 1
    showing = sum(row.verdict.startswith("monolayer") for row in found.rows)
    assert [one[2] for one in found.summaries()] == [f"in most of {showing} of 4 pictures"]


def test_quality__slides_of_one_name_have_a_map_each(tmp_path: Path) -> None:
    quality = [SlideQuality("a b", *[None] * 9), SlideQuality("a_b", *[None] * 9)]  # type: ignore[arg-type]
    assert [file.name for file in _map_files(tmp_path, quality)] == ["a_b.quality.png", "a_b-2.quality.png"]


def test_quality__refuses_cells(slide: DrawnSlide, tmp_path: Path) -> None:
    reddino.synthesise(tmp_path / "fields", sources=["lilac"], patients_per_source=1, fields_per_patient=1)
    with pytest.raises(reddino.RedDinoError, match="lists cells"):
        reddino.quality(tmp_path / "fields" / "manifest.csv", tmp_path / "out")


def test_monolayer__areas_are_connected_and_ranked() -> None:
    squares = np.zeros((12, 12))
    squares[:, 2:4] = 100.0
    squares[:, 0] = [0, 100, 200, 300, 1000, 1100, 1200, 1300, 1400, 0, 0, 2000]
    squares[:, 1] = [0] * 9 + [1000, 2000, 0]
    squares[:, 4:8] = [50, 0.3, 0.05, 0.9]
    areas = monolayer(squares, [GOOD] * 12)
    assert areas[4:9].tolist() == [1] * 5
    assert areas[:4].tolist() == [2] * 4
    assert not areas[9:].any()


@pytest.mark.smears
@pytest.mark.parametrize(
    ("folder", "pattern"), [("sigtuple_fields", "*.jpg"), ("chula_rbc12", "*.jpg"), ("iml_malaria", "*.JPG")]
)
def test_real_fields__raise_no_false_alarm(smears: Path, folder: str, pattern: str) -> None:
    """Fields that were photographed to be counted show no ink, bubbles, precipitate or bare glass."""
    for path in sorted((smears / folder).rglob(pattern))[::60][:5]:
        pixels = decode_image(path)
        found = segment_cells(pixels)
        diameter = found.cells.typical_diameter
        core = Core(0, 0, pixels.shape[1], pixels.shape[0])
        verdicts = set(judged(measure_squares(pixels, found, diameter, core), diameter))
        assert not verdicts & {INK, RIMS, PRECIPITATE, EMPTY}, (path.name, verdicts)


@pytest.mark.smears
def test_real_fields__round_field_of_a_phone_is_no_pen_mark(smears: Path) -> None:
    for path in sorted((smears / "uganda_sickle").rglob("*.jpg"))[::20][:4]:
        pixels = decode_image(path)
        found = segment_cells(pixels)
        diameter = found.cells.typical_diameter
        core = Core(0, 0, pixels.shape[1], pixels.shape[0])
        assert INK not in judged(measure_squares(pixels, found, diameter, core), diameter), path.name
