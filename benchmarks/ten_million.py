"""The memory and time of evaluate, explore, report and the cells of a review on a table beyond memory.

The table is that of `benchmarks/search.py`: a mixture of 1,000 clusters, 384 numbers of float16, with labels,
fields and slides; labels are those of the clusters. It is written once. Each step is a process of its own,
whose greatest resident memory is reported.

    python benchmarks/ten_million.py --rows 10000000 --folder /tmp/ten-million
    python benchmarks/ten_million.py --rows 300000 --folder /tmp/some --sample 50000    # a short run
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search import processor, write


def evaluate(folder: Path, sample: int | None) -> dict[str, Any]:
    """Score a sample of the table."""
    import reddino

    (found,) = reddino.evaluate(folder, rows=sample, out=folder / "_scores.json")
    assert found.sample is not None, "all rows fit: lower --sample"
    return {
        "cells": found.sample.rows,
        "of": found.sample.of,
        "groups": f"{found.sample.groups} of {found.sample.of_groups}",
        "macro F1 of the probe": round(found.mean("probe").macro_f1, 4),
        "accuracy of k-NN, in the sample and in the table": {
            one.classifier: [round(one.in_sample, 4), round(one.in_table, 4)]
            for one in found.sample.neighbours
        },
    }


def explore(folder: Path, sample: int | None) -> dict[str, Any]:
    """Fit a map on a sample, and place all rows on it."""
    import reddino

    out = folder / "_explored"
    overview = reddino.explore(folder, out, rows=sample, formats=("png",))
    assert overview.sample is not None, "all rows fit: lower --sample"
    return {
        "fitted on": len(overview.table),
        "of": overview.sample.of,
        "MB of map.parquet": round((out / "map.parquet").stat().st_size / 1e6, 1),
    }


def report(folder: Path, sample: int | None) -> dict[str, Any]:
    """Write the page of a sample, with principal components for a map."""
    import reddino

    page = reddino.report(folder, folder / "_report.html", rows=sample, method="pca")
    return {"MB of the page": round(page.stat().st_size / 1e6, 1)}


def review(folder: Path, sample: int | None) -> dict[str, Any]:
    """Hold the cells as a review does, and seek those like one of them; `sample` is of no use here."""
    from reddino.embedding.table_on_disk import open_table
    from reddino.reviewing.pool import Pool

    table = open_table(folder)
    started = time.perf_counter()
    pool = Pool.of_table(table)
    held = time.perf_counter() - started
    pool.nearest([0], 240)
    started = time.perf_counter()
    pool.nearest([len(table) // 2], 240)
    return {
        "seconds to hold the cells": round(held, 1),
        "seconds for the cells like one": round(time.perf_counter() - started, 2),
        "MB of the components": round(pool.features.nbytes / 1e6),
    }


STEPS: dict[str, Any] = {"evaluate": evaluate, "explore": explore, "report": report, "review": review}


def step(name: str, folder: Path, sample: int | None) -> dict[str, Any]:
    """Take one step and return what it found, its seconds, and the most memory of this process."""
    started = time.perf_counter()
    found = STEPS[name](folder, sample)
    seconds = round(time.perf_counter() - started, 1)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "most MB": round(most), **found}


def run_all(folder: Path, options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Write the table where there is none, and take the steps, each in a process of its own."""
    if not any(folder.glob("part-*.parquet")):
        write(folder, options.rows, options.dim, options.seed)
    size = sum(path.stat().st_size for path in folder.glob("part-*.parquet"))
    report: dict[str, Any] = {"rows": options.rows, "dim": options.dim, "GB on disk": round(size / 1e9, 1)}
    for name in names:
        command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
        sample = ["--sample", str(options.sample)] if options.sample else []
        done = subprocess.run([*command, *sample], check=True, capture_output=True, text=True)
        report[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, json.dumps(report[name]), file=sys.stderr, flush=True)
    return report


def main() -> None:
    """Take one step, or write the table, take all of them, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, help="rows of the samples; those of the commands, if not given")
    parser.add_argument(
        "--folder", type=Path, help="of the table, which is kept; a temporary one if not given"
    )
    parser.add_argument("--steps", nargs="+", choices=tuple(STEPS), default=tuple(STEPS))
    parser.add_argument("--step", choices=tuple(STEPS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step, options.folder, options.sample)))
        return
    folder = options.folder or Path(tempfile.mkdtemp()) / "table"
    try:
        print(json.dumps({**run_all(folder, options, options.steps), "processor": processor()}))
    finally:
        if options.folder is None:
            shutil.rmtree(folder.parent, ignore_errors=True)


if __name__ == "__main__":
    main()
