"""Patients: time and memory of an attention model over 1,000 patients with 5,000 cells each.

    python benchmarks/patients.py --patients 1000 --cells 5000

Draws an embedding table of synthetic vectors (384 numbers, float16) into a temporary folder and, in a process
of its own, does what one outer fold of `reddino patients evaluate --also attention` does: match the patients,
average all cells, draw the cells that attention sees, fit the linear models and the attention models (from
the picture alone and from both) to four fifths of the patients, and predict the others. Prints one line of
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from reddino.embedding.part_files import PartRecord
from reddino.embedding.table_on_disk import open_table
from reddino.embedding.table_writer import TableWriter
from reddino.foundations.exports import write_csv
from reddino.patients.attention import AttentionSettings, predict_attention
from reddino.patients.bags import Bags
from reddino.patients.clinical_table import read_clinical
from reddino.patients.cohort import match
from reddino.patients.features import ClinicalFeatures, PictureFeatures
from reddino.patients.models import predict_fold
from reddino.views.spec import ViewSpec

DIM = 384


def draw(folder: Path, patients: int, cells: int) -> None:
    """Write a table whose diseased patients have 3 % more cells of one kind, and a clinical table."""
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((8, DIM), dtype=np.float32)
    diseased = rng.random(patients) < 0.4
    names = [f"p{number:05d}" for number in range(patients)]
    schema = pa.schema(
        [(name, pa.string()) for name in ("path", "source", "slide", "patient")]
        + [(name, pa.float64()) for name in ("view_x", "view_y", "view_side")]
    )
    meta = {
        "model": "drawn", "opens_as": "drawn", "weights_hash": "0" * 16, "pooling": "cls", "per": "view",
        "view": ViewSpec(kind="cells", side=8.0, unit="px", output=8).metadata(), "preprocessing": {},
        "runtime": "none", "precision": "fp32", "dim": DIM, "dtype": "float16", "images": patients,
        "data": "drawn", "columns": {}, "plan": "", "part_rows": cells, "provenance": {},
    }  # fmt: skip
    writer = TableWriter(folder / "table", meta, schema)
    for number, name in enumerate(names):
        mix = np.full(8, 0.97 / 7)
        mix[0] = 0.03 + 0.03 * diseased[number]
        kind = rng.choice(8, cells, p=mix / mix.sum())
        vectors = (kinds[kind] + rng.normal(size=(cells, DIM))).astype(np.float32)
        place = rng.random((2, cells)) * 2000
        rows = pa.table(
            {
                "path": [f"{name}/{field}.png" for field in (np.arange(cells) // 200).tolist()],
                "source": [f"lab {number % 3}"] * cells,
                "slide": [f"{name}-s"] * cells,
                "patient": [name] * cells,
                "view_x": place[0],
                "view_y": place[1],
                "view_side": np.full(cells, 8.0),
            }
        )
        writer.write(PartRecord(number, number + 1, cells, cells), rows, vectors)
    values = [
        (name, f"{12 - 0.8 * ill + rng.normal():.1f}", "disease" if ill else "control")
        for name, ill in zip(names, diseased, strict=True)
    ]
    write_csv(folder / "clinical.csv", ("patient", "hb_g_dl", "diagnosis"), values)


def measure(folder: Path) -> dict[str, object]:
    """Do one outer fold; return seconds of each step and the peak memory."""
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds[name], began = round(now - began, 1), now

    clinical = read_clinical(folder / "clinical.csv", target="diagnosis")
    cohort = match(open_table(folder / "table"), clinical)
    lap("match s")
    features = {"": PictureFeatures(cohort.pictures())}
    lap("means of all cells s")
    bags = Bags.of(cohort.cells.vectors, cohort.patient, len(cohort))
    lap("draw cells s")
    truth = np.array([value == "disease" for value in clinical.target or ()], dtype=np.int64)
    columns = ClinicalFeatures(cohort.clinical.used)
    test = np.arange(0, len(cohort), 5)
    train = np.setdiff1d(np.arange(len(cohort)), test)
    predict_fold(columns, features, truth, train, test)
    lap("linear models s")
    found = predict_attention(bags, columns, truth, train, test, settings=AttentionSettings(), seed=0)
    lap("attention models s")
    right = {name: float((likely.argmax(axis=1) == truth[test]).mean()) for name, likely in found.items()}
    return {
        "cells": int(cohort.counts.sum()),
        "cells held": len(cohort.cells),
        **seconds,
        "accuracy": {name: round(value, 3) for name, value in right.items()},
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--cells", type=int, default=5000, help="of each patient")
    parser.add_argument("--measure", type=Path, help="only measure a folder that was drawn before")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        draw(Path(name), given.patients, given.cells)
        drawn = time.perf_counter() - began
        found = subprocess.run(
            [sys.executable, __file__, "--measure", name], check=True, capture_output=True, text=True
        )
    about = {"patients": given.patients, "cells of each": given.cells, "dim": DIM, "draw s": round(drawn, 1)}
    load = {"load average": round(os.getloadavg()[0], 1)}
    print(json.dumps({**about, **json.loads(found.stdout.splitlines()[-1]), **load}))


if __name__ == "__main__":
    main()
