"""The projection head."""

from __future__ import annotations

import pytest
import torch

from reddino.pretraining.heads import ProjectionHead


def head(center_output: bool = False, layers: int = 3, dtype: torch.dtype = torch.float32) -> ProjectionHead:
    made = ProjectionHead(
        6, hidden=16, bottleneck=8, prototypes=10, layers=layers, center_output=center_output
    )
    made.initialise(torch.Generator().manual_seed(0))
    return made.to(dtype)


def tokens(count: int) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("center_output", [False, True])
@torch.no_grad()
def test_head__gives_cosines_with_the_prototypes(center_output: bool) -> None:
    made = head(center_output).double()
    x = tokens(5).double()
    found = made(x)
    bottleneck = made.mlp(x)
    if center_output:
        bottleneck = bottleneck - bottleneck.mean(dim=0)
    expected = torch.cosine_similarity(bottleneck[:, None], made.prototypes[None], dim=-1)
    torch.testing.assert_close(found, expected)
    assert found.abs().max() <= 1 + 1e-9


@torch.no_grad()
def test_head__length_of_prototypes_does_not_matter() -> None:
    made, x = head(), tokens(5)
    before = made(x)
    made.prototypes.mul_(torch.linspace(0.5, 3, 10)[:, None])
    torch.testing.assert_close(made(x), before)


@torch.no_grad()
def test_head__centred_output_tells_almost_equal_tokens_apart() -> None:
    almost_equal = torch.ones(32, 6) + 1e-3 * tokens(32)
    assert head()(almost_equal).std(dim=0).max() < 1e-2
    assert head(center_output=True)(almost_equal).std(dim=0).max() > 0.1


@torch.no_grad()
def test_head__centred_output_of_one_token_is_not_centred_away() -> None:
    torch.testing.assert_close(head(center_output=True)(tokens(1)), head()(tokens(1)))


@pytest.mark.parametrize(("layers", "linear"), [(1, 1), (2, 2), (3, 3)])
def test_head__has_as_many_layers_as_asked(layers: int, linear: int) -> None:
    made = head(layers=layers)
    assert sum(isinstance(module, torch.nn.Linear) for module in made.mlp) == linear
    assert sum(isinstance(module, torch.nn.GELU) for module in made.mlp) == linear - 1
    assert made(tokens(2)).shape == (2, 10)


def test_initialise__unit_prototypes_from_the_generator() -> None:
    first, second = head(), head()
    torch.testing.assert_close(first.prototypes.norm(dim=1), torch.ones(10))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    other = head()
    other.initialise(torch.Generator().manual_seed(1))
    assert not torch.equal(other.prototypes, first.prototypes)


@torch.no_grad()
def test_head__computes_in_bf16_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head()(tokens(4))
    torch.testing.assert_close(found.float(), head()(tokens(4)), atol=2e-2, rtol=0)
