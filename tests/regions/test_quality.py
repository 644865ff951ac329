"""Quality measures against slides drawn with known faults, and the monolayer against the one drawn."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_slides import DrawnSlide, drawn_slide

import reddino
from reddino.regions.choices import EMPTY, GOOD, INK, OUT_OF_FOCUS, PRECIPITATE, RIMS, VERDICTS
from reddino.regions.monolayer import monolayer
from reddino.synthetic.whole_slide.faults import FAULTS
from reddino.synthetic.whole_slide.slide_file import MASK_STEP


@pytest.fixture(scope="module")
def slide() -> DrawnSlide:
    return drawn_slide()


@pytest.fixture(scope="module")
def made(slide: DrawnSlide, tmp_path_factory: pytest.TempPathFactory) -> tuple[reddino.Quality, Path]:
    out = tmp_path_factory.mktemp("quality")
    return reddino.quality(slide.path, out), out


def shares(slide: DrawnSlide, square: np.ndarray) -> dict[str, float]:
    """The fraction of a square that each fault and each zone covers."""
    x, y, w, h = (square[:4] / MASK_STEP).round().astype(int)
    window = slice(y, max(y + h, y + 1)), slice(x, max(x + w, x + 1))
    faults = {name: float((slide.faults[window] >> bit & 1).mean()) for bit, name in enumerate(FAULTS)}
    return faults | {f"zone {n}": float((slide.zones[window] == n).mean()) for n in range(4)}


def test_quality__names_the_fault_of_squares_that_one_covers(
    slide: DrawnSlide, made: tuple[reddino.Quality, Path]
) -> None:
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
    assert "glass" in seen and len(seen) > 1


def test_quality__blur_and_precipitate_show_in_their_numbers(
    slide: DrawnSlide, made: tuple[reddino.Quality, Path]
) -> None:
    quality = made[0].slides[0]
    lies = [shares(slide, square) for square in quality.squares]
    sharp, grains = quality.sharpness, quality.squares[:, 9]
    blurred = np.array([one["out of focus"] > 0.7 for one in lies])
    clean = np.array([sum(one[name] for name in FAULTS) == 0 and one["zone 0"] < 0.3 for one in lies])
    grainy = np.array([one["precipitate"] > 0.6 and one["out of focus"] == 0 for one in lies])
    assert blurred.any() and clean.any() and grainy.any()
    assert np.nanmax(sharp[blurred]) < np.nanmin(sharp[clean])
    assert grains[grainy].min() > 3 * np.nanmax(grains[clean])
    verdicts = np.array(quality.verdicts, dtype=object)
    assert set(verdicts[blurred]) <= {OUT_OF_FOCUS, PRECIPITATE, RIMS, INK}
    assert set(verdicts[grainy]) <= {PRECIPITATE, RIMS, INK}
    assert not set(verdicts[clean]) & {OUT_OF_FOCUS, PRECIPITATE, RIMS, INK}


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
