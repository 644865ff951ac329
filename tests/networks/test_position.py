"""Resampled position embeddings against torch's formula and against bicubic weights written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reddino.networks.position import resample_positions

DIM = 5


def embedding(side: int) -> Tensor:
    return torch.randn(1, 1 + side * side, DIM, generator=torch.Generator().manual_seed(side))


def test_resample_positions__returns_the_argument_at_the_same_grid() -> None:
    given = embedding(6)
    assert resample_positions(given, (6, 6)) is given


@pytest.mark.parametrize(("side", "grid"), [(37, (16, 16)), (16, (7, 7)), (5, (8, 8)), (8, (3, 6))])
def test_resample_positions__equals_the_formula_of_dinov2(side: int, grid: tuple[int, int]) -> None:
    given = embedding(side)
    image = given[0, 1:].T.reshape(1, DIM, side, side)
    scaled = functional.interpolate(
        image, scale_factor=tuple((n + 0.1) / side for n in grid), mode="bicubic", antialias=False
    )
    assert scaled.shape[2:] == torch.Size(grid)
    expected = torch.cat([given[0, :1], scaled[0].flatten(1).T])[None]
    torch.testing.assert_close(resample_positions(given, grid), expected)


def _weight(distance: float, a: float = -0.75) -> float:
    """Keys' cubic convolution kernel."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def _bicubic_matrix(new: int, old: int) -> np.ndarray:
    """(new, old): where output i looks when sizes are related by (new + 0.1) / old."""
    matrix = np.zeros((new, old))
    for i in range(new):
        centre = (i + 0.5) * old / (new + 0.1) - 0.5
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            matrix[i, min(max(tap, 0), old - 1)] += _weight(centre - tap)
    return matrix


@pytest.mark.parametrize(("side", "new"), [(8, 5), (8, 11), (37, 16)])
def test_resample_positions__equals_bicubic_weights_written_out(side: int, new: int) -> None:
    given = embedding(side)
    matrix = _bicubic_matrix(new, side)
    image = given[0, 1:].double().numpy().reshape(side, side, DIM)
    expected = np.einsum("ia,jb,abd->ijd", matrix, matrix, image).reshape(new * new, DIM)
    found = resample_positions(given, (new, new))[0]
    np.testing.assert_allclose(found[1:].numpy(), expected, atol=1e-5)
    assert torch.equal(found[0], given[0, 0])


def test_resample_positions__keeps_other_prefix_tokens_and_type() -> None:
    given = torch.randn(1, 3 + 16, DIM).bfloat16()
    found = resample_positions(given, (2, 2), prefix_tokens=3)
    assert found.dtype == torch.bfloat16
    assert found.shape == (1, 3 + 4, DIM)
    assert torch.equal(found[:, :3], given[:, :3])
