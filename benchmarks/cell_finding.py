"""Accuracy of the cell finder on the real smear collection: `python benchmarks/cell_finding.py <collection>`."""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from reddino.smears.cells import Cells, find_cells

RED = {"RBC", "red blood cell", "ring", "trophozoite", "schizont", "gametocyte", "difficult"}
# name: folder, manifest, sources kept (None = all), full annotation (precision has a meaning).
SETS = {
    "bccd": ("bccd", "manifest.csv", None, True),
    "txl_pbc/pbc": ("txl_pbc", "manifest.csv", "pbc_barcelona", True),
    "txl_pbc/raabin": ("txl_pbc", "manifest.csv", "raabin_iran", True),
    "draaslan_bcd": ("draaslan_bcd", "manifest.csv", None, True),
    "iml_malaria": ("iml_malaria", "manifest.csv", None, True),
    "chula_rbc12": ("chula_rbc12", "manifest.csv", None, False),
    "uganda_sickle": ("uganda_sickle", "weak_boxes.csv", None, False),
}


@dataclass
class Truth:
    """Red cells of one image as annotated: centres (n, 2), box sizes (n, 2; NaN = none), border flag (n,)."""

    path: Path
    centres: list[tuple[float, float]] = field(default_factory=list)
    sizes: list[tuple[float, float]] = field(default_factory=list)
    corners: list[tuple[float, float]] = field(default_factory=list)


def read_truth(collection: Path, name: str) -> list[Truth]:
    """Annotated red cells of every image of one set, in order of the path."""
    folder, table, source, _ = SETS[name]
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (collection / folder / table).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if source is None or row["source"] == source:
                rows[row["path"]].append(row)
    truths = []
    for path in sorted(rows):
        truth = Truth(collection / folder / path)
        for row in rows[path]:
            boxed = bool(row["w"])
            if not row["x"] or not row["label"] or (boxed and row["label"] not in RED | {"auto_round"}):
                continue
            x, y = float(row["x"]), float(row["y"])
            w, h = (float(row["w"]), float(row["h"])) if boxed else (0.0, 0.0)
            truth.centres.append((x + w / 2, y + h / 2))
            truth.sizes.append((w, h) if boxed else (np.nan, np.nan))
            truth.corners.append((x, y))
        if truth.centres:
            truths.append(truth)
    return truths


def match(truth: np.ndarray, found: np.ndarray, reach: float) -> np.ndarray:
    """Flags (found,) of the found cells that pair one to one with an annotated one nearer than `reach` pixels."""
    paired = np.zeros(len(found), np.bool_)
    if len(truth) == 0 or len(found) == 0:
        return paired
    apart = np.linalg.norm(truth[:, None] - found[None], axis=2)
    cost = np.where(apart < reach, apart, 1e3 * reach)
    rows, columns = linear_sum_assignment(cost)
    paired[columns[apart[rows, columns] < reach]] = True
    return paired


def true_diameter(truth: Truth, width: int, height: int) -> float:
    """Median geometric mean side of the boxes that no image border cuts; NaN where there are none."""
    corners, sizes = np.array(truth.corners), np.array(truth.sizes)
    whole = (corners > 2).all(axis=1) & (corners + sizes < np.array([width, height]) - 2).all(axis=1)
    return float(np.median(np.sqrt(sizes[whole].prod(axis=1)))) if whole.any() else float("nan")


@dataclass
class Score:
    """What one image contributes."""

    annotated: int
    found: int
    counted: int
    matched: int
    diameter: float
    estimate: float
    seconds: float


def score_image(truth: Truth) -> Score:
    image = cv2.cvtColor(cv2.imread(str(truth.path)), cv2.COLOR_BGR2RGB)
    start = time.perf_counter()
    cells: Cells = find_cells(image)
    seconds = time.perf_counter() - start
    diameter = true_diameter(truth, image.shape[1], image.shape[0])
    if np.isnan(diameter) and np.isnan(truth.sizes).all():
        diameter = 40.0
    reach = 0.5 * (diameter if np.isfinite(diameter) else cells.typical_diameter)
    centres = np.stack([cells.x + cells.w / 2, cells.y + cells.h / 2], axis=1)
    paired = match(np.array(truth.centres), centres, reach)
    # Annotators leave out many a cell that the border cuts: such a cell counts where it is paired, not against us.
    whole, matched = int((paired | ~cells.touches_border).sum()), int(paired.sum())
    return Score(len(truth.centres), len(cells), whole, matched, diameter, cells.typical_diameter, seconds)


def table_row(name: str, scores: list[Score]) -> str:
    full = SETS[name][3]
    annotated = np.array([s.annotated for s in scores])
    found = np.array([s.found for s in scores])
    matched = sum(s.matched for s in scores)
    count = found / annotated - 1
    recall = matched / annotated.sum()
    precision = matched / max(1, sum(s.counted for s in scores))
    known = [s for s in scores if np.isfinite(s.diameter)]
    error = np.array([s.estimate / s.diameter - 1 for s in known])
    size = np.nan_to_num(np.abs(error), nan=9.0)
    cells = [
        name,
        str(len(scores)),
        f"{100 * np.median(count):+.0f} / {100 * np.abs(count).mean():.0f} / {100 * (found.sum() / annotated.sum() - 1):+.0f}"
        if full
        else "-",
        f"{precision:.3f}" if full else "-",
        f"{recall:.3f}",
        f"{2 * precision * recall / (precision + recall):.3f}" if full else "-",
        f"{100 * np.nanmedian(error):+.1f}",
        f"{100 * np.median(size):.1f}",
        f"{100 * np.mean(size < 0.1):.0f} / {100 * np.mean(size < 0.2):.0f}",
        f"{1000 * np.median([s.seconds for s in scores]):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection", type=Path, help="folder of the real smear collection")
    parser.add_argument(
        "--half", choices=["even", "odd", "all"], default="odd", help="images by index (odd: never tuned on)"
    )
    parser.add_argument(
        "--limit", type=int, default=0, help="at most so many images a set, evenly spaced (0 = all)"
    )
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(
        "| set | images | count error %: median / mean abs / total | precision | recall | F1 "
        "| diameter bias % | diameter error % | within 10 / 20 % | ms |"
    )
    print("|" + "---|" * 10)
    for name in options.sets:
        truths = read_truth(options.collection, name)
        truths = {"even": truths[::2], "odd": truths[1::2], "all": truths}[options.half]
        if options.limit and len(truths) > options.limit:
            truths = [truths[i] for i in np.linspace(0, len(truths) - 1, options.limit).astype(int)]
        print(table_row(name, [score_image(truth) for truth in truths]), flush=True)


if __name__ == "__main__":
    main()
