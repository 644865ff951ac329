"""Hand-crafted features: print the constants that standardise them, and how many views a second they take.

    python benchmarks/morphology.py

The cells are those of synthetic smears of every source, in squares of 1.6 cell diameters.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from reddino.rbc.morphology import NAMES, WORK_SIZE, measure
from reddino.synthetic.write import write_smears
from reddino.views.by_image import ViewsByImage
from reddino.views.spec import ViewSpec


def main() -> None:
    """Draw, cut, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        smears = write_smears(Path(folder), patients_per_source=8, fields_per_patient=1, seed=77)
        spec = ViewSpec(kind="cells", side=1.6, unit="diameters", output=WORK_SIZE)
        views = ViewsByImage(smears, spec)
        squares = np.concatenate(
            [opened.cut(0, len(opened.squares), WORK_SIZE) for opened in map(views.open, range(len(views)))]
        )
    started = time.process_time()
    measured = [measure(square) for square in squares]
    seconds = time.process_time() - started
    features = np.array([one for one in measured if one is not None])
    low, middle, high = np.percentile(features, [25, 50, 75], axis=0)
    # The standard deviation of a normal distribution with the same quartiles; never less than a tenth of the
    # true one, since a feature that is mostly constant has quartiles that coincide.
    spread = np.maximum((high - low) / 1.349, 0.1 * features.std(axis=0))
    print("SCALES = (")
    for name, centre, width in zip(NAMES, middle, spread, strict=True):
        print(f"    ({centre:.4g}, {width:.4g}),  # {name}")
    print(")")
    print(f"{len(features)} of {len(squares)} views; {len(squares) / seconds:.0f} views a second of one core")


if __name__ == "__main__":
    main()
