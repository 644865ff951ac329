"""Counts where classes are more or less frequent than in training: as they are, by EM, and by true priors.

    python benchmarks/prior_shift.py tables/chula --class normal

A classifier learns from one half of the groups of a table and classifies the other. Of that half all
cells are taken, then so many of the named class that it makes up 90 %, 95 % or none of them. Printed are the
accuracy, the fraction that the counts give to the class, and how many cells in 100 the counts of all classes
misplace (half the sum of the differences to the true fractions).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import reddino
from reddino.classification.fit import fit_on_table
from reddino.classification.predict import Predictions, predict_embeddings
from reddino.classification.priors import adjusted, learned_priors
from reddino.embedding.border import whole_cells
from reddino.evaluation.class_map import labelled_rows
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.splits import folds_of_groups

Rows = npt.NDArray[np.int64]
#: A prior of 0 would forbid a class, and a count says only that none was seen.
LEAST = 1e-4


def mixes(truth: Rows, named: int, seed: int) -> dict[str, Rows]:
    """Row numbers by the fraction of the named class among them."""
    draw = np.random.default_rng(seed)
    own, others = np.flatnonzero(truth == named), np.flatnonzero(truth != named)
    found = {"as they are": np.arange(len(truth)), "none": others}
    for fraction in (0.9, 0.95):
        few = draw.choice(others, round(len(own) * (1 - fraction) / fraction), replace=False)
        found[f"{fraction:.0%}"] = np.sort(np.concatenate([own, few]))
    return found


def of_rows(predictions: Predictions, rows: Rows) -> Predictions:
    """The predictions of some rows."""
    return replace(
        predictions, probabilities=predictions.probabilities[rows], table=predictions.table.take(rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--class", dest="named", default="normal")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cells, labels = labelled_rows(whole_cells(reddino.read_embeddings(options.table))[0], "label")
    learn, test = folds_of_groups(groups_of(cells), 2, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        made = fit_on_table(cells.select(learn), Path(folder) / "c", seed=options.seed)
    known = np.array([row for row in test.tolist() if labels[row] in made.classes])
    truth = np.array([made.classes.index(labels[row]) for row in known.tolist()])
    # What the table notes of novelty and kinds takes no part.
    every = replace(predict_embeddings(made, cells.select(known)), novelty=None)
    learned = learned_priors(made)
    named = made.classes.index(options.named)
    print(f"{len(learn)} cells teach, {len(known)} are tested; '{options.named}' was {learned[named]:.3f}")
    print("| fraction | cells | true | accuracy: as is, EM, true | counted: as is, EM, true | misplaced |")
    print("|---|---|---|---|---|---|")
    for name, rows in mixes(truth, named, options.seed).items():
        plain, own = of_rows(every, rows), truth[rows]
        true = np.bincount(own, minlength=len(made.classes)) / len(own)
        least = np.maximum(true, LEAST)
        given = dict(zip(made.classes, (least / least.sum()).tolist(), strict=True))
        three = [plain, adjusted(plain, learned, None), adjusted(plain, learned, given)]
        counts = [np.bincount(one.numbers(), minlength=len(true)) / len(own) for one in three]
        accuracy = ", ".join(f"{(one.numbers() == own).mean():.3f}" for one in three)
        fractions = ", ".join(f"{one[named]:.3f}" for one in counts)
        misplaced = ", ".join(f"{50 * np.abs(one - true).sum():.1f}" for one in counts)
        print(f"| {name} | {len(own)} | {true[named]:.3f} | {accuracy} | {fractions} | {misplaced} |")


if __name__ == "__main__":
    main()
