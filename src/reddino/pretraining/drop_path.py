"""Stochastic depth on whole crops: which crops compute which residual branch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reddino.networks.crop_block import Kept
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.randomness import DROP_PATH, uniforms

#: More crops of a sample than any recipe has.
MOST_CROPS = 1024


def drop_path_plan(
    seed: int,
    sample_index: NDArray[np.int64],
    crops: range,
    branches: int,
    rate: float,
    *,
    processes: Processes = ALONE,
) -> list[Kept] | None:
    """Choose the crops that compute each residual branch: B (1 - rate) of them, at least one, at random.

    The plan is of the whole micro-batch, however many processes share it: their parts are of unequal size,
    and together what one process would compute.

    Args:
        seed: of the run.
        sample_index: (B,) global sample indices of this process's part, as they follow one another.
        crops: numbers of the crops that are stacked, crop-major: (len(crops) * B).
        branches: residual branches of the backbone.
        rate: fraction of the crops that skip a branch.
        processes: each has a part of B samples of the micro-batch, in their order.

    Returns:
        For each branch sorted indices into the stacked crops of this process; None where nothing is dropped.
    """
    if rate == 0 or branches == 0 or len(crops) == 0:
        return None
    here, first = len(sample_index), processes.rank * len(sample_index)
    samples = sample_index
    if processes.count > 1:
        samples = np.arange(processes.count * here, dtype=np.int64) + (sample_index[0] - first)
    keys = np.concatenate([samples * MOST_CROPS + crop for crop in crops])
    scores = uniforms(seed, DROP_PATH, keys, branches)
    count = max(1, round(len(keys) * (1 - rate)))
    kept = np.zeros((len(crops), len(samples), branches), dtype=np.bool_)
    np.put_along_axis(kept.reshape(-1, branches), np.argpartition(scores, count - 1, axis=0)[:count], True, 0)
    mine = kept[:, first : first + here] if processes.count > 1 else kept
    scale = len(keys) / count
    return [Kept(torch.from_numpy(np.flatnonzero(mine[:, :, branch])), scale) for branch in range(branches)]
