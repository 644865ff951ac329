"""What holds of the losses of pretraining and of their targets, for logits of any size and range."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from reddino.pretraining.losses import (
    centred_softmax,
    cross_entropy,
    dino_loss,
    ibot_loss,
    koleo_loss,
    moved_center,
    sinkhorn_knopp,
    target_entropy,
)

TEMPERATURES = st.sampled_from([0.04, 0.07, 0.1, 1.0])


@st.composite
def logits(draw: st.DrawFn, views: int | None = None) -> Tensor:
    """Draw teacher or student outputs: (B, K), or (views, B, K)."""
    rows, prototypes = draw(st.integers(2, 8)), draw(st.integers(2, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    shape = (rows, prototypes) if views is None else (views, rows, prototypes)
    return torch.randn(shape, generator=generator) * draw(st.sampled_from([0.01, 0.3, 1.0]))


def shuffled(values: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    order = torch.randperm(values.shape[dim], generator=torch.Generator().manual_seed(0))
    return values.index_select(dim, order), order


@given(logits(), TEMPERATURES, st.integers(1, 5))
def test_sinkhorn_knopp__gives_each_sample_a_distribution(values: Tensor, temperature: float, n: int) -> None:
    targets = sinkhorn_knopp(values, temperature, n)
    assert (targets >= 0).all()
    assert torch.allclose(targets.sum(dim=1), torch.ones(len(values)), atol=1e-4)


@given(logits())
def test_sinkhorn_knopp__uses_all_prototypes_equally(values: Tensor) -> None:
    mass = sinkhorn_knopp(values, 1.0, 100).mean(dim=0)
    assert torch.allclose(mass, torch.full_like(mass, 1 / len(mass)), atol=1e-3)


@given(logits(), TEMPERATURES)
def test_sinkhorn_knopp__knows_no_order_of_samples_or_prototypes(values: Tensor, temperature: float) -> None:
    targets = sinkhorn_knopp(values, temperature)
    rows, order = shuffled(values, 0)
    assert torch.allclose(sinkhorn_knopp(rows, temperature), targets[order], atol=1e-4)
    columns, order = shuffled(values, 1)
    assert torch.allclose(sinkhorn_knopp(columns, temperature), targets[:, order], atol=1e-4)


@given(logits(), TEMPERATURES, st.floats(-50, 50))
def test_targets__do_not_see_what_all_prototypes_gain(
    values: Tensor, temperature: float, gain: float
) -> None:
    center = values.mean(dim=0, keepdim=True)
    for before, after in (
        (sinkhorn_knopp(values, temperature), sinkhorn_knopp(values + gain, temperature)),
        (
            centred_softmax(values, center, temperature),
            centred_softmax(values + gain, center, temperature),
        ),
    ):
        assert torch.allclose(before, after, atol=2e-3)


@given(logits(), st.floats(0, 1))
def test_moved_center__lies_between_the_old_one_and_the_mean(values: Tensor, momentum: float) -> None:
    old, mean = torch.zeros(1, values.shape[1]), values.mean(dim=0, keepdim=True)
    new = moved_center(old, values, momentum)
    assert (new <= torch.maximum(old, mean) + 1e-6).all()
    assert (new >= torch.minimum(old, mean) - 1e-6).all()


@given(logits(), logits(), TEMPERATURES)
def test_cross_entropy__is_at_least_the_entropy_of_its_targets(
    teacher: Tensor, student: Tensor, temperature: float
) -> None:
    rows, prototypes = (min(a, b) for a, b in zip(teacher.shape, student.shape, strict=True))
    targets = torch.softmax(teacher[:rows, :prototypes], dim=-1)
    loss = cross_entropy(targets, student[:rows, :prototypes], temperature).mean()
    assert loss >= target_entropy(targets) - 1e-5
    assert 0 <= target_entropy(targets) <= math.log(prototypes) + 1e-5


@given(logits(views=2), TEMPERATURES)
def test_dino_loss__is_that_of_either_order_of_the_views(values: Tensor, temperature: float) -> None:
    targets = torch.softmax(values / 0.5, dim=-1)
    both = dino_loss(targets, values, None, temperature)
    turned = dino_loss(targets.flip(0), values.flip(0), None, temperature)
    assert torch.allclose(both, turned, rtol=1e-4)
    # A teacher view meets the other student view, never its own.
    crossed = torch.stack([cross_entropy(targets[i], values[1 - i], temperature).mean() for i in (0, 1)])
    assert torch.allclose(both, crossed.mean(), rtol=1e-4)


@given(logits(), TEMPERATURES, st.integers(1, 4))
def test_ibot_loss__weighs_crops_without_a_mask_as_nothing(
    values: Tensor, temperature: float, empty: int
) -> None:
    targets, weights = torch.softmax(values, dim=-1), torch.full((len(values),), 1 / len(values))
    alone = ibot_loss(targets, values, weights, 1, temperature)
    assert torch.allclose(alone, cross_entropy(targets, values, temperature).mean(), rtol=1e-4)
    among_empty = ibot_loss(targets, values, weights, 1 + empty, temperature)
    assert torch.allclose(among_empty, alone / (1 + empty), rtol=1e-4)


@given(logits(), st.floats(0.1, 10))
def test_koleo_loss__sees_directions_alone_and_no_order(values: Tensor, scale: float) -> None:
    loss = koleo_loss(values)
    assert torch.allclose(koleo_loss(values * scale), loss, rtol=1e-2, atol=1e-2)
    assert torch.allclose(koleo_loss(shuffled(values, 0)[0]), loss, rtol=1e-3, atol=1e-3)
