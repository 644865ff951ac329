"""Morphology features: they describe a rendered cell as it was made; texture equals scikit-image's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from reddino.embedding.known_models import known_models
from reddino.embedding.open_encoder import open_encoder
from reddino.rbc.morphology import (
    GREY_LEVELS,
    LARGEST,
    NAMES,
    Morphology,
    co_occurrences,
    colours,
    measure,
    texture,
)
from reddino.rbc.morphology_scales import SCALES
from reddino.rbc.outline import central_mask

GROUND, CELL, PALE = (235, 225, 230), (205, 120, 130), (230, 200, 205)


def ellipse(
    axes: tuple[float, float],
    *,
    turn: float = 0,
    pallor: float = 0.0,
    side: int = 64,
    x: float = 32,
    y: float = 32,
) -> np.ndarray:
    """A cell of half axes in pixels of a view of 64, with a pale middle of a share of its size."""
    factor = 8
    big = np.full((side * factor, side * factor, 3), GROUND, np.uint8)
    scale = factor * side / 64
    middle = (round(x * scale), round(y * scale))
    cv2.ellipse(big, middle, (round(axes[0] * scale), round(axes[1] * scale)), turn, 0, 360, CELL, -1)
    if pallor:
        inner = (round(pallor * axes[0] * scale), round(pallor * axes[1] * scale))
        cv2.ellipse(big, middle, inner, turn, 0, 360, PALE, -1)
    return np.asarray(cv2.resize(big, (side, side), interpolation=cv2.INTER_AREA))


def star(points: int) -> np.ndarray:
    """A cell with a wavy outline, as a burr cell has."""
    y, x = np.mgrid[0:64, 0:64] - 31.5
    radius = 18 * (1 + 0.25 * np.cos(points * np.arctan2(y, x)))
    image = np.full((64, 64, 3), GROUND, np.uint8)
    image[np.hypot(x, y) < radius] = CELL
    return image


def named(image: np.ndarray) -> dict[str, float]:
    measured = measure(image)
    assert measured is not None
    return dict(zip(NAMES, measured.tolist(), strict=True))


@pytest.mark.parametrize("radius", [12, 18, 24])
def test_measure__a_disc_is_round_and_as_large_as_it_was_drawn(radius: int) -> None:
    found = named(ellipse((radius, radius)))
    assert found["diameter"] == pytest.approx(2 * radius / 64, rel=0.04)
    assert found["perimeter"] == pytest.approx(2 * np.pi * radius / 64, rel=0.04)
    assert found["roundness"] == pytest.approx(1, abs=0.06)
    assert found["elongation"] == pytest.approx(1, abs=0.03)
    assert found["solidity"] > 0.97
    assert found["extent"] == pytest.approx(np.pi / 4, abs=0.05)
    assert max(found[f"harmonic {n}"] for n in range(2, 7)) < 0.02


@pytest.mark.parametrize("turn", [0, 30, 90])
def test_measure__elongation_is_the_ratio_of_the_axes_however_turned(turn: float) -> None:
    found = named(ellipse((26, 13), turn=turn))
    assert found["elongation"] == pytest.approx(0.5, abs=0.03)
    assert found["harmonic 2"] > 0.2
    assert found["solidity"] > 0.95


def test_measure__a_wavy_outline_shows_in_solidity_and_its_own_harmonic() -> None:
    smooth, wavy = named(ellipse((18, 18))), named(star(5))
    assert wavy["solidity"] < smooth["solidity"] - 0.1
    assert wavy["roundness"] < smooth["roundness"] - 0.2
    assert wavy["harmonic 5"] == pytest.approx(0.25, abs=0.04)
    assert wavy["harmonic 5"] > 5 * max(wavy[f"harmonic {n}"] for n in (2, 3, 4, 6))


def test_measure__pallor_grows_with_the_pale_middle() -> None:
    values = [named(ellipse((20, 20), pallor=size))["pallor"] for size in (0.0, 0.25, 0.5)]
    assert values[0] == pytest.approx(0, abs=0.06)
    assert values[0] < values[1] < values[2]
    assert named(ellipse((20, 20), pallor=0.5))["ring 5"] < 0.5


def test_measure__does_not_take_a_touching_neighbour_for_the_cell() -> None:
    image = ellipse((16, 16))
    neighbour = ellipse((16, 16), x=63)
    both = np.minimum(image, neighbour)
    assert named(both)["diameter"] == pytest.approx(0.5, rel=0.08)
    assert named(both)["elongation"] > 0.85


def test_measure__is_nearly_the_same_at_another_size_of_the_view() -> None:
    small, large = (measure(ellipse((20, 16), pallor=0.4, side=side)) for side in (64, 128))
    assert small is not None
    assert large is not None
    scaled = np.abs(small - large) / np.asarray(SCALES)[:, 1]
    assert np.median(scaled) < 0.2


def test_co_occurrences__and_their_statistics_equal_scikit_image_on_a_rectangle() -> None:
    levels = np.random.default_rng(0).integers(0, GREY_LEVELS, (20, 24))
    mask = np.zeros((32, 32), dtype=bool)
    mask[5:25, 4:28] = True
    grey = np.zeros((32, 32), np.uint8)
    grey[mask] = (levels * 16).ravel()
    whole = np.zeros((32, 32), dtype=np.int64)
    whole[mask] = levels.ravel()
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    matrix = graycomatrix(levels.astype(np.uint8), [1], angles, levels=GREY_LEVELS, symmetric=True)
    joint = matrix[:, :, 0].sum(axis=2)
    assert co_occurrences(whole, mask) == pytest.approx(joint / joint.sum())
    summed = joint[:, :, None, None].astype(np.uint32)
    found = texture(grey, mask)
    for value, name in zip(
        found, ("contrast", "homogeneity", "energy", "correlation", "entropy"), strict=True
    ):
        assert value == pytest.approx(float(graycoprops(summed, name)[0, 0]), rel=1e-6), name


def test_colours__are_the_moments_inside_the_mask_alone() -> None:
    image = np.random.default_rng(1).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:7, 3:9] = True
    inside = image[2:7, 3:9].reshape(-1, 3) / 255
    expected = [*inside.mean(0), *inside.std(0), *np.cbrt(((inside - inside.mean(0)) ** 3).mean(0))]
    assert colours(image, mask) == pytest.approx(expected)


def test_morphology__is_finite_and_zero_where_there_is_no_cell() -> None:
    rng = np.random.default_rng(0)
    views = np.stack(
        [
            np.full((64, 64, 3), 200, np.uint8),
            np.zeros((64, 64, 3), np.uint8),
            rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
            ellipse((20, 20)),
            ellipse((45, 45)),
        ]
    )
    vectors = Morphology().embed(views)
    assert vectors.shape == (5, len(NAMES))
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.abs(vectors).max() <= LARGEST
    assert not vectors[0].any()
    assert vectors[3].any()
    assert Morphology().embed(views[:0]).shape == (0, len(NAMES))


def test_central_mask__of_a_flat_view_is_none() -> None:
    assert central_mask(np.full((64, 64, 3), 128, np.uint8)) is None


def test_morphology__is_known_by_name() -> None:
    assert "morphology" in [model.name for model in known_models()]
    encoder = open_encoder("morphology")
    assert encoder.input_size == 64
    assert len(encoder.weights_hash) == 16
    assert encoder.weights_hash == open_encoder("morphology", image_size=80).weights_hash
