"""Print the reference of stain normalisation: the median over laboratories of what their pictures show.

    python experiments/stain_reference.py chula=C.csv bccd=B.csv ... --pictures 40

Each source of a manifest is a laboratory. The numbers are those of `src/reddino/views/stain_reference.py`.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

import reddino
from reddino.smears.decode import decode_image
from reddino.smears.failures import ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.views.stain_normaliser import macenko_stains, measure_stain, not_two_stains, reinhard_statistics

Floats = npt.NDArray[np.float64]
#: Pictures of a laboratory in which two stains are found for them to count.
LEAST = 5


def pictures_by_source(manifest: Manifest, most: int) -> dict[str, list[str]]:
    """Return at most `most` pictures of each source, drawn at random (seed 0)."""
    names, codes = manifest.images()
    first = np.unique(codes, return_index=True)[1]
    source = np.array(manifest.strings("source"), dtype=object)[first]
    found = {}
    for one in sorted(set(source.tolist())):
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(source == one))[:most]
        found[one] = [names[place] for place in sorted(chosen.tolist())]
    return found


def laboratory(manifest: Manifest, names: list[str]) -> tuple[Floats, Floats, str]:
    """Return medians over pictures of light and Lab (9,), of stains (8,), and why others were left."""
    readings = Readings(manifest.table)
    plain, stains, left = [], [], dict[str, int]()
    for name in names:
        try:
            shown = measure_stain(decode_image(manifest.root / name, **readings.of(name)))
        except ImageError as error:
            shown = error.reason
        if isinstance(shown, str):
            left[shown] = left.get(shown, 0) + 1
            continue
        lab = reinhard_statistics(shown)
        plain.append(np.concatenate([shown.light, lab.mean, lab.spread]))
        two = macenko_stains(shown)
        wrong = "its pixels have one colour" if two is None else not_two_stains(two)
        if two is None or wrong:
            left[wrong] = left.get(wrong, 0) + 1
        else:
            stains.append(np.concatenate([two.vectors.T.ravel(), two.amounts]))
    two_stains = np.median(stains, axis=0) if len(stains) >= LEAST else np.full(8, np.nan)
    reasons = ", ".join(f"{count} x {reason}" for reason, count in left.items())
    return (
        np.median(plain, axis=0),
        two_stains,
        f"{len(names)} pictures; {len(stains)} of two stains; {reasons}",
    )


def main() -> None:
    """Print a line for each laboratory, and their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", metavar="NAME=CSV")
    parser.add_argument("--pictures", type=int, default=40, help="of each laboratory, at most")
    given = parser.parse_args()
    plain, stains = [], []
    for pair in given.data:
        manifest = reddino.read_manifest(pair.partition("=")[2])
        for source, names in pictures_by_source(manifest, given.pictures).items():
            one, two, about = laboratory(manifest, names)
            print(source, one.round(1).tolist(), two.round(2).tolist(), about, flush=True)
            plain.append(one)
            stains.append(two)
    middle, two = np.median(plain, axis=0), np.nanmedian(stains, axis=0)
    vectors = two[:6].reshape(2, 3)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    print("light", middle[:3].round(0).tolist())
    print("Lab mean", middle[3:6].round(1).tolist(), "spread", middle[6:].round(1).tolist())
    print("azure", vectors[0].round(3).tolist(), "eosin", vectors[1].round(3).tolist())
    print("amounts", two[6:].round(2).tolist())


if __name__ == "__main__":
    main()
