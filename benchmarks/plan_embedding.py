"""The plan of an embedding pass beside the pass itself, at two sizes.

    python benchmarks/plan_embedding.py --fields 60 240

Draws synthetic fields, plans the pass over each number of them (`reddino plan embed`), runs it, and prints
seconds of both as one line of JSON. Plan and run follow each other, so that a machine whose speed drifts
shows as an error of the plan.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import reddino
from reddino.networks.shipped import DEFAULT_MODEL


def main() -> None:
    """Draw, plan, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--fields", type=int, nargs="+", default=[60, 240])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each probe")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reddino.synthesise(
            folder / "s",
            sources=("mint",),
            patients_per_source=max(given.fields),
            fields_per_patient=1,
            seed=4,
        )
        manifest = reddino.read_manifest(folder / "s" / "manifest.csv")
        codes = manifest.images()[1]
        for fields in given.fields:
            part = manifest.select(np.flatnonzero(codes < fields))
            plan = reddino.plan_embed(part, DEFAULT_MODEL, seconds=given.seconds)
            began = time.perf_counter()
            report = reddino.embed(part, DEFAULT_MODEL, folder / f"t{fields}")
            real = time.perf_counter() - began
            found.append(
                {
                    "fields": fields,
                    "views": report.rows,
                    "planned s": round(plan.hours * 3600, 1),
                    "real s": round(real, 1),
                    "off %": round(100 * (plan.hours * 3600 / real - 1), 1),
                    "give or take %": round(100 * plan.spread, 1),
                }
            )
    print(json.dumps({"passes": found, "load average": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
    main()
