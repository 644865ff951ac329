"""Abstention: the error rate that is named holds on new groups, and too little evidence is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from reddino.classification.abstention import HeldOutCells, answer_rule
from reddino.foundations.errors import RedDinoError


def held_out(groups: int, cells: int, *, seed: int, together: float = 0.0) -> HeldOutCells:
    """Cells whose probability is that of being right; with `together`, errors of one group go together."""
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(groups), cells)
    probability = rng.uniform(0.5, 1.0, len(number))
    luck = np.where(rng.random(len(number)) < together, rng.random(groups)[number], rng.random(len(number)))
    return HeldOutCells(probability, rng.uniform(0, 1, len(number)), luck < probability, number)


@pytest.mark.parametrize("together", [0.0, 0.5])
def test_answer_rule__keeps_the_risk_on_new_groups(together: float) -> None:
    broken = answered = 0
    for seed in range(60):
        try:
            rule = answer_rule(held_out(60, 20, seed=seed, together=together), 0.15)
        except RedDinoError:
            continue
        new = held_out(400, 20, seed=1000 + seed, together=together)
        kept = ~rule.abstained(new.probability, new.novelty)
        broken += (~new.correct[kept]).mean() > 0.15
        answered += 1
    assert answered >= 30
    # 5 % of 60 are 3; that 8 or more are broken then has a probability under 1 %.
    assert broken <= 7


def test_answer_rule__a_laxer_risk_answers_more() -> None:
    cells = held_out(100, 20, seed=0)
    strict, lax = answer_rule(cells, 0.1), answer_rule(cells, 0.2)
    assert strict.probability > lax.probability and strict.coverage < lax.coverage
    assert strict.bound <= 0.1 and lax.bound <= 0.2
    assert lax.errors / lax.answered < lax.bound


def test_answer_rule__novel_cells_get_no_answer_however_sure() -> None:
    rule = answer_rule(held_out(100, 20, seed=0), 0.2)
    assert rule.abstained(np.array([1.0, 1.0, 0.5]), np.array([0.99, 0.5, 0.5])).tolist() == [
        True,
        False,
        True,
    ]


def test_answer_rule__without_errors_the_bound_is_clopper_and_pearsons() -> None:
    number = np.repeat(np.arange(400), 1)
    cells = HeldOutCells(np.ones(400), np.zeros(400), np.ones(400, np.bool_), number)
    assert answer_rule(cells, 0.1).bound == pytest.approx(float(beta.ppf(0.95, 1, 400)), rel=1e-6)


@pytest.mark.parametrize(
    ("groups", "cells", "risk", "reason"),
    [
        (5, 200, 0.1, "10 groups were held out, and there are 5"),
        (12, 1, 0.05, "cannot be shown by 12 held-out groups with 12 cells"),
        (100, 20, 0.001, "cannot be shown"),
        (100, 20, 0.0, "is no error rate"),
        (100, 20, 1.5, "is no error rate"),
    ],
)
def test_answer_rule__refuses_what_cannot_be_shown(groups: int, cells: int, risk: float, reason: str) -> None:
    with pytest.raises(RedDinoError, match=reason):
        answer_rule(held_out(groups, cells, seed=0), risk)
