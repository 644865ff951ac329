"""Models side by side: the same cells for all, seen sources apart, and paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from toy_tables import laboratories

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.compare import OTHER_PART, SEEN_PART, compare_tables
from reddino.evaluation.protocol import evaluate_table
from reddino.evaluation.question import Question
from reddino.evaluation.results import paired_differences
from reddino.foundations.errors import RedDinoError

LOO = Question(protocol="leave-one-source-out", resamples=100)


def test_cross_source__scores_equal_each_pair_by_itself() -> None:
    emb = laboratories()
    result = evaluate_table(emb, Question(protocol="cross-source"))
    assert len(result.folds) == 6
    source = np.array(emb.strings("source"))
    for fold in result.folds:
        pair = emb.select(np.isin(source, [fold.trained_on, fold.tested_on]))
        alone = evaluate_table(
            pair, Question(protocol="fixed", split_column="source", test_values=(fold.tested_on,))
        )
        assert alone.folds[0].scores == fold.scores
    by_source = sum(counts.sum() for counts in result.source_confusion["probe"].values())
    assert by_source == 2 * len(emb)


def test_compare_tables__seen_sources_never_share_an_average_with_others() -> None:
    ours = laboratories(model="ours", seen={"lab 0": "seen", "lab 1": "unseen", "lab 2": "unseen"})
    theirs = laboratories(model="theirs")
    results = compare_tables({"a": ours, "b": theirs}, LOO, "shapes")
    assert [(one.task, one.model) for one in results] == [
        (f"shapes: {SEEN_PART}", "ours"),
        (f"shapes: {SEEN_PART}", "theirs"),
        (f"shapes: {OTHER_PART}", "ours"),
        (f"shapes: {OTHER_PART}", "theirs"),
    ]
    assert [set(one.source_confusion["probe"]) for one in results] == [{"lab 0"}] * 2 + [
        {"lab 1", "lab 2"}
    ] * 2
    assert results[0].seen == {"lab 0": "seen"}
    assert results[2].seen == {"lab 1": "unseen", "lab 2": "unseen"}
    assert results[3].seen == {"lab 1": "unknown", "lab 2": "unknown"}
    whole = {fold.tested_on: fold.scores for fold in evaluate_table(ours, LOO).folds}
    for result in (results[0], results[2]):
        for fold in result.folds:
            assert fold.scores == whole[fold.tested_on]


def test_compare_tables__one_status_is_one_task() -> None:
    (result,) = compare_tables({"a": laboratories()}, LOO, "shapes")
    assert (result.task, set(result.seen.values())) == ("shapes", {"unknown"})


def test_compare_tables__refuses_tables_of_other_cells() -> None:
    with pytest.raises(RedDinoError, match="cannot be compared"):
        compare_tables({"a": laboratories(), "b": laboratories(data="other")}, LOO)


def test_evaluate_table__refuses_vectors_that_are_not_finite() -> None:
    emb = laboratories()
    emb.vectors[[4, 7], 2] = np.nan
    with pytest.raises(RedDinoError, match=r"2 of 360 vectors of 'toy'.*first is of 4.png"):
        evaluate_table(emb)


def test_evaluate_table__intervals_hold_the_mean_and_need_ten_groups() -> None:
    result = evaluate_table(laboratories(), Question(resamples=200))
    for classifier in result.classifiers:
        low, high = result.interval(classifier, "macro F1") or (1, 0)
        assert low < result.mean(classifier).macro_f1 < high
    assert any("bootstrap over 24 groups" in note and "fewer than 30" in note for note in result.notes)
    many = evaluate_table(laboratories(sources=4), Question(resamples=50))
    assert any("bootstrap over 32 groups" in note and "fewer than" not in note for note in many.notes)
    few = evaluate_table(laboratories(sources=1), Question(resamples=200))
    assert few.interval("probe", "macro F1") is None
    assert any("No intervals: 8 tested groups" in note for note in few.notes)
    assert evaluate_table(laboratories(), Question(resamples=0)).resamples == {}


def test_paired_differences__the_same_resamples_cancel_what_models_share() -> None:
    first = laboratories(model="first")
    worse = Embeddings(first.vectors.copy(), first.table, {**first.meta, "model": "worse"})
    worse.vectors[::40] = 0
    results = compare_tables({"a": first, "b": worse}, Question(resamples=300))
    found = {(one.classifier, one.metric): one for one in paired_differences(results)}
    one = found["1-NN", "macro F1"]
    assert one.difference == pytest.approx(
        results[1].mean("1-NN").macro_f1 - results[0].mean("1-NN").macro_f1
    )
    assert one.interval is not None
    low, high = results[0].interval("1-NN", "macro F1") or (0, 0)
    assert one.interval[1] - one.interval[0] < high - low
    (same, *_) = paired_differences([results[0], results[0]])
    assert (same.difference, same.interval) == (0, (0, 0))


def test_evaluate_table__two_classes_have_an_auroc() -> None:
    result = evaluate_table(laboratories(classes=2), Question(resamples=50))
    area = result.mean("probe").auroc
    assert area is not None
    assert 0.8 < area <= 1
    assert result.interval("20-NN", "AUROC") is not None
    assert evaluate_table(laboratories(), Question(resamples=0)).mean("probe").auroc is None


def test_evaluate_table__few_shot_leaves_out_neighbours_that_cannot_be() -> None:
    result = evaluate_table(laboratories(), Question(protocol="few-shot", shots=1, repeats=4, resamples=0))
    assert result.classifiers == ("probe", "1-NN")
    assert [fold.train for fold in result.folds] == [3] * 4
    assert any("No 20-NN: there are 3 training cells" in note for note in result.notes)
