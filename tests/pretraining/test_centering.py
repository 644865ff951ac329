"""Sinkhorn-Knopp and the moving-average centre against references in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reddino.pretraining.losses import centred_softmax, moved_center, sinkhorn_knopp, target_entropy


def some_logits(samples: int, prototypes: int, seed: int = 0) -> np.ndarray:
    """Cosine similarities, as a head gives them."""
    rng = np.random.default_rng(seed)
    tokens, directions = rng.normal(size=(samples, 8)), rng.normal(size=(prototypes, 8))
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return tokens @ directions.T


def plain_sinkhorn(logits: np.ndarray, temperature: float, iterations: int) -> np.ndarray:
    """The algorithm as SwAV's appendix writes it, on the transposed (K, B) matrix, entry by entry."""
    samples, prototypes = logits.shape
    q = [[math.exp(logits[b, k] / temperature) for b in range(samples)] for k in range(prototypes)]
    total = sum(map(sum, q))
    q = [[entry / total for entry in row] for row in q]
    for _ in range(iterations):
        q = [[entry / sum(row) / prototypes for entry in row] for row in q]
        column_sums = [sum(row[b] for row in q) for b in range(samples)]
        q = [[row[b] / column_sums[b] / samples for b in range(samples)] for row in q]
    return np.asarray(np.array(q).T * samples)


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize(("samples", "prototypes"), [(6, 4), (4, 6), (1, 5), (32, 16)])
@pytest.mark.parametrize("temperature", [0.02, 0.04, 0.07])
def test_sinkhorn_knopp__equals_the_plain_algorithm(
    samples: int, prototypes: int, temperature: float, iterations: int
) -> None:
    logits = some_logits(samples, prototypes)
    found = sinkhorn_knopp(torch.from_numpy(logits), temperature, iterations)
    expected = plain_sinkhorn(logits, temperature, iterations)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-3, atol=2e-5)


def test_sinkhorn_knopp__rows_are_distributions_after_any_number_of_iterations() -> None:
    for iterations in (1, 2, 3):
        found = sinkhorn_knopp(torch.from_numpy(some_logits(40, 16)), 0.05, iterations)
        torch.testing.assert_close(found.sum(dim=1), torch.ones(40))


def test_sinkhorn_knopp__converges_to_both_marginals() -> None:
    shares = [
        sinkhorn_knopp(torch.from_numpy(some_logits(64, 16)), 0.1, iterations).sum(dim=0)
        for iterations in (1, 3, 200)
    ]
    away = [float((share - 64 / 16).abs().max()) for share in shares]
    assert away[0] > away[1] > away[2]
    assert away[2] < 1e-3


def without_margins(array: np.ndarray) -> np.ndarray:
    return np.asarray(array - array.mean(axis=0) - array.mean(axis=1, keepdims=True) + array.mean())


def test_sinkhorn_knopp__converges_to_the_entropic_transport_plan() -> None:
    # The plan is exp(logits / T + f + g) for some f of the samples and g of the prototypes (Cuturi 2013).
    logits, temperature = some_logits(12, 5), 0.1
    plan = sinkhorn_knopp(torch.from_numpy(logits), temperature, 500).double()
    np.testing.assert_allclose(plan.sum(dim=0), np.full(5, 12 / 5), atol=1e-4)
    np.testing.assert_allclose(
        without_margins(plan.log().numpy()), without_margins(logits / temperature), atol=1e-3
    )


def test_sinkhorn_knopp__survives_low_temperatures_and_bf16() -> None:
    found = sinkhorn_knopp(torch.from_numpy(some_logits(16, 64)).bfloat16(), 0.005, 3)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()


def test_sinkhorn_knopp__of_no_rows_is_no_rows() -> None:
    assert sinkhorn_knopp(torch.zeros(0, 7), 0.04).shape == (0, 7)


def test_sinkhorn_knopp__padding_would_take_mass() -> None:
    # Why hidden patches are gathered first: a padded row is a sample like any other.
    logits = torch.from_numpy(some_logits(8, 4))
    padded = torch.cat([logits, torch.zeros(8, 4, dtype=logits.dtype)])
    assert not torch.allclose(sinkhorn_knopp(padded, 0.05)[:8], sinkhorn_knopp(logits, 0.05), atol=1e-2)


def test_centred_softmax__equals_the_closed_form() -> None:
    logits, center = some_logits(5, 7), some_logits(1, 7, seed=1)
    shifted = np.exp((logits - center) / 0.05)
    expected = shifted / shifted.sum(axis=1, keepdims=True)
    found = centred_softmax(torch.from_numpy(logits), torch.from_numpy(center).float(), 0.05)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_moved_center__equals_the_closed_form_after_many_batches() -> None:
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(4, 3)) for _ in range(6)]
    center = torch.zeros(1, 3)
    for batch in batches:
        center = moved_center(center, torch.from_numpy(batch), 0.9)
    expected = sum(0.1 * 0.9 ** (5 - i) * batch.mean(axis=0) for i, batch in enumerate(batches))
    np.testing.assert_allclose(center[0].numpy(), expected, atol=1e-6)


def test_moved_center__stays_without_samples() -> None:
    center = torch.tensor([[1.0, 2.0]])
    assert torch.equal(moved_center(center, torch.zeros(0, 2), 0.9), center)


def test_target_entropy__from_zero_to_ln_k() -> None:
    assert float(target_entropy(torch.eye(5))) == 0.0
    assert float(target_entropy(torch.full((3, 8), 1 / 8))) == pytest.approx(math.log(8))
    half = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert float(target_entropy(half)) == pytest.approx(math.log(2) / 2)
