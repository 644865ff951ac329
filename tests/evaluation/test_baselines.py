"""The baselines measure what they say: colours without places, sizes without colours."""

from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa
import pytest

from reddino.embedding.baselines import CellSize, ColourHistogram, box_size
from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError


def disc(
    diameter: float, side: int = 128, centre: tuple[int, int] = (64, 64), pallor: bool = True
) -> np.ndarray:
    """A red cell on a pale field, with the pale centre of a normal one."""
    image = np.full((side, side, 3), (235, 225, 230), dtype=np.uint8)
    cv2.circle(image, centre, round(diameter / 2), (205, 120, 130), -1)
    if pallor:
        cv2.circle(image, centre, round(diameter / 6), (230, 215, 220), -1)
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_colour_histogram__equals_numpy_channel_by_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3), dtype=np.uint8)
    expected = [
        np.concatenate([np.histogram(image[..., c], bins=16, range=(0, 256))[0] for c in range(3)]) / 120
        for image in images
    ]
    assert ColourHistogram(10).embed(images, "cls") == pytest.approx(np.array(expected))


def test_colour_histogram__does_not_see_where_pixels_are() -> None:
    image = disc(60)
    shuffled = np.random.default_rng(1).permutation(image.reshape(-1, 3)).reshape(image.shape)
    encoder = ColourHistogram(128)
    assert np.array_equal(encoder.embed(image[None]), encoder.embed(shuffled[None]))


@pytest.mark.parametrize("diameter", [30, 50, 70, 90])
def test_cell_size__is_the_diameter_of_the_central_cell_over_the_side(diameter: int) -> None:
    image = disc(diameter)
    cv2.circle(image, (2, 2), 25, (205, 120, 130), -1)  # a neighbour in the corner
    size = CellSize(128).embed(image[None])
    assert size.shape == (1, 1)
    assert float(size[0, 0]) == pytest.approx(diameter / 128, rel=0.05)


def test_cell_size__does_not_see_colour() -> None:
    image = disc(60)
    assert CellSize().embed(image[None])[0] == pytest.approx(CellSize().embed(image[None, ..., [2, 1, 0]])[0])


def test_cell_size__of_nothing_is_zero() -> None:
    assert CellSize().embed(np.full((1, 64, 64, 3), 200, dtype=np.uint8)).tolist() == [[0.0]]
    assert CellSize().embed(np.zeros((0, 64, 64, 3), dtype=np.uint8)).shape == (0, 1)


def boxes(diameters: list[float | None]) -> Embeddings:
    columns = {"w": [40.0, 20.0, None], "h": [90.0, 20.0, None], "cell_diameter": diameters}
    arrays = {name: pa.array(values, pa.float64()) for name, values in columns.items()}
    return Embeddings(np.zeros((3, 5), np.float32), pa.table(arrays), {"model": "other", "dim": 5})


def test_box_size__is_in_cell_diameters_where_all_are_known() -> None:
    sized = box_size(boxes([30.0, 40.0, 50.0]))
    assert sized.vectors.tolist() == [[2.0], [0.5]]
    assert sized.meta["model"] == "box size"


def test_box_size__is_in_pixels_where_a_diameter_is_missing() -> None:
    assert box_size(boxes([30.0, None, None])).vectors.tolist() == [[60.0], [20.0]]


def test_box_size__refuses_a_table_without_boxes() -> None:
    with pytest.raises(RedDinoError, match="has a box"):
        box_size(boxes([30.0, 30.0, 30.0]).select(np.array([2])))
