"""The loss terms against loops that follow the papers' sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from reddino.pretraining.losses import cross_entropy, dino_loss, ibot_loss, koleo_loss


def distributions(*shape: int, seed: int = 0) -> Tensor:
    return torch.softmax(3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def outputs(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_cross_entropy(target: Tensor, logits: Tensor, temperature: float) -> float:
    scaled = [float(value) / temperature for value in logits]
    top = max(scaled)
    log_sum = top + math.log(sum(math.exp(value - top) for value in scaled))
    return -sum(float(p) * (value - log_sum) for p, value in zip(target, scaled, strict=True))


def test_cross_entropy__row_by_row() -> None:
    targets, logits = distributions(4, 6), outputs(4, 6)
    expected = [plain_cross_entropy(p, x, 0.1) for p, x in zip(targets, logits, strict=True)]
    np.testing.assert_allclose(cross_entropy(targets, logits, 0.1), expected, rtol=1e-5)


@pytest.mark.parametrize("local_count", [0, 1, 4])
def test_dino_loss__is_the_mean_over_pairs_of_different_views(local_count: int) -> None:
    batch, prototypes = 3, 6
    targets, views = distributions(2, batch, prototypes), outputs(2 + local_count, batch, prototypes)
    terms = [
        np.mean([plain_cross_entropy(targets[t, b], views[s, b], 0.1) for b in range(batch)])
        for t in range(2)
        for s in range(2 + local_count)
        if s != t
    ]
    local = views[2:] if local_count else None
    assert float(dino_loss(targets, views[:2], local, 0.1)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_dino_loss__of_uniform_outputs_is_ln_k_with_any_number_of_local_crops() -> None:
    for local_count in (0, 1, 8):
        local = torch.zeros(local_count, 4, 32) if local_count else None
        loss = dino_loss(distributions(2, 4, 32), torch.zeros(2, 4, 32), local, 0.1)
        assert float(loss) == pytest.approx(math.log(32), rel=1e-5)


def test_ibot_loss__weighs_each_masked_crop_alike_and_counts_the_others() -> None:
    # Four crops; two of them hide 3 and 1 patches.
    targets, logits = distributions(4, 5), outputs(4, 5)
    weights = torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0])
    entropies = [plain_cross_entropy(p, x, 0.1) for p, x in zip(targets, logits, strict=True)]
    expected = (np.mean(entropies[:3]) + entropies[3]) / 4
    assert float(ibot_loss(targets, logits, weights, 4, 0.1)) == pytest.approx(expected, rel=1e-5)


def test_koleo_loss__equals_brute_force() -> None:
    tokens = outputs(9, 5)
    unit = tokens.double() / tokens.double().norm(dim=1, keepdim=True)
    nearest = [
        min(math.dist(unit[i].tolist(), unit[j].tolist()) for j in range(9) if j != i) for i in range(9)
    ]
    expected = -np.mean(np.log(nearest))
    assert float(koleo_loss(tokens)) == pytest.approx(expected, abs=1e-4)
    assert float(koleo_loss(7 * tokens)) == pytest.approx(expected, abs=1e-4)


def test_koleo_loss__finds_the_nearest_under_autocast_too() -> None:
    # On a circle, a few thousandths apart: their cosines are all 1 in bfloat16.
    angles = torch.tensor([0.0, 0.001, 0.004, 0.009, 0.016])
    tokens = torch.stack([angles.cos(), angles.sin()], dim=1)
    plain = koleo_loss(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = koleo_loss(tokens)
    assert float(rounded) == pytest.approx(float(plain), rel=1e-5)


def test_koleo_loss__pushes_the_closest_apart() -> None:
    tokens = torch.tensor([[1.0, 0.0], [1.0, 0.05], [-1.0, 0.0]], requires_grad=True)
    koleo_loss(tokens).backward()
    assert tokens.grad is not None
    moved = (tokens - 1e-3 * tokens.grad).detach()
    assert float(koleo_loss(moved)) < float(koleo_loss(tokens.detach()))


def test_koleo_loss__of_equal_tokens_is_large_and_finite() -> None:
    tokens = torch.ones(4, 3, requires_grad=True)
    loss = koleo_loss(tokens)
    loss.backward()
    assert 15 < float(loss.detach()) < 25
    assert tokens.grad is not None and torch.isfinite(tokens.grad).all()
