"""Stain normalisation of a picture: milliseconds of processor time, beside torchstain where it is installed.

    python benchmarks/stain.py

Draws a synthetic field, scales it to 1,000 x 1,000 pixels and normalises it by turns; medians, as one line of
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2

import reddino
from reddino.smears.decode import decode_image
from reddino.views.stain_normaliser import measure_stain, normalise_stain


def main() -> None:
    """Draw, normalise by turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--source", default="night")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "s"
        reddino.synthesise(
            folder, sources=(given.source,), patients_per_source=1, fields_per_patient=1, seed=2
        )
        manifest = reddino.read_manifest(folder / "manifest.csv")
        image = decode_image(manifest.paths()[0])
    image = cv2.resize(image, (given.side, given.side), interpolation=cv2.INTER_AREA)
    work: dict[str, Callable[[], Any]] = {
        "measure alone": lambda: measure_stain(image),
        "reinhard": lambda: normalise_stain(image, "reinhard"),
        "macenko": lambda: normalise_stain(image, "macenko"),
    }
    try:
        from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer
    except ModuleNotFoundError:
        pass
    else:
        theirs = {"reinhard": NumpyReinhardNormalizer(), "macenko": NumpyMacenkoNormalizer()}
        for method, normaliser in theirs.items():
            normaliser.fit(image)
            work[f"torchstain {method}"] = partial(normaliser.normalize, image)
    taken: dict[str, list[float]] = {what: [] for what in work}
    for _ in range(given.rounds):
        for what, do in work.items():
            began = time.process_time()
            do()
            taken[what].append(1000 * (time.process_time() - began))
    found: dict[str, Any] = {f"{what} ms": round(median(times)) for what, times in taken.items()}
    refused = {what: do() for what, do in work.items() if isinstance(do(), str)}
    found |= {"refused": refused}
    print(json.dumps({"side": given.side, **found, "load average": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
    main()
