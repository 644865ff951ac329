"""Networks side by side: the joined vectors, and what is printed of their scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.protocol import evaluate_table
from reddino.evaluation.question import Question
from reddino.evaluation.results import paired_differences
from side_by_side import beside, summary, unit


def table(name: str, seed: int, strength: float, **meta: object) -> Embeddings:
    """240 cells of two classes in 24 fields; the vectors hold the class, and noise of the seed."""
    labels = ["round", "odd"] * 120
    noise = np.random.default_rng(seed).normal(size=(240, 4))
    means = strength * np.eye(4)[[int(one == "odd") for one in labels]]
    columns = {
        "path": [f"{row // 10}.png" for row in range(240)],
        "source": ["lab"] * 240,
        "label": labels,
        **{column: [""] * 240 for column in ("patient", "slide", "group")},
    }
    return Embeddings((noise + means).astype(np.float32), pa.table(columns), {"model": name, **meta})


def test_beside__each_network_has_the_same_length_whatever_its_scale() -> None:
    first, second = table("a", 1, 1.0), table("b", 2, 1.0)
    joined = beside("both", [first, replace(second, vectors=1000 * second.vectors)])
    assert joined.vectors.shape == (240, 8)
    assert joined.meta["model"] == "both"
    np.testing.assert_allclose(np.linalg.norm(joined.vectors[:, :4], axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(joined.vectors[:, 4:], unit(second.vectors), rtol=1e-4)


def test_beside__what_one_network_saw_was_seen() -> None:
    parts = [
        table("a", 1, 1.0, seen={"x": "unseen", "y": "seen"}),
        table("b", 2, 1.0, seen={"x": "seen", "y": "unseen"}),
    ]
    assert beside("both", parts).meta["seen"] == {"x": "seen", "y": "seen"}


def test_unit__a_vector_of_zeros_stays() -> None:
    assert unit(np.zeros((1, 3), np.float32)).tolist() == [[0.0, 0.0, 0.0]]


def test_summary__scores_differences_and_means() -> None:
    question = Question(protocol="grouped-kfold", folds=3, resamples=200)
    results = [
        evaluate_table(table(name, seed, strength), question, task=task)
        for task in ("shapes", "parasites")
        for name, seed, strength in (("a", 1, 0.5), ("b", 2, 2.0))
    ]
    lines = summary(results, "a")
    gain = next(
        one
        for one in paired_differences(results[:2])
        if (one.classifier, one.metric) == ("probe", "macro F1")
    )
    assert gain.interval is not None
    low, high = gain.interval
    probe = results[1].mean("probe").macro_f1
    cell = f"| b | {100 * probe:.1f}, {100 * gain.difference:+.1f} ({100 * low:.1f} to {100 * high:.1f}) |"
    assert [line for line in lines if line.startswith(cell)]
    assert lines.count("\nmean over the tasks, against a") == 1
    assert summary(results, "b")[2].startswith(f"| b | {100 * probe:.1f} |")
    assert f"| a | {100 * results[0].mean('probe').macro_f1:.1f} |" in lines[1]


def test_summary__one_task_has_no_mean_and_no_resamples_no_interval() -> None:
    question = Question(protocol="grouped-kfold", folds=3, resamples=0)
    results = [
        evaluate_table(table(name, seed, 1.0), question, task="shapes") for name, seed in (("a", 1), ("b", 2))
    ]
    lines = summary(results, "a")
    assert lines[0] == "\nshapes, against a"
    assert len(lines) == 3
    assert " to " not in lines[2]
