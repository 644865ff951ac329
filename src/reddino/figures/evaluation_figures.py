"""The figures of an evaluation as files: confusion matrices, scores by source, transfer between sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reddino.evaluation.metrics import METRICS, score_rows
from reddino.evaluation.results import Result
from reddino.evaluation.score_tables import by_task
from reddino.figures import score_figures
from reddino.figures.canvas import save_figure
from reddino.figures.lettering import Numbers, note_numbers
from reddino.foundations.visible import short, visible

CLASSIFIER, METRIC = "20-NN", "macro F1"
#: Letters of a line above a figure.
TITLE = 80


def draw(results: Sequence[Result], folder: Path, classifier: str = CLASSIFIER) -> list[Path]:
    """Draw the predictions of one classifier; of a result that lacks it, those of its first one.

    Returns:
        The files: for each task and model a confusion matrix; scores by source where there are several;
        the transfer matrix where sources trained and tested each other.
    """
    drawn: list[Path] = []
    numbers = Numbers()
    for number, (task, group) in enumerate(by_task(results).items(), 1):
        chosen = classifier if group[0].has(classifier) else group[0].classifiers[0]
        sources = sorted(group[0].source_confusion[chosen])
        if len(sources) > 1:
            figure = score_figures.source_scores_figure(
                np.array([[_of_source(result, chosen, source) for source in sources] for result in group]),
                [result.model for result in group],
                sources,
                f"{chosen} {METRIC}",
                "\n".join([short(visible(task, keep=""), TITLE), *_sample(group[0])]),
            )
            drawn.append(folder / f"task{number}-sources.png")
            save_figure(figure, drawn[-1], numbers=numbers)
        for place, result in enumerate(group, 1):
            title = "\n".join(
                short(visible(line, keep=""), TITLE)
                for line in (task, f"{result.model}, {chosen}", *_sample(result))
            )
            figure = score_figures.confusion_figure(result.confusion(chosen), result.classes, title)
            drawn.append(folder / f"task{number}-model{place}-confusion.png")
            save_figure(figure, drawn[-1], numbers=numbers)
            if result.protocol == "cross-source":
                drawn.append(folder / f"task{number}-model{place}-transfer.png")
                save_figure(_transfer(result, chosen, title), drawn[-1], numbers=numbers)
    note_numbers(numbers, folder)
    return drawn


def _sample(result: Result) -> list[str]:
    """Return the line on what was drawn; none where all cells took part."""
    return [] if result.sample is None else [result.sample.title()]


def _of_source(result: Result, classifier: str, source: str) -> float:
    return float(score_rows(result.source_confusion[classifier][source])[METRICS.index(METRIC)])


def _transfer(result: Result, classifier: str, title: str) -> Figure:
    names = sorted({fold.trained_on for fold in result.folds} | {fold.tested_on for fold in result.folds})
    scores = np.full((len(names), len(names)), np.nan)
    for fold in result.folds:
        place = names.index(fold.trained_on), names.index(fold.tested_on)
        scores[place] = fold.scores[classifier].macro_f1
    return score_figures.transfer_figure(scores, names, names, f"{title}, {METRIC}")
