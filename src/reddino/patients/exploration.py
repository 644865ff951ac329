"""A cohort as pictures: the map of patients, and the most telling cells of some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reddino.embedding.view_encoder import Images
from reddino.figures.canvas import blank_figure, save_figure
from reddino.figures.maps import maps_figure
from reddino.figures.projection import layout
from reddino.figures.row_pictures import Pictures
from reddino.foundations.exports import write_csv
from reddino.foundations.visible import short, visible
from reddino.patients.bags import Bags
from reddino.patients.cohort import Cohort
from reddino.patients.telling_cells import TellingCells, telling_cells, typical_patients

Rows = NDArray[np.int64]
#: Patients of a class on the sheet, cells of each, and cells of each in the file.
PATIENTS, CELLS, LISTED = 4, 10, 20
#: Patients from which on the map is a UMAP; of fewer, principal components.
_ENOUGH = 30
_SIDE = 72


def explore_cohort(cohort: Cohort, out: Path, images: str | Path | None = None, seed: int = 0) -> list[Path]:
    """Draw the map of patients and, for patients with a target, their most telling cells.

    Args:
        cohort: patients.
        out: folder of map.png, patients.csv, telling_cells.csv and, with `images`, telling_cells.png.
        images: the manifest that was embedded, or the folder that its paths start from.
        seed: of the map, the folds and the fits.

    Returns:
        The files.

    Raises:
        RedDinoError: none of the images is there.
    """
    out.mkdir(parents=True, exist_ok=True)
    target = cohort.clinical.target or ("",) * len(cohort)
    pictures = cohort.pictures().astype(np.float32)
    placed = layout(pictures, "umap" if len(cohort) >= _ENOUGH else "pca", seed)
    written = [out / "map.png", out / "patients.csv"]
    columns = {"by target": list(target), "by source": list(cohort.sources)}
    save_figure(maps_figure(placed.xy, columns, f"{placed.method} of {len(cohort)} patients"), written[0])
    classes = sorted(set(target))
    found: TellingCells | None = None
    if len(classes) > 1 and min(target.count(name) for name in classes) > 1:
        truth = np.array([classes.index(name) for name in target], dtype=np.int64)
        bags = Bags.of(cohort.cells.vectors, cohort.patient, len(cohort))
        found = telling_cells(bags, truth, seed=seed)
        written.append(out / "telling_cells.csv")
        _write_cells(written[-1], cohort, found)
        if images is not None:
            written.append(out / "telling_cells.png")
            cut = Pictures.of(cohort.cells, images)
            save_figure(_sheet(cohort, found, truth, classes, cut), written[-1])
    _write_patients(written[1], cohort, placed.xy, classes, found)
    for name in ("telling_cells.csv", "telling_cells.png"):
        if out / name not in written:
            (out / name).unlink(missing_ok=True)  # of other patients
    return written


def _write_patients(
    path: Path, cohort: Cohort, xy: NDArray[np.float64], classes: list[str], found: TellingCells | None
) -> None:
    header = ["patient", "source", "target", "cells", "map_x", "map_y"]
    target = cohort.clinical.target or ("",) * len(cohort)
    likely = [] if found is None else [f"p_{name}" for name in classes]
    rows = [
        (
            *(cohort.clinical.patients[row], cohort.sources[row], target[row], str(cohort.counts[row])),
            *(f"{value:.4f}" for value in xy[row]),
            *([] if found is None else [f"{value:.4f}" for value in found.likely[row]]),
        )
        for row in range(len(cohort))
    ]
    write_csv(path, (*header, *likely), rows)


def _write_cells(path: Path, cohort: Cohort, found: TellingCells) -> None:
    """Write the most telling cells of every patient, with their places."""
    paths = cohort.cells.strings("path")
    have = cohort.cells.table.column_names
    places = [cohort.cells.strings(name) for name in ("view_x", "view_y") if name in have]
    rows = []
    for patient in range(len(cohort)):
        for rank, row in enumerate(found.top(patient, LISTED).tolist(), start=1):
            place = [column[row] for column in places]
            name = cohort.clinical.patients[patient]
            rows.append(
                (name, cohort.sources[patient], str(rank), f"{found.weights[row]:.3f}", paths[row], *place)
            )
    write_csv(
        path, ("patient", "source", "rank", "weight", "path", *("view_x", "view_y")[: len(places)]), rows
    )


def _sheet(cohort: Cohort, found: TellingCells, truth: Rows, classes: list[str], cut: Pictures) -> Figure:
    """Draw a row per patient: its cells with the largest weights, as multiples of an average cell's."""
    chosen = [int(row) for rows in typical_patients(found.likely, truth, PATIENTS) for row in rows]
    tops = [found.top(patient, CELLS) for patient in chosen]
    pictures = cut.cut(np.concatenate(tops), _SIDE)
    figure = blank_figure(1.0 * CELLS + 1.6, 1.12 * len(chosen))
    axes = figure.subplots(len(chosen), CELLS, squeeze=False)
    start = 0
    for line, (patient, rows) in enumerate(zip(chosen, tops, strict=True)):
        own: Images = pictures[start : start + len(rows)]
        start += len(rows)
        for place in range(CELLS):
            axes[line, place].set_axis_off()
            if place < len(rows):
                axes[line, place].imshow(own[place], interpolation="nearest")
                axes[line, place].set_title(f"{found.weights[rows[place]]:.1f} x", fontsize=7)
        name = short(visible(cohort.clinical.patients[patient], keep=""), 18)
        target = short(visible(classes[int(truth[patient])], keep=""), 18)
        likely = found.likely[patient, truth[patient]]
        axes[line, 0].text(
            -0.15, 0.5, f"{name}\n{target} {likely:.2f}", transform=axes[line, 0].transAxes,
            ha="right", va="center", fontsize=8,
        )  # fmt: skip
    return figure
