"""A fine-tuned network beside the frozen probe, in the same grouped folds.

    python benchmarks/finetuned_and_frozen.py chula.csv --groups same_field_groups.csv --drop uncategorised \
        --model reddino-tiny --side 64 --unit px --folds 3 --set epochs=6

For each outer fold both classifiers are made by `reddino fit` on the other folds' cells, with their own inner
folds of groups for strength, epoch and temperature, and asked by `reddino predict` about the fold, which
neither has seen. Printed are means and spreads over the folds, and the paired difference with a 95 % interval
by bootstrap over groups of tested cells; training variance is not in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import reddino
from reddino.classification.calibration import negative_log_likelihood
from reddino.classification.predict import Predictions
from reddino.evaluation.intervals import PredictedRows, interval, resampled_scores
from reddino.evaluation.metrics import METRICS, score
from reddino.evaluation.splits import grouped_folds
from reddino.smears.manifest import Manifest, read_manifest, with_groups

FROZEN, TUNED = "frozen probe", "fine-tuned"


@dataclass
class Record:
    """What one kind of classifier answered, fold by fold."""

    tests: list[PredictedRows] = field(default_factory=list)
    scores: list[tuple[float, ...]] = field(default_factory=list)
    likelihoods: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, made: Predictions, groups: dict[tuple[str, ...], int], classes: list[str]) -> None:
        """Score the cells of a fold; what was cut carries its own label and place."""
        truth = np.array([classes.index(name) for name in made.strings("label")])
        order = np.array([classes.index(name) for name in made.classes])
        predicted = order[made.numbers()]
        group = np.array([groups[key] for key in zip(made.strings("path"), strict=True)])
        self.tests.append(PredictedRows(group, truth, predicted))
        self.scores.append(score(truth, predicted, len(classes)).as_row())
        logits = np.full((len(truth), len(classes)), -50.0)
        logits[:, order] = np.log(np.clip(made.probabilities, 1e-12, None))
        self.likelihoods.append(negative_log_likelihood(logits, truth))


def labelled_cells(options: argparse.Namespace) -> Manifest:
    """The rows that have a label which is not dropped."""
    cells = read_manifest(options.manifest)
    if options.groups:
        cells = with_groups(cells, options.manifest.parent / options.groups)
    labels = cells.strings("label")
    return cells.select(np.array([label != "" and label not in options.drop for label in labels]))


def compare(options: argparse.Namespace) -> dict[str, Record]:
    """Fit and ask both kinds in every outer fold."""
    cells = labelled_cells(options)
    labels, names = cells.strings("label"), cells.fold_groups()
    number = {name: place for place, name in enumerate(sorted(set(names)))}
    group_of: dict[tuple[str, ...], int] = {
        (path,): number[name] for path, name in zip(cells.strings("path"), names, strict=True)
    }
    classes = sorted(set(labels))
    split = grouped_folds(labels, names, options.folds, options.seed)
    pairs = (entry.partition("=")[::2] for entry in options.set)
    tuning: dict[str, Any] = {key: yaml.safe_load(value) for key, value in pairs}
    how: dict[str, Any] = {"model": options.model, "side": options.side, "unit": options.unit}
    # Scale and border cells as when its published figures were made.
    how |= {"seed": options.seed, "scale": "source", "keep_border": True}
    records = {FROZEN: Record(), TUNED: Record()}
    for fold, (train, test) in enumerate(split, 1):
        for kind, extra in ((FROZEN, {}), (TUNED, {"fine_tune": True, **tuning})):
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                reddino.fit(cells.select(train), Path(folder, "made"), **how, **extra)
                records[kind].seconds.append(time.perf_counter() - started)
                asked = reddino.predict(Path(folder, "made"), cells.select(test))
            records[kind].add(asked, group_of, classes)
            row = ", ".join(
                f"{name} {value:.3f}" for name, value in zip(METRICS, records[kind].scores[-1], strict=True)
            )
            print(
                f"fold {fold} of {len(split)}, {kind}: {row}, {records[kind].seconds[-1]:.0f} s", flush=True
            )
    return records


def print_comparison(records: dict[str, Record], folds: int, seed: int) -> None:
    """Means, spreads, and the paired difference."""
    tests = {kind: record.tests for kind, record in records.items()}
    groups = 1 + max(int(rows.group.max()) for rows in tests[FROZEN])
    classes = 1 + max(int(rows.truth.max()) for rows in tests[FROZEN])
    drawn = resampled_scores(tests, groups, classes, seed=seed)
    print(f"\n| {folds} folds | " + " | ".join(METRICS) + " | NLL | fit, s |\n" + "|---" * 7 + "|")
    for kind, record in records.items():
        scores = np.array(record.scores)
        columns = [f"{m:.3f} ± {s:.3f}" for m, s in zip(scores.mean(0), scores.std(0), strict=True)]
        print(
            f"| {kind} | {' | '.join(columns)} | {np.mean(record.likelihoods):.3f} |"
            f" {np.median(record.seconds):.0f} |"
        )
    cells = []
    for place in range(len(METRICS)):
        pairs = zip(records[TUNED].scores, records[FROZEN].scores, strict=True)
        gain = float(np.mean([tuned[place] - frozen[place] for tuned, frozen in pairs]))
        low, high = interval(drawn[TUNED][:, place] - drawn[FROZEN][:, place], gain) or (np.nan, np.nan)
        cells.append(f"{100 * gain:+.1f} ({100 * low:.1f} to {100 * high:.1f})")
    print(f"| gain, points (95 %) | {' | '.join(cells)} | | |")


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--groups", help="file beside the manifest: which pictures show the same place")
    parser.add_argument("--drop", nargs="*", default=[])
    parser.add_argument("--model", default=None)
    parser.add_argument("--side", type=float, default=None)
    parser.add_argument("--unit", choices=("px", "diameters"), default=None)
    parser.add_argument("--folds", type=int, default=5, help="outer folds, by group")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="fields of TuneSettings, such as epochs=6")
    options = parser.parse_args()
    print_comparison(compare(options), options.folds, options.seed)


if __name__ == "__main__":
    main()
