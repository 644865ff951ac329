"""What is learned from labels: the probe, its running score, candidates, and when labels stop helping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pools import NAMES, answers, clustered_pool
from sklearn.linear_model import LogisticRegression

from reddino.reviewing.learning import (
    STRENGTH,
    candidates_only,
    fit_probe,
    held_out_score,
    stopped_helping,
)
from reddino.reviewing.pool import CellVectors, Labelled


def test_probe__equals_scikit_learn_on_the_components() -> None:
    pool, classes = clustered_pool()
    labelled = answers(classes, np.arange(200))
    probe = fit_probe(pool, labelled)
    assert probe is not None
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2000, tol=1e-8)
    model.fit(pool.features[:200], classes[:200])
    expected = model.predict_proba(pool.features)
    np.testing.assert_allclose(probe.of_features(pool.features), expected, atol=2e-3)
    likeliest, certainty = probe.likeliest(pool.features)
    assert (likeliest == expected.argmax(axis=1)).mean() > 0.99
    np.testing.assert_allclose(certainty, expected.max(axis=1), atol=2e-3)
    assert (likeliest == classes).mean() > 0.95


def test_probe__needs_two_classes_and_passes_over_those_without_a_label() -> None:
    pool, classes = clustered_pool()
    assert fit_probe(pool, answers(classes, np.flatnonzero(classes == 0))) is None
    assert fit_probe(pool, answers(classes, np.arange(0))) is None
    two = fit_probe(pool, answers(classes, np.flatnonzero(classes < 2)[:50]))
    assert two is not None
    likely = two.of_features(pool.features)
    assert likely[:, 2:].max() < 1e-6 and likely.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_candidates__are_classes_of_few_cells_or_few_groups() -> None:
    pool, classes = clustered_pool()
    rows = np.concatenate([np.flatnonzero(classes < 2)[:120], np.flatnonzero(classes == 3)[:9]])
    assert candidates_only(pool, answers(classes, rows)) == ("target", "ring")
    one_field = replace(pool, groups=np.where(classes == 0, 0, pool.groups))
    assert "disc" in candidates_only(one_field, answers(classes, rows))


def test_held_out__never_learns_from_the_group_that_it_scores() -> None:
    # Each group's cells look alike and are of one class at random: only by its own cells could one tell.
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 8)
    classes = draw.integers(2, size=60)[groups]
    vectors = (draw.normal(size=(60, 12))[groups] * 5 + draw.normal(size=(480, 12)) * 0.1).astype(np.float32)
    pool = CellVectors(vectors, groups, groups).pool()
    found = held_out_score(pool, Labelled(np.arange(480), classes.astype(np.int64), ("a", "b")))
    assert found.macro_f1 is not None and found.low is not None and found.high is not None
    assert found.macro_f1 < 0.7 and found.low < found.macro_f1 < found.high


def test_held_out__scores_classes_that_count_and_leaves_candidates_out() -> None:
    pool, classes = clustered_pool()
    rows = np.concatenate([np.flatnonzero(classes < 3)[:240], np.flatnonzero(classes == 3)[:5]])
    found = held_out_score(pool, answers(classes, rows))
    by_name = {one.name: one for one in found.by_class}
    assert found.labels == 245 and found.macro_f1 is not None and found.macro_f1 > 0.9
    assert by_name["ring"].candidates_only and by_name["ring"].f1 is None and by_name["ring"].cells == 5
    assert by_name["disc"].f1 is not None and not by_name["disc"].candidates_only
    counted = [one.f1 for one in found.by_class if one.f1 is not None]
    assert found.macro_f1 == pytest.approx(np.mean(counted))


def test_held_out__says_why_there_is_no_score_or_no_interval() -> None:
    pool, classes = clustered_pool(fields=4)
    none = held_out_score(pool, answers(classes, np.arange(8)))
    assert none.macro_f1 is None and none.note == "no score yet: two classes need 10 cells in 3 groups"
    few = held_out_score(pool, answers(classes, np.arange(200)))
    assert few.macro_f1 is not None and few.low is None
    assert few.note == "no interval: 4 groups are labelled, of 10 needed"
    assert [one.name for one in few.by_class] == list(NAMES)


def test_stopped__after_four_scores_without_a_gain() -> None:
    assert not stopped_helping([0.5, 0.6, 0.7, 0.8])
    assert not stopped_helping([None, 0.5, 0.6, 0.7, 0.72, 0.75])
    assert stopped_helping([0.5, 0.8, 0.8, 0.805, 0.79, 0.8])
    assert not stopped_helping([0.5, 0.8, 0.8, 0.805, 0.79, 0.83])


def test_held_out__interval_of_a_score_near_one_ends_at_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reddino.reviewing.learning.interval", lambda *_: (0.9, 1.02))
    pool, classes = clustered_pool()
    found = held_out_score(pool, answers(classes, np.arange(300)))
    assert (found.low, found.high) == (0.9, 1.0)
