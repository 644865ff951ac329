"""Seeded UMAP and outlier scores of a large table: time and peak memory.

    python benchmarks/umap_memory.py --rows 240000 --dim 384

The target: 240,000 x 384 within 4 GB. Vectors are drawn from 40 clusters in 60 directions, so that neighbours
are neither trivial nor without structure.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np

from reddino.embedding.view_encoder import Vectors
from reddino.figures.outliers import outlier_scores
from reddino.figures.projection import reduce_dimensions, umap_2d


def drawn(rows: int, dim: int) -> Vectors:
    """Clustered vectors (rows, dim), made block by block."""
    draw = np.random.default_rng(0)
    spread = draw.normal(size=(60, dim)).astype(np.float32)
    centres = 2 * draw.normal(size=(40, 60)).astype(np.float32)
    vectors = np.empty((rows, dim), np.float32)
    for first in range(0, rows, 8192):
        part = vectors[first : first + 8192]
        inner = centres[draw.integers(40, size=len(part))] + draw.normal(size=(len(part), 60))
        part[:] = inner.astype(np.float32) @ spread
    return vectors


def peak_gb() -> float:
    """The largest resident set so far, in GB (10^9 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Print one line of JSON a stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--no-outliers", action="store_true")
    options = parser.parse_args()
    vectors = drawn(options.rows, options.dim)
    sources = [f"lab {i % options.sources}" for i in range(options.rows)]
    stages: dict[str, Callable[[], object]] = {
        "principal components": lambda: reduce_dimensions(vectors),
        "umap": lambda: umap_2d(vectors),
    }
    if not options.no_outliers:
        stages["outlier scores"] = lambda: outlier_scores(vectors, sources)
    print(json.dumps({"stage": "vectors", "rows": len(vectors), "peak GB": round(peak_gb(), 2)}))
    for name, stage in stages.items():
        started = time.perf_counter()
        stage()
        seconds = round(time.perf_counter() - started, 1)
        print(json.dumps({"stage": name, "s": seconds, "peak GB": round(peak_gb(), 2)}), flush=True)


if __name__ == "__main__":
    main()
