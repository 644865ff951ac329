"""Kappas equal scikit-learn's and those of a published table, and their intervals cover what they claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from reddino.reviewing.agreement import agreement
from reddino.reviewing.consensus import consensus_of
from reddino.reviewing.kappa import cohen_kappa, fleiss_kappa, fleiss_sums
from reddino.reviewing.records import Verdict
from reddino.reviewing.state import ReviewState

#: Fleiss 1971, table 1: how many of six psychiatrists gave each of 30 patients one of five diagnoses
#: (depression, personality disorder, schizophrenia, neurosis, other).
FLEISS_1971 = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006
10050 11040 03300 10050 02031 00501 30012 51000 02040 10203
00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""
COUNTS = np.array([[int(digit) for digit in row] for row in FLEISS_1971.split()], dtype=np.float64)


def state_of(said: Mapping[str, Sequence[str | None]], deciding: str = "") -> ReviewState:
    """What readers say of cells 0, 1, ...: a class, `[artefact]`, or None."""
    verdicts: dict[int, dict[str, Verdict]] = {}
    for reader, answers in said.items():
        for cell, answer in enumerate(answers):
            if answer is not None:
                kind = "artefact" if answer == "[artefact]" else "label"
                label = "" if kind == "artefact" else answer
                one = Verdict(reader, kind, label, None, "", len(verdicts) + 1, reader == deciding)  # type: ignore[arg-type]
                verdicts.setdefault(cell, {})[reader] = one
    return ReviewState(
        verdicts=verdicts, agreed={cell: consensus_of(one.values()) for cell, one in verdicts.items()}
    )


def test_fleiss_kappa__is_that_of_the_paper() -> None:
    assert round(float(fleiss_kappa(fleiss_sums(COUNTS).sum(axis=0))), 3) == 0.430
    against_all = [np.column_stack([COUNTS[:, one], 6 - COUNTS[:, one]]) for one in range(5)]
    each = [round(float(fleiss_kappa(fleiss_sums(counts).sum(axis=0))), 3) for counts in against_all]
    assert each == [0.245, 0.245, 0.520, 0.471, 0.566]  # as R's irr prints them


def test_cohen_kappa__equals_scikit_learn() -> None:
    draw = np.random.default_rng(3)
    for classes in (2, 3, 7):
        first = draw.integers(classes, size=200)
        second = np.where(draw.random(200) < 0.6, first, draw.integers(classes, size=200))
        confusion = np.zeros((classes, classes))
        np.add.at(confusion, (first, second), 1)
        assert float(cohen_kappa(confusion)) == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert np.isnan(cohen_kappa(np.diag([5.0, 0.0])))


def test_agreement__of_two_readers_is_cohens_for_all_answers_and_each() -> None:
    draw = np.random.default_rng(0)
    names = np.array(["ring", "round", "[artefact]"])
    first = names[draw.integers(3, size=120)]
    second = np.where(draw.random(120) < 0.7, first, names[draw.integers(3, size=120)])
    groups = [f"field {cell // 6}" for cell in range(130)]
    said: dict[str, list[str | None]] = {"Ada": [*first, *["ring"] * 10], "Ben": [*second, *[None] * 10]}
    found = agreement(state_of(said), groups)
    assert [one.answer for one in found] == ["", "[artefact]", "ring", "round"]
    for one in found:
        a, b = (first, second) if one.answer == "" else (first == one.answer, second == one.answer)
        assert one.kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
        assert (one.measure, one.readers) == ("cohen", ("Ada", "Ben"))
        if one.answer == "":
            assert one.agreement == pytest.approx(np.mean(a == b))
            assert (one.cells, one.groups) == (120, 20)
        else:
            assert one.agreement == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
            either = np.flatnonzero(a | b)
            assert (one.cells, one.groups) == (len(either), len(set(either // 6)))
        assert one.interval is not None and one.interval[0] < one.kappa < one.interval[1]


def test_agreement__of_three_readers_is_fleiss_too_also_where_one_did_not_read_all() -> None:
    said: dict[str, list[str | None]] = {
        "Ada": ["a", "a", "b", "b", "a", None],
        "Ben": ["a", "b", "b", "b", None, None],
        "Cleo": ["a", "a", "b", "a", "a", "b"],
    }
    found = [one for one in agreement(state_of(said), ["g"] * 6) if one.measure == "fleiss"]
    assert [one.cells for one in found] == [5]  # cell 5 was read once
    # By hand: agreeing pairs 1, 1/3, 1, 1/3, 1; 8 times a and 6 times b.
    observed, chance = (3 + 2 / 3) / 5, (8 / 14) ** 2 + (6 / 14) ** 2
    assert found[0].agreement == pytest.approx(observed)
    assert found[0].kappa == pytest.approx((observed - chance) / (1 - chance))
    assert found[0].interval is None  # of one group


def test_agreement__leaves_out_who_decided() -> None:
    said: dict[str, list[str | None]] = {"Ada": ["a", "b"], "Ben": ["b", "b"], "Cleo": ["a", None]}
    found = agreement(state_of(said, deciding="Cleo"), ["g", "h"])
    assert [one.readers for one in found] == [("Ada", "Ben")]


def test_agreement__of_an_answer_in_few_groups_has_no_interval() -> None:
    first = ["a", "b", "c"] * 40
    rare = [*["d"] * 8, *first[8:]]  # in two fields
    found = agreement(state_of({"Ada": rare, "Ben": rare}), [str(cell // 4) for cell in range(120)])
    named = {one.answer: one for one in found}
    assert named["d"].interval is None and (named["d"].groups, named["d"].cells) == (2, 8)
    assert named["a"].interval is not None and named[""].interval is not None


def test_agreement__of_readers_who_never_differ_is_not_beyond_doubt() -> None:
    def least(cells: int) -> float:
        both = ["a", "b"] * (cells // 2)
        (found,) = agreement(state_of({"Ada": both, "Ben": both}), [str(cell) for cell in range(cells)])
        assert found.kappa == 1.0 and found.interval is not None and found.interval[1] == 1.0
        return found.interval[0]

    assert 0.3 < least(10) < least(20) < least(200) < 0.98


def test_agreement__intervals_cover_the_true_kappa_of_grouped_cells() -> None:
    draw = np.random.default_rng(1)
    truth = 0.6  # of readers that repeat each other with that probability, over two even classes
    covered = 0
    for _ in range(60):
        # A field is easy or hard as a whole: cells of one are no 8 independent trials.
        agree = draw.random(40) < truth
        first = draw.integers(2, size=320)
        second = np.where(np.repeat(agree, 8), first, draw.integers(2, size=320))
        said = {"Ada": [str(one) for one in first], "Ben": [str(one) for one in second]}
        (found,) = agreement(state_of(said), [str(cell // 8) for cell in range(320)])
        assert found.interval is not None
        covered += found.interval[0] <= truth <= found.interval[1]
    assert covered >= 52  # 95 % of 60 are 57


def test_consensus__holds_of_all_of_a_majority_or_of_who_decides() -> None:
    def standing(*answers: str, deciding: str = "") -> tuple[str, str]:
        said = {str(number): [answer] for number, answer in enumerate(answers)}
        found = state_of(said, deciding).consensus(0)
        return found.standing, found.label

    assert standing("a") == ("single", "a") and standing("a", "a") == ("agreed", "a")
    assert standing("a", "b") == ("disputed", "") and standing("a", "b", "b") == ("majority", "b")
    assert standing("a", "b", "c") == ("disputed", "") and standing("a", "b", "a", "b") == ("disputed", "")
    assert standing("a", "[artefact]") == ("disputed", "")
    assert standing("a", "b", "c", deciding="2") == ("decided", "c")
    assert ReviewState().consensus(0).standing == "open"


def test_seen_by__a_blind_reader_sees_only_their_own_verdicts() -> None:
    state = state_of({"Ada": ["a", "a"], "Ben": ["b", None]})
    assert state.seen_by("Ben", blind=False) is state and state.disputed() == [0]
    seen = state.seen_by("Ben", blind=True)
    assert seen.labels() == {0: "b"} and seen.answered() == {0} and seen.disputed() == []
    assert state.seen_by("Cleo", blind=True).counts() == {}
    assert state.counts() == {"[disputed]": 1, "a": 1}
