"""iBOT's masks: half of the global crops, 10-50 % of the patches, in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reddino.foundations.runtime import to_device
from reddino.pretraining.randomness import MASKS, generator

MIN_BLOCK = 4
MIN_ASPECT = 0.3
ATTEMPTS = 10


def block_mask(side: int, wanted: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Hide about `wanted` patches of a (side, side) grid in overlapping rectangles (as BEiT and iBOT).

    Rectangles of at least 4 patches and an aspect of 0.3 to 1/0.3 are added until `wanted` is reached or no
    further one fits in ten attempts; never more than `wanted` are hidden.
    """
    mask = np.zeros((side, side), dtype=np.bool_)
    hidden = 0
    while hidden < wanted:
        added = _add_block(mask, wanted - hidden, rng)
        if added == 0:
            break
        hidden += added
    return mask


def _add_block(mask: NDArray[np.bool_], most: int, rng: np.random.Generator) -> int:
    side = len(mask)
    for _ in range(ATTEMPTS):
        area = rng.uniform(MIN_BLOCK, max(MIN_BLOCK, most))
        aspect = math.exp(rng.uniform(math.log(MIN_ASPECT), -math.log(MIN_ASPECT)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if not (0 < height < side and 0 < width < side):
            continue
        top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
        block = mask[top : top + height, left : left + width]
        added = int(block.size - block.sum())
        if 0 < added <= most:
            block[:] = True
            return added
    return 0


def sample_masks(
    seed: int, sample_index: NDArray[np.int64], side: int, images: float, patches: tuple[float, float]
) -> NDArray[np.bool_]:
    """Draw the masks of both global crops of each sample.

    Of a sample's two crops, 2 * `images` are masked on average (at 0.5 exactly one, drawn at random).

    Args:
        seed: of the run.
        sample_index: (B,) global sample indices; the masks follow from these and the seed alone.
        side: patches along an edge.
        images: fraction of the crops that are masked.
        patches: smallest and largest fraction of the patches hidden in a masked crop.

    Returns:
        (2, B, side * side) bool.
    """
    masks = np.zeros((2, len(sample_index), side, side), dtype=np.bool_)
    for column, index in enumerate(sample_index):
        rng = generator(seed, MASKS, int(index))
        count = int(2 * images + rng.random())
        for crop in rng.permutation(2)[:count]:
            wanted = int(side * side * rng.uniform(*patches))
            masks[crop, column] = block_mask(side, wanted, rng)
    return masks.reshape(2, len(sample_index), side * side)


@dataclass(frozen=True)
class MaskedPatches:
    """Where the hidden patches of a batch of crops are.

    Attributes:
        masks: (C, N) bool, C crops of N patches.
        indices: (M,) positions of the hidden patches in the flattened (C * N).
        weights: (M,) 1 / number of hidden patches in the same crop, so that each crop weighs the same.
    """

    masks: Tensor
    indices: Tensor
    weights: Tensor

    @property
    def counts(self) -> tuple[Tensor, int]:
        """The weights (M,), and C: what a mean over the crops needs."""
        return self.weights, len(self.masks)

    @classmethod
    def of(cls, masks: NDArray[np.bool_], device: torch.device) -> MaskedPatches:
        """Collect the hidden patches of (C, N) masks."""
        hidden = masks.sum(axis=1)
        crops = np.repeat(np.arange(len(masks)), hidden)
        weights = (1.0 / np.maximum(hidden, 1))[crops]
        return cls(
            to_device(torch.from_numpy(masks), device),
            to_device(torch.from_numpy(np.flatnonzero(masks)), device),
            to_device(torch.from_numpy(weights.astype(np.float32)), device),
        )
