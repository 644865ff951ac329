"""Signs of collapse: the measures, and that each is said in words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reddino.pretrain.signs import Signs, batch_too_small, effective_rank, in_words

PROTOTYPES, DIM, BATCH = 512, 192, 96
HEALTHY = {"dino_loss": 4.0, "target_entropy": 3.0, "rank": 40.0, "prototypes_used": 0.3}


def said(progress: float = 0.5, **changes: float) -> list[str]:
    return in_words({**HEALTHY, **changes}, prototypes=PROTOTYPES, dim=DIM, batch=BATCH, progress=progress)


def test_effective_rank__equals_numpy() -> None:
    features = np.random.default_rng(0).normal(size=(40, 6)) * np.array([5, 3, 1, 0.5, 0.1, 0.01])
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    share = values / values.sum()
    expected = math.exp(-(share * np.log(share)).sum())
    assert effective_rank(torch.from_numpy(features)) == pytest.approx(expected, rel=1e-4)


def test_effective_rank__of_known_shapes() -> None:
    line = torch.linspace(-1, 1, 20)[:, None] * torch.tensor([[1.0, 2.0, 3.0]])
    assert effective_rank(line + 7) == pytest.approx(1.0, abs=0.01)
    # The corners of a cross-polytope vary alike along each axis.
    corners = torch.cat([torch.eye(5), -torch.eye(5)])
    assert effective_rank(corners) == pytest.approx(5.0, rel=1e-4)


@pytest.mark.parametrize(
    "features", [torch.ones(8, 4), torch.full((8, 4), math.nan), torch.full((8, 4), math.inf)]
)
def test_effective_rank__is_zero_without_variation_or_numbers(features: torch.Tensor) -> None:
    assert effective_rank(features) == 0.0


def test_signs__means_over_a_window() -> None:
    signs = Signs(4)
    one, two = torch.eye(4)[[0, 1]], torch.full((2, 4), 0.25)
    signs.add({"loss": 1.0}, torch.stack([one, one]))
    signs.add({"loss": 3.0}, torch.stack([two, one]))
    means = signs.means()
    assert means["loss"] == 2.0
    assert means["target_entropy"] == pytest.approx(math.log(4) / 4)
    assert means["prototypes_used"] == 0.5
    signs.reset()
    assert signs.means() == {"prototypes_used": 0.0}


def test_in_words__is_silent_when_all_is_well() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"dino_loss": math.log(PROTOTYPES)}, "loss sits at ln K = 6.24"),
        ({"target_entropy": 0.99 * math.log(PROTOTYPES)}, "targets are almost uniform (entropy 6.18"),
        ({"prototypes_used": 0.01}, "only 1.0% of the prototypes are in use"),
        ({"rank": 1.2}, "vary along about 1.2 of 192 directions"),
        ({"skipped_steps": 3.0}, "3 steps gave no finite loss"),
    ],
)
def test_in_words__says_each_sign(record: dict[str, float], words: str) -> None:
    sentences = said(**record)
    assert len(sentences) == 1
    assert words in sentences[0]


def test_in_words__does_not_judge_the_first_steps_but_for_lost_ones() -> None:
    assert said(progress=0.05, dino_loss=6.3, target_entropy=6.2, rank=1.0, prototypes_used=0.0) == []
    assert len(said(progress=0.05, skipped_steps=1.0)) == 1


def test_in_words__prototypes_in_use_are_judged_by_what_the_batch_can_reach() -> None:
    # 131,072 prototypes and 2 x 96 class tokens: 0.1 % in use is most that could be.
    few = {**HEALTHY, "prototypes_used": 0.001}
    assert in_words(few, prototypes=131_072, dim=DIM, batch=BATCH, progress=0.5) == []


def test_batch_too_small__names_the_floor() -> None:
    assert batch_too_small(512, 96) is None
    assert batch_too_small(131_072, 1024) is None
    sentence = batch_too_small(131_072, 32)
    assert sentence is not None
    assert f"{math.log(131_072 / 64):.1f}" in sentence
