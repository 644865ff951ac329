"""Accuracy of the cell finder: `python benchmarks/cell_finding.py <folder of the real smear collection>`."""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from reddino.rbc.finding import find_cells
from reddino.smears.decode import decode_image
from reddino.synthetic.camera import render_field
from reddino.synthetic.patients import draw_patient
from reddino.synthetic.scene import make_scene
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.truth import boxes

Floats = NDArray[np.float64]

RED = {"RBC", "red blood cell", "ring", "trophozoite", "schizont", "gametocyte", "difficult", "auto_round"}
SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class LabelledSet:
    """Where the labels of a set are; `source` picks one of several; `complete`: nearly all cells have one."""

    manifest: str
    source: str | None = None
    complete: bool = True


SETS = {
    "bccd": LabelledSet("bccd/manifest.csv"),
    "txl_pbc/pbc": LabelledSet("txl_pbc/manifest.csv", "pbc_barcelona"),
    "txl_pbc/raabin": LabelledSet("txl_pbc/manifest.csv", "raabin_iran"),
    "draaslan_bcd": LabelledSet("draaslan_bcd/manifest.csv"),
    "iml_malaria": LabelledSet("iml_malaria/manifest.csv"),
    "chula_rbc12": LabelledSet("chula_rbc12/manifest.csv", complete=False),
    "uganda_sickle": LabelledSet("uganda_sickle/weak_boxes.csv", complete=False),
}
# Points without boxes: the README of the collection says about 40 pixels a cell.
CHULA_DIAMETER = 40.0


@dataclass(frozen=True)
class Field:
    """One image and its red cells: boxes (n, 4) x, y, w, h (w = h = 0: a point), true diameter or NaN."""

    image: NDArray[np.uint8]
    boxes: Floats
    diameter: float

    @property
    def centres(self) -> Floats:
        return self.boxes[:, :2] + self.boxes[:, 2:] / 2


def real_fields(collection: Path, name: str, half: str, limit: int) -> Iterator[Field]:
    """The labelled images of a set in order of their path; `half` picks those of even or odd index."""
    chosen = SETS[name]
    rows: dict[str, list[list[float]]] = defaultdict(list)
    with (collection / chosen.manifest).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            boxed = bool(row["w"])
            red = row["label"] in RED if boxed else bool(row["x"])
            if red and chosen.source in (None, row["source"]):
                rows[row["path"]].append([float(row[side] or 0) for side in "xywh"])
    paths = sorted(rows)
    paths = {"even": paths[::2], "odd": paths[1::2], "all": paths}[half]
    if limit and len(paths) > limit:
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, limit).astype(int)]
    folder = (collection / chosen.manifest).parent
    for path in paths:
        image, labelled = decode_image(folder / path), np.array(rows[path])
        yield Field(image, labelled, box_diameter(labelled, image))


def box_diameter(labelled: Floats, image: NDArray[np.uint8]) -> float:
    """Median geometric mean side of the boxes that no image border cuts; NaN where there are none."""
    if not labelled[:, 2:].any():
        return CHULA_DIAMETER
    size = np.array(image.shape[1::-1])
    whole = (labelled[:, :2] > 2).all(axis=1) & (labelled[:, :2] + labelled[:, 2:] < size - 2).all(axis=1)
    return float(np.median(np.sqrt(labelled[whole, 2:].prod(axis=1)))) if whole.any() else float("nan")


def synthetic_fields(patients: int) -> Iterator[Field]:
    """Drawn fields of every source with exact truth; cells that show less than a fifth are left out."""
    for source in SOURCES.values():
        for seed in range(patients):
            scene = make_scene(draw_patient(seed), seed)
            truth = boxes(scene, source, visible=0.2)
            whole = [box.diameter for box in truth if box.visible > 0.99]
            table = np.array([[box.x, box.y, box.w, box.h] for box in truth])
            yield Field(render_field(scene, source, seed), table, float(np.median(whole)) * source.px_per_um)


def paired(truth: Floats, found: Floats, reach: float) -> NDArray[np.bool_]:
    """Flags of the found centres (m, 2) that pair one to one with a true one (n, 2) nearer than `reach`."""
    flags = np.zeros(len(found), np.bool_)
    if len(truth) and len(found):
        apart = np.linalg.norm(truth[:, None] - found[None], axis=2)
        rows, columns = linear_sum_assignment(np.where(apart < reach, apart, 1e3 * reach))
        flags[columns[apart[rows, columns] < reach]] = True
    return flags


@dataclass(frozen=True)
class Score:
    """What one image adds: cells labelled, found, counted for precision, paired; sizes; CPU seconds."""

    labelled: int
    found: int
    counted: int
    matched: int
    diameter: float
    estimate: float
    seconds: float


def score(field: Field) -> Score:
    """Run the finder, without being told the diameter, against the labels of one image."""
    start = time.process_time()
    cells = find_cells(field.image)
    seconds = time.process_time() - start
    reach = 0.5 * (field.diameter if np.isfinite(field.diameter) else cells.typical_diameter)
    centres = np.stack([cells.x + cells.w / 2, cells.y + cells.h / 2], axis=1)
    hit = paired(field.centres, centres, reach)
    # Annotators leave out many a cell that the border cuts: it counts where it is paired, but not against us.
    counted = int((hit | ~cells.touches_border).sum())
    return Score(
        len(field.boxes), len(cells), counted, int(hit.sum()), field.diameter, cells.typical_diameter, seconds
    )


def table_row(name: str, scores: list[Score]) -> str:
    """One line of the table; what needs complete labels is left empty where they are not."""
    complete = name == SYNTHETIC or SETS[name].complete
    labelled = np.array([s.labelled for s in scores])
    found = np.array([s.found for s in scores])
    excess = 100 * (found / labelled - 1)
    matched = sum(s.matched for s in scores)
    recall, precision = matched / labelled.sum(), matched / max(1, sum(s.counted for s in scores))
    error = 100 * np.array([s.estimate / s.diameter - 1 for s in scores if np.isfinite(s.diameter)])
    size = np.nan_to_num(np.abs(error), nan=np.inf)
    total = 100 * (found.sum() / labelled.sum() - 1)
    count = f"{np.median(excess):+.0f} / {np.abs(excess).mean():.0f} / {total:+.0f}"
    columns = [
        name,
        str(len(scores)),
        count if complete else "",
        f"{precision:.3f}" if complete else "",
        f"{recall:.3f}",
        f"{2 * precision * recall / (precision + recall):.3f}" if complete else "",
        f"{np.nanmedian(error):+.1f}",
        f"{np.median(size):.1f}",
        f"{100 * np.mean(size < 10):.0f} / {100 * np.mean(size < 20):.0f}",
        f"{1000 * np.median([s.seconds for s in scores]):.0f}",
    ]
    return "| " + " | ".join(columns) + " |"


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection", type=Path, help="folder of the real smear collection")
    parser.add_argument("--half", choices=["even", "odd", "all"], default="odd", help="images by index")
    parser.add_argument("--limit", type=int, default=0, help="at most so many images a set, evenly spaced")
    parser.add_argument("--sets", nargs="*", default=[*SETS, SYNTHETIC], choices=[*SETS, SYNTHETIC])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(
        "| set | images | count error %: median / mean abs / total | precision | recall | F1 "
        "| diameter bias % | diameter error % | within 10 / 20 % | CPU ms |"
    )
    print("|" + "---|" * 10)
    for name in options.sets:
        if name == SYNTHETIC:
            fields = synthetic_fields(patients=4)
        else:
            fields = real_fields(options.collection, name, options.half, options.limit)
        print(table_row(name, [score(field) for field in fields]), flush=True)


if __name__ == "__main__":
    main()
