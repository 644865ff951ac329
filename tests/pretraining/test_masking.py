"""Block-wise masks: how many crops, how many patches, and from what they follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reddino.pretraining.masking import MaskedPatches, block_mask, sample_masks


@pytest.mark.parametrize("side", [5, 8, 16])
def test_block_mask__never_hides_more_than_wanted_and_comes_close(side: int) -> None:
    rng = np.random.default_rng(0)
    for wanted in range(4, side * side // 2 + 1):
        hidden = int(block_mask(side, wanted, rng).sum())
        assert hidden <= wanted
        # Ten attempts may fail near the end; what is left then is small.
        assert hidden >= 0.6 * wanted - 1


def test_block_mask__hides_nothing_where_nothing_is_wanted() -> None:
    assert not block_mask(8, 0, np.random.default_rng(0)).any()


def test_block_mask__is_made_of_blocks() -> None:
    # In a mask of the same size drawn patch by patch, far fewer neighbours are hidden together.
    rng = np.random.default_rng(0)
    blocks = [block_mask(16, 64, rng) for _ in range(50)]
    scattered = [rng.permuted(mask.reshape(-1)).reshape(16, 16) for mask in blocks]

    def together(masks: list[np.ndarray]) -> float:
        return float(np.mean([(mask[:, 1:] & mask[:, :-1]).sum() / mask.sum() for mask in masks]))

    assert together(blocks) > 0.6
    assert together(scattered) < 0.35


def test_block_mask__reaches_every_place() -> None:
    rng = np.random.default_rng(0)
    often = np.mean([block_mask(8, 24, rng) for _ in range(400)], axis=0)
    assert 0.1 < often.min() < often.max() < 0.65


def masks_of(indices: range, seed: int = 0, side: int = 16, images: float = 0.5) -> np.ndarray:
    return sample_masks(seed, np.array(indices), side, images, (0.1, 0.5))


def test_sample_masks__hides_in_exactly_one_of_two_crops_at_one_half() -> None:
    masked = masks_of(range(64)).any(axis=2)
    assert masked.shape == (2, 64)
    assert (masked.sum(axis=0) == 1).all()
    assert 15 < masked[0].sum() < 49


@pytest.mark.parametrize(("images", "count"), [(0.0, 0), (1.0, 2)])
def test_sample_masks__at_the_ends(images: float, count: int) -> None:
    assert (masks_of(range(20), images=images).any(axis=2).sum(axis=0) == count).all()


def test_sample_masks__share_of_crops_is_as_asked() -> None:
    masked = masks_of(range(2000), images=0.2, side=6).any(axis=2)
    assert masked.mean() == pytest.approx(0.2, abs=0.02)


def test_sample_masks__hides_between_the_smallest_and_the_largest_share() -> None:
    shares = masks_of(range(300)).mean(axis=2)
    shares = shares[shares > 0]
    assert shares.max() <= 0.5
    assert 0.05 < shares.min() < 0.15
    # Uniform over 0.1 to 0.5, but for what does not fit in.
    assert 0.25 < shares.mean() < 0.31


def test_sample_masks__depend_on_seed_and_sample_alone() -> None:
    whole = masks_of(range(10, 30))
    np.testing.assert_array_equal(masks_of(range(17, 23)), whole[:, 7:13])
    shuffled = np.random.default_rng(0).permutation(20)
    by_hand = sample_masks(0, 10 + shuffled, 16, 0.5, (0.1, 0.5))
    np.testing.assert_array_equal(by_hand, whole[:, shuffled])
    assert (masks_of(range(10, 30), seed=1) != whole).any()
    assert len({mask.tobytes() for mask in np.any(whole, axis=0)}) == 20


def test_masked_patches__indices_and_weights_by_hand() -> None:
    masks = np.array([[True, False, True], [False, False, False], [False, True, False]])
    hidden = MaskedPatches.of(masks, torch.device("cpu"))
    assert hidden.indices.tolist() == [0, 2, 7]
    assert hidden.weights.tolist() == [0.5, 0.5, 1.0]
    assert hidden.masks.shape == (3, 3)
    assert float(hidden.weights.sum()) == 2.0  # one for each masked crop
