"""Collapse diagnostics: the measures, and the warning of each."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reddino.pretraining.run.diagnostics import (
    CollapseDiagnostics,
    batch_too_small,
    collapse_warnings,
    effective_rank,
    is_plateau,
    recent_losses,
)

PROTOTYPES, DIM, BATCH = 512, 192, 96
HEALTHY = {"dino_loss": 4.0, "target_entropy": 3.0, "rank": 40.0, "prototypes_used": 0.3}


def warnings(progress: float = 0.5, **changes: float) -> list[str]:
    return collapse_warnings(
        {**HEALTHY, **changes}, prototypes=PROTOTYPES, dim=DIM, batch=BATCH, progress=progress
    )


def test_effective_rank__equals_numpy() -> None:
    features = np.random.default_rng(0).normal(size=(40, 6)) * np.array([5, 3, 1, 0.5, 0.1, 0.01])
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    fraction = values / values.sum()
    expected = math.exp(-(fraction * np.log(fraction)).sum())
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


def test_diagnostics__means_over_a_window() -> None:
    diagnostics = CollapseDiagnostics(4)
    one, two = torch.eye(4)[[0, 1]], torch.full((2, 4), 0.25)
    diagnostics.add({"loss": 1.0}, torch.stack([one, one]))
    diagnostics.add({"loss": 3.0}, torch.stack([two, one]))
    means = diagnostics.means()
    assert means["loss"] == 2.0
    assert means["target_entropy"] == pytest.approx(math.log(4) / 4)
    assert means["prototypes_used"] == 0.5
    diagnostics.reset()
    assert diagnostics.means() == {"prototypes_used": 0.0}


def test_warnings__none_when_all_is_well() -> None:
    assert warnings() == []


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"target_entropy": 0.99 * math.log(PROTOTYPES)}, "targets are almost uniform (entropy 6.18"),
        ({"prototypes_used": 0.01}, "only 1.0% of the prototypes are in use"),
        ({"rank": 1.2}, "vary along about 1.2 of 192 directions"),
        ({"skipped_steps": 3.0}, "3 steps gave no finite loss"),
    ],
)
def test_warnings__of_each_fault(record: dict[str, float], words: str) -> None:
    sentences = warnings(**record)
    assert len(sentences) == 1
    assert words in sentences[0]


#: Prototypes, steps, and the DINO losses that runs printed, record by record: two of the demo and one of
#: vit-tiny-scratch, whose losses fell to the end, and three on synthetic smears whose losses did not.
LEARNED = {
    "demo": (
        128,
        140,
        [4.961, 4.895, 4.855, 4.855, 4.845, 4.825, 4.828, 4.816, 4.802, 4.803, 4.797, 4.779, 4.783, 4.783],
    ),
    "slow demo": (
        128,
        140,
        [4.952, 4.892, 4.864, 4.848, 4.843, 4.841, 4.838, 4.833, 4.843, 4.824, 4.838, 4.829, 4.823, 4.819],
    ),
    "tiny": (512, 750, [6.271, 6.220, 6.199, 6.167, 6.111, 6.086, 6.035, 6.028, 5.942, 5.912]),
}
STUCK = {
    "sharp targets": (256, 250, [5.625, 5.566, 5.556, 5.554, 5.545, 5.550, 5.542, 5.542]),
    "uniform targets": (512, 100, [6.309, 6.243, 6.237, 6.234, 6.233, 6.235, 6.233, 6.234, 6.234, 6.235]),
    "from above": (256, 80, [5.657, 5.567, 5.551, 5.560, 5.548, 5.547]),
}


def judged(prototypes: int, steps: int, losses: list[float], every: int) -> list[bool]:
    """Whether a plateau is found at each record of a run."""
    history = [(every * number, loss) for number, loss in enumerate(losses, 1)]
    windows = [recent_losses(history[:count], steps, 0.1) for count in range(1, len(history) + 1)]
    return [is_plateau(window, prototypes) for window in windows]


@pytest.mark.parametrize("name", LEARNED)
def test_plateau__is_never_found_in_runs_that_learn_if_slowly(name: str) -> None:
    assert not any(judged(*LEARNED[name], every=20 if name == "tiny" else 10))


@pytest.mark.parametrize("name", STUCK)
def test_plateau__is_found_in_runs_that_learn_nothing_before_they_end(name: str) -> None:
    found = judged(*STUCK[name], every=25 if name == "sharp targets" else 10)
    assert any(found)
    assert not any(found[:3])


def test_plateau__waits_until_warm_up_is_over_and_looks_at_a_fifth_of_the_run() -> None:
    flat = [(10 * number, 6.0 + number) for number in range(1, 51)]
    assert recent_losses(flat[:3], 1000, 0.0) == [7.0, 8.0, 9.0]
    assert recent_losses(flat[:11], 1000, 0.1) == []
    assert recent_losses(flat[:12], 1000, 0.09) == [15.0, 16.0, 17.0, 18.0]
    assert recent_losses(flat, 1000, 0.1) == [6.0 + number for number in range(30, 51)]
    assert recent_losses(flat[:2], 1000, 0.0) == []


def test_plateau__is_warned_of_with_both_ends() -> None:
    uniform = math.log(PROTOTYPES)
    record = {**HEALTHY, "dino_loss": uniform}
    (sentence,) = collapse_warnings(
        record,
        prototypes=PROTOTYPES,
        dim=DIM,
        batch=BATCH,
        progress=0.5,
        losses=[uniform + 0.001, uniform, uniform],
    )
    assert "the loss stays at ln K: 6.239 before, 6.238 now, 6.238 for a student" in sentence
    assert warnings(dino_loss=uniform) == []  # a single record is no plateau


def test_warnings__does_not_judge_the_first_steps_but_for_lost_ones() -> None:
    assert warnings(progress=0.05, dino_loss=6.3, target_entropy=6.2, rank=1.0, prototypes_used=0.0) == []
    assert len(warnings(progress=0.05, skipped_steps=1.0)) == 1


def test_warnings__prototypes_in_use_are_judged_by_what_the_batch_can_reach() -> None:
    # 131,072 prototypes and 2 x 96 class tokens: 0.1 % in use is most that could be.
    few = {**HEALTHY, "prototypes_used": 0.001}
    assert collapse_warnings(few, prototypes=131_072, dim=DIM, batch=BATCH, progress=0.5) == []


def test_batch_too_small__names_the_floor() -> None:
    assert batch_too_small(512, 96) is None
    assert batch_too_small(131_072, 1024) is None
    sentence = batch_too_small(131_072, 32)
    assert sentence is not None
    assert f"{math.log(131_072 / 64):.1f}" in sentence
