"""Figures of scores show the numbers that they were given."""

from __future__ import annotations

import numpy as np
from drawn import image_of, points_of
from matplotlib.figure import Figure

from reddino.figures.score_figures import confusion_figure, source_scores_figure, transfer_figure


def texts(figure: Figure) -> dict[tuple[int, int], str]:
    """What stands in each cell (row, column) that holds a text."""
    places = ((*text.get_position(), text.get_text()) for text in figure.axes[0].texts)
    return {(round(y), round(x)): shown for x, y, shown in places}


def test_confusion_figure__colours_shares_and_writes_counts() -> None:
    figure = confusion_figure(np.array([[8, 2], [0, 0]]), ["burr", "target"], "t")
    assert texts(figure) == {(0, 0): "8", (0, 1): "2"}
    assert np.allclose(image_of(figure.axes[0]), [[0.8, 0.2], [0.0, 0.0]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["burr", "target"]


def test_transfer_figure__leaves_the_diagonal_empty() -> None:
    figure = transfer_figure(np.array([[np.nan, 0.5], [0.25, np.nan]]), ["a", "b"], ["a", "b"])
    assert texts(figure) == {(0, 1): "0.50", (1, 0): "0.25"}


def test_source_scores_figure__a_dot_for_each_model_and_source() -> None:
    scores = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    axes = source_scores_figure(scores, ["m", "n"], ["a", "", "c"], "macro F1").axes[0]
    assert [points_of(dots)[:, 0].tolist() for dots in axes.collections] == scores.tolist()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "(no name)", "c"]
