"""Novelty: a quantile among held-out training cells of other groups, from a bounded sample."""

from __future__ import annotations

import numpy as np
import pytest

from reddino.classification import novelty as novelty_module
from reddino.classification.novelty import Novelty, balanced_sample, fit_novelty, nearest_distances
from reddino.foundations.errors import RedDinoError


def cells(rows: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (rows, 24)).astype(np.float32)


def grouped(rows: int) -> tuple[list[str], list[str]]:
    return ["a" if i % 3 else "b" for i in range(rows)], [f"g{i % 20}" for i in range(rows)]


def fitted(rows: int = 600) -> Novelty:
    found = fit_novelty(cells(rows, seed=0), *grouped(rows))
    assert found is not None
    return found[0]


def test_novelty__new_cells_of_the_same_kind_are_spread_evenly() -> None:
    score = fitted().score(cells(2000, seed=1))
    assert np.quantile(score, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.06)
    assert score.min() >= 0 and score.max() <= 1


def test_novelty__cells_of_another_kind_are_beyond_all() -> None:
    assert (fitted().score(cells(100, seed=1, shift=3.0)) == 1.0).all()


def test_novelty__the_scale_leaves_a_cells_own_group_out() -> None:
    # Every group is one point: cells within it are at 0, and as far from others as new ones are.
    points = np.repeat(cells(20, seed=0), 30, axis=0)
    groups = [f"g{i // 30}" for i in range(600)]
    found = fit_novelty(points, ["a"] * 600, groups)
    assert found is not None
    assert found[0].held_out.min() > 0.1
    assert np.median(found[0].score(cells(200, seed=5))) < 0.9


def test_novelty__one_group_holds_nothing_out() -> None:
    assert fit_novelty(cells(50, seed=0), ["a"] * 50, ["g"] * 50) is None


def test_novelty__is_the_same_for_vectors_of_any_scale() -> None:
    found, huge = fitted(), fit_novelty(cells(600, seed=0) * np.float32(1e6), *grouped(600))
    new = cells(50, seed=3)
    assert huge is not None and np.isfinite(huge[0].kept).all()
    assert huge[0].score(new * np.float32(1e6)) == pytest.approx(found.score(new), abs=1e-3)


def test_novelty__refuses_vectors_of_another_length() -> None:
    with pytest.raises(RedDinoError, match="vectors of 24 numbers, not of 3"):
        fitted().score(np.zeros((1, 3), np.float32))


def test_nearest_distances__agree_with_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty_module, "_AT_ONCE", 7)
    new, kept = cells(30, seed=0), cells(40, seed=1)
    own, theirs = np.arange(30) % 4, np.arange(40) % 4
    every = np.linalg.norm(new[:, None] - kept[None], axis=2)
    every[own[:, None] == theirs] = np.inf
    expected = np.sort(every, axis=1)[:, :10].mean(axis=1)
    assert nearest_distances(new, kept, (own, theirs)) == pytest.approx(expected, rel=1e-4)


def test_balanced_sample__keeps_all_of_a_rare_class_and_every_group() -> None:
    labels = ["rare"] * 5 + ["common"] * 500
    groups = [f"g{i % 25}" for i in range(505)]
    chosen = balanced_sample(labels, groups, 60, 0)
    assert len(chosen) == 60 == len(set(chosen.tolist()))
    assert set(range(5)) <= set(chosen.tolist())
    assert len({groups[i] for i in chosen.tolist()}) == 25
