"""Whether regions of one picture differ in scale, so that a diameter of each region would be worth having.

    python benchmarks/scale_by_region.py chula=chula_rbc12/images iml=iml_malaria/images --pictures 40

The red cells of a picture are found by segmentation, and the median diameter of the whole ones is taken in
each quadrant, where all four hold five or more of them. How far the quadrants lie apart is compared with
quadrants to which the same cells are dealt at random: what is more than that is of the region, and not of the
few cells in it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reddino.foundations.errors import RedDinoError
from reddino.rbc.finding import find_cells
from reddino.smears.decode import decode_image
from reddino.smears.readers.rows import find_images

Real = npt.NDArray[np.float64]

#: Whole cells that a quadrant must hold.
LEAST = 5
#: Deals of the cells to the quadrants.
DEALS = 200
#: From here on, views in pixels would refuse the cells of a region (docs/how-to/classify.md).
TOLERANCE = 1.25


@dataclass(frozen=True)
class Quadrants:
    """One picture.

    Attributes:
        spread: the largest median diameter of a quadrant over the smallest.
        dealt: (DEALS,) the same of cells that are dealt at random.
        variance: of the logarithms of the quadrants' medians.
        chance: its mean over the deals.
    """

    spread: float
    dealt: Real
    variance: float
    chance: float


def sample(folder: Path, pictures: int) -> list[Path]:
    """Return pictures of a folder, spread over it."""
    found = sorted(find_images(folder))
    return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, pictures).astype(int)).tolist()]


def medians(diameter: Real, quadrant: npt.NDArray[np.int64]) -> Real:
    """Return the median diameter of each quadrant (4,)."""
    return np.array([np.median(diameter[quadrant == number]) for number in range(4)])


def of_picture(path: Path, draw: np.random.Generator) -> Quadrants | None:
    """Return how the quadrants of a picture differ; None where one holds too few whole cells."""
    try:
        pixels = decode_image(path)
        cells = find_cells(pixels)
    except RedDinoError:
        return None
    whole = ~cells.touches_border
    right, low = cells.cx > pixels.shape[1] / 2, cells.cy > pixels.shape[0] / 2
    quadrant = (right + 2 * low).astype(np.int64)[whole]
    diameter = cells.diameter[whole]
    if np.bincount(quadrant, minlength=4).min() < LEAST:
        return None
    own = np.log(medians(diameter, quadrant))
    deals = np.log([medians(diameter, draw.permutation(quadrant)) for _ in range(DEALS)])
    return Quadrants(
        float(np.exp(np.ptp(own))),
        np.exp(np.ptp(deals, axis=1)),
        float(own.var(ddof=1)),
        float(deals.var(axis=1, ddof=1).mean()),
    )


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("sets", nargs="+", help="name=folder of pictures")
    parser.add_argument("--pictures", type=int, default=40, help="of each set")
    options = parser.parse_args()
    print(
        "| collection | pictures | largest over smallest quadrant, median (95 %) | dealt at random | "
        "sd of the region | sd of few cells | beyond chance (5 % would be) | above 1.25 |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for entry in options.sets:
        name, folder = entry.split("=", 1)
        draw = np.random.default_rng(0)
        measured = [of_picture(path, draw) for path in sample(Path(folder), options.pictures)]
        found = [one for one in measured if one is not None]
        if not found:
            print(f"| {name} | 0 |" + " |" * 6)
            continue
        spread = np.array([one.spread for one in found])
        dealt = np.concatenate([one.dealt for one in found])
        beyond = np.mean([one.spread > np.quantile(one.dealt, 0.95) for one in found])
        chance = float(np.mean([one.chance for one in found]))
        region = max(float(np.mean([one.variance for one in found])) - chance, 0.0)
        print(
            f"| {name} | {len(found)} | {np.median(spread):.3f} ({np.quantile(spread, 0.95):.3f}) | "
            f"{np.median(dealt):.3f} ({np.quantile(dealt, 0.95):.3f}) | {np.sqrt(region):.1%} | "
            f"{np.sqrt(chance):.1%} | {beyond:.0%} | {np.mean(spread > TOLERANCE):.0%} |"
        )


if __name__ == "__main__":
    main()
