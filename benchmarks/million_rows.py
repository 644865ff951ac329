"""How fast a run starts on a packed collection of 1.25 million images, and whether its memory stays flat.

The collection is made up: an index and a manifest of so many rows over a sparse file of pixels, so that only
the pages that are looked at take room. Each measurement is a process of its own, timed from its start
(imports included). One takes the first batch of the real stream in this process, without a network, and then
further ones: resident memory is split into the process's own (anonymous) and mapped file pages. The other is
a whole `pretrain` of the recipe as it is, with a worker, until its loop has networks and the first batch.

    python benchmarks/million_rows.py --rows 1250000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

SIDE = 224
SOURCES = 18


def make_pack(folder: Path, rows: int) -> None:
    """A pack of `rows` black images of 224 pixels in 18 sources."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from reddino.pretraining.data.image_cache import write_index
    from reddino.pretraining.data.image_index import ImageIndex
    from reddino.smears.failures import Failures

    source = np.random.default_rng(0).integers(0, SOURCES, rows)
    names = np.array([f"laboratory {number:02d}" for number in range(SOURCES)])
    index = ImageIndex(
        row=np.arange(rows),
        height=np.full(rows, SIDE),
        width=np.full(rows, SIDE),
        offset=np.arange(rows) * SIDE * SIDE * 3,
        scale=np.ones(rows),
        cell_diameter=np.full(rows, 40.0),
        source=source,
        source_names=names,
        hashes=np.zeros((rows, 2), np.uint64),
    )
    write_index(index, Failures(), folder / "images.npz")
    with (folder / "images.pixels").open("wb") as file:
        file.truncate(index.total_bytes)
    paths = [f"slides/{number // 500:05d}/patch-{number:07d}.png" for number in range(rows)]
    from reddino.smears.manifest import Manifest

    table = pa.table({"path": paths, "source": pa.array(names[source].tolist())})
    pq.write_table(Manifest(table, folder).table, folder / "manifest.parquet", compression="zstd")
    pack = {"format": 2, "fingerprint": "0" * 16, "images": rows, "max_cell_diameter": None}
    (folder / "pack.json").write_text(json.dumps(pack))


def memory() -> dict[str, int]:
    """Resident MB of this process: its own, and mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return {"own": int(values["RssAnon"]) // 1024, "files": int(values["RssFile"]) // 1024}


def measure(folder: Path, batches: int, started: float) -> None:
    """Open the pack as `reddino pretrain` does and take batches; print times and memory as JSON."""
    from reddino.pretraining.data.image_cache import open_cache
    from reddino.pretraining.data.stream import make_stream
    from reddino.pretraining.run.recipe import read_recipe
    from reddino.smears.opening import open_data

    imported = time.time()
    recipe = read_recipe(
        "vit-tiny-scratch", ["data.max_cell_diameter=null", "runtime.workers=0", "run.samples=100000000"]
    )
    manifest = open_data(folder)
    manifest.fingerprint()
    cache = open_cache(manifest, max_cell_diameter=None)
    opened = time.time()
    stream = iter(make_stream(recipe, cache))
    next(stream)
    report: dict[str, object] = {
        "processor seconds until then": time.process_time(),
        "imports": imported - started,
        "manifest and index": opened - imported,
        "order and first batch": time.time() - opened,
        "first batch after": time.time() - started,
        "at the first batch": memory(),
    }
    for _ in range(batches):
        next(stream)
    report[f"after {batches} more batches of {recipe.run.batch}"] = memory()
    print(json.dumps(report))


class _FirstBatchError(Exception):
    """Ends a run as soon as it has a batch."""


def measure_run(folder: Path, started: float) -> None:
    """Start a whole run and print when its loop had the first batch, as JSON."""
    import reddino
    from reddino.pretraining.dinov2 import StudentTeacher

    def stop(*_: object, **__: object) -> None:
        raise _FirstBatchError

    overrides = ["data.max_cell_diameter=null", "run.samples=100000000"]
    with (
        tempfile.TemporaryDirectory() as run,
        patch.object(StudentTeacher, "network_input", stop),
        suppress(_FirstBatchError),
    ):
        reddino.pretrain("vit-tiny-scratch", folder, run, overrides=overrides)
    print(json.dumps({"a whole run has its first batch after": time.time() - started}))


def timed_process(*arguments: str) -> dict[str, Any]:
    """What this file prints when it is started anew with these arguments."""
    command = [sys.executable, __file__, *arguments, "--started", str(time.time())]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Make the collection, measure it in new processes, print the median start-up and the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_250_000)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="20,000 rows, 2 batches, 1 run")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure-run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.batches, options.started)
        return
    if options.measure_run:
        measure_run(options.measure_run, options.started)
        return
    rows, batches, runs = (20_000, 2, 1) if options.quick else (options.rows, options.batches, options.runs)
    with tempfile.TemporaryDirectory() as name:
        make_pack(Path(name), rows)
        print(f"{rows:,} images of {SIDE} px, {runs} run(s)")
        reports = []
        for _ in range(runs):
            report = timed_process("--measure", name, "--batches", str(batches))
            reports.append(report | timed_process("--measure-run", name))
            print(json.dumps(reports[-1], indent=1))
    for key in ("first batch after", "processor seconds until then", "a whole run has its first batch after"):
        print(f"median {key}: {np.median([report[key] for report in reports]):.2f} s")


if __name__ == "__main__":
    main()
