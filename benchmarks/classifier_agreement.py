"""Probe, 1-NN and 20-NN of `reddino evaluate` against scikit-learn's own, on embedding tables of real cells.

    python benchmarks/classifier_agreement.py tables/chula-* --drop uncategorised --folds 5

For every table the cells are split into grouped folds. scikit-learn's `LogisticRegression` and
`KNeighborsClassifier` answer the same test cells as RedDino's classifiers do, and its metrics score the same
answers. Printed are the share of equal predictions, those that differ without a tie (where the votes, or the
distances at the k-th neighbour, are equal, either answer is right), and the largest difference of a metric.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from reddino.embedding.table import read_embeddings
from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.choices import PUBLISHED
from reddino.evaluation.class_map import labelled_rows
from reddino.evaluation.classifiers import NEIGHBOURS, fit_and_predict
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.metrics import Classes, Real, score
from reddino.evaluation.splits import grouped_folds


def scikit_learn_says(name: str, train: Vectors, labels: Classes, test: Vectors) -> Classes:
    """The published classifier as scikit-learn has it; neighbours in float64, brute force."""
    if name in NEIGHBOURS:
        model = KNeighborsClassifier(NEIGHBOURS[name], algorithm="brute")
        return np.asarray(model.fit(train.astype(np.float64), labels).predict(test.astype(np.float64)))
    c = train.shape[1] * len(np.unique(labels)) / 100
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(LogisticRegression(C=c, max_iter=1000).fit(train, labels).predict(test))


def tied(name: str, train: Vectors, queries: Vectors) -> np.ndarray:
    """Of each query (m, d), whether either answer is right: equal distances at the k-th neighbour."""
    k = NEIGHBOURS.get(name, 0)
    if not k:
        return np.zeros(len(queries), dtype=bool)
    found = []
    for query in queries.astype(np.float64):
        near = np.sort(np.sqrt(((train.astype(np.float64) - query) ** 2).sum(axis=1)))[: k + 1]
        found.append(near[-1] - near[-2] <= 1e-9 * max(near[-1], 1e-30))
    return np.array(found, dtype=bool)


def metrics_of_scikit_learn(truth: Classes, predicted: Classes) -> Real:
    """wF1, bAcc, Acc, macro F1 over the classes that are tested."""
    present = np.unique(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        balanced = balanced_accuracy_score(truth, predicted)
    return np.array(
        [
            f1_score(truth, predicted, average="weighted", labels=present, zero_division=0),
            balanced,
            accuracy_score(truth, predicted),
            f1_score(truth, predicted, average="macro", labels=present, zero_division=0),
        ]
    )


def compare(table: Path, options: argparse.Namespace) -> None:
    """Print a row a classifier."""
    emb, labels = labelled_rows(read_embeddings(table), "label", dict.fromkeys(options.drop))
    groups = groups_of(emb, None)
    names, truth = np.unique(np.asarray(labels), return_inverse=True)
    equal, untied, off = (dict.fromkeys(PUBLISHED, 0.0) for _ in range(3))
    for train, test in grouped_folds(labels, groups, options.folds, 0):
        inner = [groups[row] for row in train]
        ours = fit_and_predict(emb.vectors[train], truth[train], emb.vectors[test], PUBLISHED, inner)
        for name in PUBLISHED:
            theirs = scikit_learn_says(name, emb.vectors[train], truth[train], emb.vectors[test])
            same = ours[name].predicted == theirs
            equal[name] += same.sum()
            other = emb.vectors[test][~same]
            untied[name] += (~tied(name, emb.vectors[train], other)).sum()
            own = np.array(score(truth[test], theirs, len(names)).as_row())
            off[name] = max(off[name], np.abs(own - metrics_of_scikit_learn(truth[test], theirs)).max())
    for name in PUBLISHED:
        print(
            f"| {table.name} | {name} | {len(truth)} | {100 * equal[name] / len(truth):.3f} % | "
            f"{untied[name]:.0f} | {off[name]:.1e} |",
            flush=True,
        )


def main() -> None:
    """Compare on every table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--drop", nargs="*", default=[])
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    print(
        "| table | classifier | cells | equal | differ without a tie | metrics differ by |\n"
        + "|---" * 6
        + "|"
    )
    for table in options.tables:
        compare(table, options)


if __name__ == "__main__":
    main()
