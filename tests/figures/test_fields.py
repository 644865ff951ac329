"""Fields seen through tiles: no seams, and the same as one pass where a network does not mind."""

from __future__ import annotations

import numpy as np
import pytest

from reddino.figures.fields import blending_weights, encode_field, tile_starts
from reddino.foundations.errors import RedDinoError

PATCH = 4


class MeanColour:
    """A network whose tokens are the mean colours of the patches, wherever they lie."""

    input_size = 16
    patch_size = PATCH

    def __init__(self) -> None:
        self.tiles = 0

    def patch_tokens(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n, height, width = images.shape[:3]
        self.tiles += n
        patches = images.reshape(n, height // PATCH, PATCH, width // PATCH, PATCH, 3).astype(np.float32)
        tokens = patches.mean(axis=(2, 4))
        return tokens, np.ones((n, 2, *tokens.shape[1:3]), np.float32) / tokens[0, ..., 0].size


class TileNumber(MeanColour):
    """A network that says another thing in each tile: what it says jumps where tiles are cut hard."""

    def patch_tokens(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tokens, attention = super().patch_tokens(images)
        return np.ones_like(tokens) * np.arange(self.tiles - len(images), self.tiles)[
            :, None, None, None
        ], attention


def _image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.75])
def test_look_at_field__in_tiles_equals_one_pass_where_place_does_not_matter(overlap: float) -> None:
    image = _image(52, 75)
    tiled_by, whole_by = MeanColour(), MeanColour()
    tiled = encode_field(tiled_by, image, overlap=overlap, batch=3)
    whole = encode_field(whole_by, image, tile=80)
    assert whole_by.tiles == 1 < tiled_by.tiles
    assert tiled.tokens.shape == (13, 18, 3)
    assert np.array_equal(tiled.image, image[:, 1:73])
    assert tiled.tokens == pytest.approx(whole.tokens, rel=1e-5)
    assert tiled.attention == pytest.approx(np.ones((2, 13, 18)), rel=1e-5)


def test_look_at_field__that_fits_into_a_tile_is_one_pass() -> None:
    network, image = MeanColour(), _image(16, 12)
    field = encode_field(network, image)
    assert network.tiles == 1
    expected = MeanColour().patch_tokens(image[None])[0][0]
    assert field.tokens == pytest.approx(expected, rel=1e-6)


def test_look_at_field__blends_what_tiles_disagree_on_without_a_jump() -> None:
    line = encode_field(TileNumber(), _image(16, 288), tile=48).tokens[0, :, 0]
    steps = np.diff(line)
    # Eleven tiles in a row, each half over the next: hard cuts would jump by 1 between 0 and 10.
    assert line[0] == 0
    assert line[-1] == 10
    assert (steps >= 0).all()
    assert steps.max() < 0.35


def test_look_at_field__scales_the_field_first() -> None:
    assert encode_field(MeanColour(), _image(16, 16), scale=2).tokens.shape == (8, 8, 3)
    assert encode_field(MeanColour(), _image(32, 32), scale=0.5).tokens.shape == (4, 4, 3)


def test_look_at_field__refuses_what_makes_no_patch() -> None:
    with pytest.raises(RedDinoError, match="smaller than a patch"):
        encode_field(MeanColour(), _image(3, 40))
    for wrong in ({"tile": 2}, {"overlap": 1.0}, {"scale": 0.0}):
        with pytest.raises(RedDinoError, match=r"overlap from 0 to 0\.9"):
            encode_field(MeanColour(), _image(16, 16), **wrong)


def test_tile_starts__cover_everything_and_end_with_the_field() -> None:
    for length in range(1, 40):
        starts = tile_starts(length, 8, 5)
        covered = {place for start in starts for place in range(start, min(start + 8, length))}
        assert covered == set(range(length))
        assert starts[-1] == max(0, length - 8)


def test_blending_weights__are_full_in_the_middle_and_never_zero() -> None:
    weights = blending_weights(6, 6, 2)
    assert weights[0].tolist() == pytest.approx([1 / 9, 2 / 9, 1 / 3, 1 / 3, 2 / 9, 1 / 9])
    assert weights[2:4, 2:4].tolist() == [[1, 1], [1, 1]]


def test_look_at_field__refuses_tokens_that_are_not_finite() -> None:
    class Diverged(MeanColour):
        def patch_tokens(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            tokens, attention = super().patch_tokens(images)
            return np.where(tokens > 100, np.nan, tokens), attention

    image = np.zeros((24, 24, 3), np.uint8)
    image[20:, 20:] = 200
    with pytest.raises(RedDinoError, match="patch tokens that are not finite"):
        encode_field(Diverged(), image)
