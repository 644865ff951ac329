"""Drop path's plan: how many crops compute each branch, which, and that the mean is the full residual."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from one_block import recipe

from reddino.networks.backbone import ViTBackbone
from reddino.networks.crop_block import Kept
from reddino.pretraining.build import build_networks
from reddino.pretraining.drop_path import drop_path_plan

INDEX = np.arange(40, 56)


@pytest.mark.parametrize(("rate", "count"), [(0.1, 29), (0.3, 22), (0.5, 16), (0.99, 1)])
def test_drop_path_plan__keeps_its_share_of_the_crops(rate: float, count: int) -> None:
    plan = drop_path_plan(0, INDEX, range(2), 6, rate)
    assert plan is not None
    assert [len(kept.indices) for kept in plan] == [count] * 6
    for kept in plan:
        assert kept.scale == 32 / count
        assert torch.equal(kept.indices, kept.indices.unique())
        assert 0 <= int(kept.indices.min()) <= int(kept.indices.max()) < 32


def test_drop_path_plan__is_none_where_nothing_is_dropped() -> None:
    assert drop_path_plan(0, INDEX, range(2), 6, 0.0) is None
    assert drop_path_plan(0, INDEX, range(2), 0, 0.3) is None
    assert drop_path_plan(0, INDEX, range(2, 2), 6, 0.3) is None


def test_drop_path_plan__follows_from_seed_and_samples() -> None:
    def of(seed: int, index: np.ndarray, first: int = 0) -> list[list[int]]:
        plan = drop_path_plan(seed, index, range(first, first + 2), 6, 0.5)
        assert plan is not None
        return [kept.indices.tolist() for kept in plan]

    assert of(0, INDEX) == of(0, INDEX)
    assert of(0, INDEX) != of(1, INDEX)
    assert of(0, INDEX) != of(0, INDEX + 16)
    assert of(0, INDEX) != of(0, INDEX, first=2)
    assert len({tuple(kept) for kept in of(0, INDEX)}) == 6
    # The order of the samples does not change which of them are kept.
    turned = of(0, INDEX[::-1].copy())
    assert [sorted(16 * (i // 16) + 15 - i % 16 for i in kept) for kept in turned] == of(0, INDEX)


def test_drop_path_plan__keeps_every_crop_equally_often() -> None:
    counts = np.zeros(32)
    for seed in range(2000):
        plan = drop_path_plan(seed, INDEX, range(2), 1, 0.3)
        assert plan is not None
        counts[plan[0].indices.numpy()] += 1
    # 22 of 32 each time: a standard deviation of about 21 around 1375.
    assert np.abs(counts - 2000 * 22 / 32).max() < 95


@torch.no_grad()
def test_drop_path__mean_over_seeds_is_the_full_residual() -> None:
    backbone = build_networks(recipe(model={"layer_scale": 1.0})).student.backbone
    assert isinstance(backbone, ViTBackbone)
    block, x = backbone.vit.blocks[0], torch.randn(4, 5, 192, generator=torch.Generator().manual_seed(0))
    full = block.ls2(block.mlp(block.norm2(x)))
    total = torch.zeros_like(x)
    for seed in range(600):
        plan = drop_path_plan(seed, np.arange(2), range(2), 1, 0.4)
        assert plan is not None and len(plan[0].indices) == 2
        nobody = Kept(torch.empty(0, dtype=torch.long), 1.5)
        total += block([x], [(nobody, plan[0])])[0] - x
    torch.testing.assert_close(total / 600, full, atol=0.0, rtol=0.15)
