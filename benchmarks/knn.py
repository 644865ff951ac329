"""Speed of the k-NN evaluation against scikit-learn: `python benchmarks/knn.py [--rows 240000] [--dim 384]`.

Five folds, k = 1 and 20. The reference is a `KNeighborsClassifier` for each fold and k, timed on a sample of
queries and scaled to all of them (its training step stores the vectors only); a second figure is against one
shared `kneighbors(20)` a fold. Times are of one run on the same threads: processor time with one thread, wall
time with more. Predictions are compared.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier

from reddino.evaluation import knn

KS = (1, 20)
# Processor seconds on one thread, where other work on the machine does not count; else wall time.
CLOCK = time.process_time if torch.get_num_threads() == 1 else time.perf_counter


@dataclass(frozen=True)
class Cells:
    """Vectors (n, d) that lie near a surface of few dimensions, as embeddings do, and their classes."""

    vectors: np.ndarray
    labels: np.ndarray

    @classmethod
    def drawn(cls, rows: int, dim: int, classes: int = 9, inner: int = 24, seed: int = 0) -> Cells:
        draw = np.random.default_rng(seed)
        labels = draw.integers(classes, size=rows)
        hidden = draw.normal(size=(rows, inner)).astype(np.float32)
        hidden += draw.normal(size=(classes, inner)).astype(np.float32)[labels]
        spread = draw.normal(size=(inner, dim)).astype(np.float32) / np.sqrt(inner)
        vectors = hidden @ spread
        vectors += 0.1 * draw.standard_normal((rows, dim), dtype=np.float32)
        return cls(vectors.astype(np.float32), labels)


def ours(cells: Cells, fold: np.ndarray, folds: int) -> tuple[float, dict[int, np.ndarray]]:
    """Seconds for all folds, and the predictions."""
    predicted = {k: np.empty(len(fold), dtype=np.int64) for k in KS}
    started = CLOCK()
    for number in range(folds):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        found = knn.predict(cells.vectors[train], cells.labels[train], cells.vectors[test], KS)
        for k in KS:
            predicted[k][test] = found[k]
    return CLOCK() - started, predicted


def theirs(
    cells: Cells, fold: np.ndarray, folds: int, sample: int, predicted: dict[int, np.ndarray]
) -> tuple[float, float, float]:
    """Scaled seconds of a classifier a fold and k and of one search a fold; share of equal answers."""
    separate = shared = 0.0
    equal = asked = 0
    draw = np.random.default_rng(1)
    for number in range(folds):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        rows = np.sort(draw.permutation(test)[: max(1, sample // folds)])
        scale = len(test) / len(rows)
        for k in KS:
            model = KNeighborsClassifier(k, algorithm="brute").fit(cells.vectors[train], cells.labels[train])
            started = CLOCK()
            answer = model.predict(cells.vectors[rows])
            separate += (CLOCK() - started) * scale
            equal += int((answer == predicted[k][rows]).sum())
            asked += len(rows)
        started = CLOCK()
        model.kneighbors(cells.vectors[rows], max(KS), return_distance=False)
        shared += (CLOCK() - started) * scale
    return separate, shared, equal / asked


def main() -> None:
    """Print both times, the ratios and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=5_000, help="queries that scikit-learn is timed on")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.rows} x {options.dim}")
    cells = Cells.drawn(options.rows, options.dim)
    fold = np.random.default_rng(2).integers(options.folds, size=options.rows)
    before = peak_mb()
    seconds, predicted = ours(cells, fold, options.folds)
    above = peak_mb() - before
    print(f"reddino: {seconds:.1f} s; memory peak {peak_mb():.0f} MB, {above:.0f} MB above the data")
    separate, shared, equal = theirs(cells, fold, options.folds, options.sample, predicted)
    print(f"scikit-learn, a classifier a fold and k: {separate:.1f} s (scaled), x {separate / seconds:.1f}")
    print(f"scikit-learn, one kneighbors a fold: {shared:.1f} s (scaled), x {shared / seconds:.1f}")
    print(f"equal predictions in the sample: {100 * equal:.2f} %")


def peak_mb() -> float:
    """Peak of this process's memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
