"""How long an index of many vectors takes to build and search, in what memory, and how much it finds.

The vectors are drawn from a mixture: 1,000 clusters of unequal size whose cells differ along 32 directions,
with
some noise along all. They are written once, as an embedding table of float16. Each step is a process of its
own,
whose greatest memory is reported (of resident pages, the process's own and all; mapped files count in the
latter). The exact neighbours are those of faiss's flat search over all rows, in the same run.

    python benchmarks/search.py --rows 1000000 --folder /tmp/search-benchmark
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CLUSTERS, DIRECTIONS, NOISE = 1_000, 32, 0.15
PART_ROWS = 65_536
TOP = 20


def draw(rows: int, dim: int, seed: int) -> Any:
    """Yield vectors (n, d) float16 in blocks of a part, with the numbers of their clusters."""
    start = np.random.default_rng(seed)
    centres = start.normal(size=(CLUSTERS, dim)).astype(np.float32)
    along = start.normal(size=(CLUSTERS // 50, DIRECTIONS, dim)).astype(np.float32) / DIRECTIONS**0.5
    sizes = start.pareto(1.5, CLUSTERS) + 0.2
    for number, first in enumerate(range(0, rows, PART_ROWS)):
        draws = np.random.default_rng([seed, number])
        count = min(PART_ROWS, rows - first)
        cluster = draws.choice(CLUSTERS, count, p=sizes / sizes.sum())
        found = centres[cluster] + NOISE * draws.normal(size=(count, dim)).astype(np.float32)
        for way in range(len(along)):
            mine = cluster % len(along) == way
            found[mine] += draws.normal(size=(int(mine.sum()), DIRECTIONS)).astype(np.float32) @ along[way]
        yield first, found.astype(np.float16), cluster


def write(folder: Path, rows: int, dim: int, seed: int) -> None:
    """Write the table, as a pass would have."""
    import pyarrow as pa

    from reddino.embedding.part_files import PartRecord
    from reddino.embedding.table_writer import TableWriter

    meta: dict[str, Any] = {
        "model": "a mixture",
        "weights_hash": "0123456789abcdef",
        "pooling": "cls",
        "preprocessing": {"input_size": 112},
        "precision": "fp32",
        "view": {"kind": "cells", "side": 64.0, "unit": "px", "output": 112, "border": "pad"},
        "data": f"mixture-{rows}-{dim}-{seed}",
        "dim": dim,
        "dtype": "float16",
        "images": rows // 200 + 1,
        "plan": "0",
        "part_rows": PART_ROWS,
    }
    names = ("path", "source", "slide", "label")
    kinds: dict[str, pa.DataType] = {
        **dict.fromkeys(names, pa.string()),
        "x": pa.float64(),
        "y": pa.float64(),
    }
    schema = pa.schema(kinds)
    writer = TableWriter(folder, meta, schema)
    for first, vectors, cluster in draw(rows, dim, seed):
        number = np.arange(first, first + len(vectors))
        columns = {
            "path": [f"slide-{one // 20_000:04d}/field-{one // 200:07d}.png" for one in number.tolist()],
            "source": [f"lab-{one // 20_000 % 7}" for one in number.tolist()],
            "slide": [f"slide-{one // 20_000:04d}" for one in number.tolist()],
            "label": [f"c{one % 12}" for one in cluster.tolist()],
            "x": (number * 37 % 2000).astype(np.float64),
            "y": (number * 91 % 1500).astype(np.float64),
        }
        start, stop = -(-first // 200), min(-(-(first + len(vectors)) // 200), meta["images"])
        stop = meta["images"] if first + len(vectors) >= rows else stop
        record = PartRecord(start, stop, len(vectors), len(vectors))
        writer.write(record, pa.table(columns, schema=schema), vectors)


def memory() -> dict[str, float]:
    """Return the greatest resident memory of this process so far, and its own now, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmHWM", "RssAnon"))}
    return {
        "most MB": round(int(values["VmHWM"]) / 1024),
        "own MB at the end": round(int(values["RssAnon"]) / 1024),
    }


def build(folder: Path) -> dict[str, Any]:
    """Build the index."""
    from reddino.embedding.table_on_disk import open_table
    from reddino.searching.index import build_index
    from reddino.searching.index_files import index_folder, read_notes

    table = open_table(folder)
    where = index_folder(table, None)
    started = time.perf_counter()
    build_index(table, where)
    seconds = time.perf_counter() - started
    notes = read_notes(where)
    assert notes is not None
    return {
        "seconds": round(seconds, 1),
        **memory(),
        "kind": notes.kind,
        "lists probed": notes.probed,
        "recall of its own sample": notes.recall,
        "MB on disk": {file.name: round(file.stat().st_size / 1e6, 1) for file in where.iterdir()},
    }


def search(folder: Path, queries: int, seed: int) -> dict[str, Any]:
    """Search by the index: queries alone and together; keep what it finds."""
    from reddino.embedding.table_on_disk import open_table
    from reddino.searching.candidates import Candidates
    from reddino.searching.exact import unit_vectors
    from reddino.searching.index import open_index
    from reddino.searching.index_files import index_folder

    table = open_table(folder)
    started = time.perf_counter()
    index = open_index(table, index_folder(table, None))
    opened = time.perf_counter() - started
    rows = asked(len(table), queries, seed)
    vectors = unit_vectors(index.vectors.take(rows))
    own = {place: rows[place : place + 1] for place in range(queries)}
    every = Candidates(len(table), own=own)
    started = time.perf_counter()
    index.search(vectors, TOP, every)
    first = time.perf_counter() - started
    started = time.perf_counter()
    found = index.search(vectors, TOP, every).rows
    together = time.perf_counter() - started
    alone = []
    for place in range(min(50, queries)):
        started = time.perf_counter()
        index.search(
            vectors[place : place + 1], TOP, Candidates(len(table), own={0: rows[place : place + 1]})
        )
        alone.append(time.perf_counter() - started)
    np.save(folder / "_found.npy", found)
    return {
        "seconds to open": round(opened, 3),
        "queries a second": round(queries / together, 1),
        "queries a second, pages not yet in memory": round(queries / first, 1),
        "milliseconds of one query (median)": round(1000 * float(np.median(alone)), 1),
        **memory(),
    }


def flat(folder: Path, queries: int, seed: int) -> dict[str, Any]:
    """Search by faiss's flat search, block by block, and compare with what the index found."""
    import faiss

    from reddino.embedding.table_on_disk import open_table
    from reddino.searching.exact import unit_vectors
    from reddino.searching.index_files import index_folder, open_vectors, read_notes

    table = open_table(folder)
    notes = read_notes(index_folder(table, None))
    assert notes is not None
    stored = open_vectors(index_folder(table, None), notes)
    rows = asked(len(table), queries, seed)
    vectors = unit_vectors(stored.take(rows))
    best = np.full((queries, TOP + 1), -2, np.float32)
    numbers = np.full((queries, TOP + 1), -1, np.int64)
    seconds = 0.0
    for first, halves in stored.blocks():
        block = unit_vectors(halves)
        started = time.perf_counter()
        near, at = faiss.knn(vectors, block, TOP + 1, metric=faiss.METRIC_INNER_PRODUCT)
        joined = np.concatenate([best, near], axis=1)
        named = np.concatenate([numbers, at + first], axis=1)
        order = np.argsort(-joined, axis=1, kind="stable")[:, : TOP + 1]
        best, numbers = np.take_along_axis(joined, order, 1), np.take_along_axis(named, order, 1)
        seconds += time.perf_counter() - started
    found = np.load(folder / "_found.npy")
    recall = [
        len(set(one.tolist()) & set([n for n in exact.tolist() if n != row][:TOP])) / TOP
        for one, exact, row in zip(found, numbers, rows.tolist(), strict=True)
    ]
    return {
        "queries a second": round(queries / seconds, 2),
        "recall of the index at 20": round(float(np.mean(recall)), 4),
        **memory(),
    }


def exact(folder: Path, queries: int, seed: int) -> dict[str, Any]:
    """Search without an index, from the table's parts: one query, and many together."""
    from reddino.embedding.table_on_disk import open_table
    from reddino.searching.candidates import Candidates
    from reddino.searching.exact import nearest_in, unit_vectors

    table = open_table(folder)
    rows = asked(len(table), queries, seed)
    vectors = unit_vectors(table.take_vectors(rows[:1]))
    found = {}
    for name, several in (
        ("one query", vectors),
        (f"{queries} queries", np.repeat(vectors, queries, axis=0)),
    ):
        started = time.perf_counter()
        blocks = ((block.start, block.vectors) for block in table.blocks(vectors=True))
        nearest_in(blocks, several, TOP, Candidates(len(table)))
        found[f"seconds, {name}"] = round(time.perf_counter() - started, 2)
    return {**found, **memory()}


def asked(rows: int, queries: int, seed: int) -> Any:
    """Return the rows that are searched for."""
    return np.sort(np.random.default_rng(seed + 99).choice(rows, queries, replace=False))


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


STEPS: dict[str, Any] = {"build": build, "search": search, "flat": flat, "exact": exact}


def main() -> None:
    """Write the table, take the steps, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="of the table, which is kept; a temporary one if not given"
    )
    parser.add_argument("--without-flat", action="store_true", help="skip the flat search and the exact one")
    parser.add_argument("--quick", action="store_true", help="20,000 rows, 50 queries")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.queries = 20_000, 50
    if options.step:
        more = () if options.step == "build" else (options.queries, options.seed)
        print(json.dumps(STEPS[options.step](options.folder, *more)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name) / "table"
        report: dict[str, Any] = {"rows": options.rows, "dim": options.dim, "queries": options.queries}
        report |= {
            "processor": processor(),
            "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        }
        if not folder.exists():
            started = time.perf_counter()
            write(folder, options.rows, options.dim, options.seed)
            report["seconds to write the table"] = round(time.perf_counter() - started, 1)
        shutil.rmtree(folder / "_index", ignore_errors=True)
        for step in ("build", "search") if options.without_flat else STEPS:
            given = ["--queries", str(options.queries), "--seed", str(options.seed)]
            command = [sys.executable, __file__, "--step", step, "--folder", str(folder), *given]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            report[step] = json.loads(done.stdout.splitlines()[-1])
        print(json.dumps(report))


if __name__ == "__main__":
    main()
