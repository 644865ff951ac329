"""A field with its cells marked by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch, Rectangle
from matplotlib.patheffects import withStroke

from reddino.classification.predict import Predictions
from reddino.embedding.kinds import KINDS
from reddino.embedding.view_encoder import Images
from reddino.figures.canvas import blank_figure, legend, save_figure
from reddino.figures.lettering import Numbers, note_numbers
from reddino.figures.palette import PALETTE
from reddino.foundations.stages import watched
from reddino.foundations.visible import file_stem, short_names
from reddino.smears.decode import decode_image
from reddino.smears.readings import Readings

#: Line styles distinguish classes of one colour, beyond the colours that everyone can distinguish.
Style = Literal["solid", "dashed", "dotted"]
STYLES: tuple[Style, ...] = ("solid", "dashed", "dotted")
DOTS_AN_INCH = 100.0
LONGEST_SIDE = 12.0
#: Letters of an image's name above it.
TITLE = 60


def overlay_figure(
    image: Images,
    boxes: npt.NDArray[np.float64],
    numbers: npt.NDArray[np.int64],
    classes: Sequence[str],
    *,
    round_cells: npt.NDArray[np.bool_] | None = None,
    title: str = "",
) -> Figure:
    """Outline every cell in the colour of its class, with a legend of the classes that occur.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) left, top, width, height in pixels.
        numbers: (n,) class numbers.
        classes: names.
        round_cells: (n,) True where a circle is drawn in place of a box.
        title: above the image.
    """
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE * DOTS_AN_INCH / max(height, width))
    figure = blank_figure(width * scale / DOTS_AN_INCH + 2.5, height * scale / DOTS_AN_INCH + 0.4)
    figure.set_layout_engine("none")
    axes = figure.add_subplot()
    axes.imshow(image, interpolation="bilinear")
    circled = np.zeros(len(boxes), dtype=np.bool_) if round_cells is None else round_cells
    for box, number, circle in zip(boxes, numbers.tolist(), circled.tolist(), strict=True):
        axes.add_patch(_mark(box, number, circle))
    counts = np.bincount(numbers, minlength=len(classes))
    present = [(i, f"{name} ({counts[i]})") for i, name in enumerate(short_names(classes)) if counts[i]]
    handles = [Line2D([], [], color=_colour(i), linestyle=_style(i), linewidth=2.0) for i, _ in present]
    for handle in handles:
        handle.set_path_effects([withStroke(linewidth=3.5, foreground="#666666")])
    legend(
        axes,
        handles,
        [name for _, name in present],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=9,
        handlelength=2.8,
    )
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure


def draw_overlays(predictions: Predictions, folder: Path, most: int = 20) -> list[Path]:
    """Write an overlay for each of the first `most` images of the predictions, named after the image.

    Returns:
        The files; none where the predictions are not of images at hand.
    """
    if predictions.root is None:
        return []
    paths = predictions.strings("path")
    names = list(dict.fromkeys(paths))[:most]
    boxes, circled = _boxes(predictions)
    numbers, classes = marks_of(predictions)
    readings = Readings(predictions.table)
    every = np.asarray(paths)
    drawn: list[Path] = []
    undrawn = Numbers()
    titles = short_names([Path(name).name for name in names], TITLE)
    for name, title in watched(list(zip(names, titles, strict=True)), "drawing overlays"):
        rows = every == name
        figure = overlay_figure(
            decode_image(predictions.root / name, **readings.of(name)),
            boxes[rows],
            numbers[rows],
            classes,
            round_cells=circled[rows],
            title=f"{title}: {int(rows.sum())} cells, research use only",
        )
        # The folders of the path are part of the name: two slides may hold a field 1.jpg each.
        stem = file_stem(name.replace("../", "").replace("/", "_"))
        file = folder / f"{stem}.png"
        if file in drawn:  # as 1.png and 1.jpg of one folder
            file = folder / f"{stem}-{len(drawn) + 1}.png"
        save_figure(figure, file, numbers=undrawn)
        drawn.append(file)
    note_numbers(undrawn, folder)
    return drawn


def marks_of(predictions: Predictions) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Return the number of each cell's mark (n,) and the names of the marks: classes, and what has none.

    A cell that counts for no class has in its place why: its kind, the border that cuts it, or no answer.
    """
    marks, names = predictions.numbers(), list(predictions.classes)
    for reason, where in (
        ("no answer", predictions.abstained()),
        ("cut by the border", ~predictions.whole()),
    ):
        marks = np.where(where, len(names), marks)
        names.append(f"({reason})")
    if predictions.kinds is not None:
        kinds = np.array([KINDS.index(name) if name in KINDS else 0 for name in predictions.kinds.names])
        marks = np.where(predictions.left_out(), len(names) + kinds, marks)
        names += [f"({kind}, left out)" for kind in KINDS]
    return marks, tuple(names)


def _boxes(predictions: Predictions) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return boxes (n, 4), and where (n,) they stand in for missing ones: one diameter, or half the view."""
    table = predictions.table
    columns = {
        name: np.array(
            [np.nan if value is None else value for value in table.column(name).to_pylist()], dtype=np.float64
        )
        for name in ("x", "y", "w", "h", "cell_diameter", "view_x", "view_y", "view_side")
    }
    side = np.where(np.isnan(columns["cell_diameter"]), columns["view_side"] / 2, columns["cell_diameter"])
    own = np.stack([columns[name] for name in ("x", "y", "w", "h")], axis=1)
    round_ = np.stack([columns["view_x"] - side / 2, columns["view_y"] - side / 2, side, side], axis=1)
    missing = np.isnan(columns["w"])
    return np.where(missing[:, None], round_, own), missing


def _mark(box: npt.NDArray[np.float64], number: int, circle: bool) -> Patch:
    left, top, width, height = box.tolist()
    style: dict[str, Any] = {
        "fill": False,
        "edgecolor": _colour(number),
        "linestyle": _style(number),
        "linewidth": 1.4,
    }
    mark: Patch
    if circle:
        mark = Ellipse((left + width / 2, top + height / 2), width, height, **style)
    else:
        mark = Rectangle((left, top), width, height, **style)
    mark.set_path_effects([withStroke(linewidth=2.4, foreground="#FFFFFF", alpha=0.7)])
    return mark


def _colour(number: int) -> str:
    return PALETTE[number % len(PALETTE)]


def _style(number: int) -> Style:
    return STYLES[number // len(PALETTE) % len(STYLES)]
