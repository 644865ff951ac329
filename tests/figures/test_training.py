"""Curves of a run hold what was recorded, and say what was not."""

from __future__ import annotations

from typing import Any

import numpy as np

from reddino.evaluation.metrics import score
from reddino.figures.training import HEALTH, curve, training_figure, without_prototypes


def test_curve__skips_records_without_the_key_and_sorts_by_samples() -> None:
    records: list[dict[str, Any]] = [
        {"samples": 200, "loss": 2.0},
        {"samples": 100, "loss": 3.0},
        {"samples": 150, "online_knn_macro_f1": 0.4},
        {"samples": 300, "loss": float("nan")},
        {"samples": 400, "loss": None},
        {"loss": 9.0},
    ]
    samples, values = curve(records, "loss")
    assert samples.tolist() == [100, 200]
    assert values.tolist() == [3.0, 2.0]


def test_training_figure__draws_the_losses_of_a_distillation() -> None:
    records = [
        {"samples": i, "loss": 1.0, "dino_loss": 0.0, "pooled_loss": 0.6, "spatial_loss": 0.4}
        for i in range(4)
    ]
    loss = training_figure(records).axes[0]
    assert [line.get_label() for line in loss.lines] == ["sum", "distilled, pooled", "distilled, spatial"]


def test_training_figure__draws_what_was_recorded_and_says_what_was_not() -> None:
    records = [{"samples": i, "loss": 5 - i, "dino_loss": 2.0, "ibot_loss": 0.0} for i in range(4)]
    loss, entropy, online = training_figure(records).axes
    assert [line.get_label() for line in loss.lines] == ["sum", "DINO"]
    assert np.asarray(loss.lines[0].get_xydata()).tolist() == [[0, 5], [1, 4], [2, 3], [3, 2]]
    for axes in (entropy, online):
        assert [text.get_text() for text in axes.texts] == ["not recorded"]


def test_training_figure__draws_the_scores_of_the_online_neighbours() -> None:
    names = list(score(np.array([0, 1]), np.array([0, 1]), 2).as_dict())
    records = [{"samples": i, **{f"online_knn_{name}": 0.5 for name in names}} for i in range(3)]
    online = training_figure(records).axes[2]
    assert [line.get_label() for line in online.lines] == ["macro F1", "wF1", "bAcc"]


def test_training_figure__of_an_empty_run_is_a_figure() -> None:
    assert len(training_figure([]).axes) == 3


def test_training_figure__without_prototypes_has_no_entropy() -> None:
    titles = [axes.get_title() for axes in training_figure([], prototypes=0).axes]
    assert titles == ["loss", "online 20-NN"]
    assert [name for name, _ in without_prototypes(HEALTH)] == [HEALTH[0][0], HEALTH[2][0]]
