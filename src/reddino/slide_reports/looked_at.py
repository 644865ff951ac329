"""What the pictures of the cells add: sharpness of fields, sizes and shapes, and examples of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Images
from reddino.figures.row_pictures import Pictures
from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import short
from reddino.rbc.field_measures import relative_sharpness
from reddino.slide_reports.cells import PredictedCells
from reddino.slide_reports.shapes import COLUMNS, SIDE, Shapes, measure_cells, shapes_of
from reddino.smears.contents import read_content

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
#: Cells of a slide that are measured, at most; at once; and examples of each class, in pixels a side.
MOST_CELLS, AT_ONCE, EXAMPLES, EXAMPLE_SIDE = 3000, 500, 10, 56
#: Cells of a field below which its sharpness is not known.
LEAST_SHARP = 3
#: Column of the size of a pixel.
SCALE = "um_per_px"


@dataclass(frozen=True)
class Looked:
    """Measures of a sample of the cells.

    Attributes:
        rows: (m,) of the cells, sorted.
        shapes: (m, 3), see `measure_cells`.
        sharpness: (m,) natural logarithm.
        pictures: to cut more.
    """

    rows: Numbers
    shapes: Real
    sharpness: Real
    pictures: Pictures

    def field_sharpness(self, cells: PredictedCells) -> dict[str, float]:
        """Return how sharp each picture is, as a fraction of the median one of its source."""
        paths = np.array(cells.paths, dtype=object)[self.rows]
        found: dict[str, float] = {}
        for path in dict.fromkeys(paths.tolist()):
            own = self.sharpness[paths == path]
            own = own[np.isfinite(own)]
            found[str(path)] = float(np.median(own)) if len(own) >= LEAST_SHARP else math.nan
        sources = {path: key[0] for path, key in zip(cells.paths, cells.keys, strict=True)}
        return relative_sharpness(found, sources)

    def shapes_of(self, cells: PredictedCells, rows: Numbers, um_per_px: float | None) -> Shapes:
        """Return the shapes of a slide's counted cells, of those that were measured."""
        kept = np.flatnonzero(np.isin(self.rows, rows))
        own = self.rows[kept]
        scale = cells.file.numbers(SCALE)[own]
        if um_per_px is not None:
            scale = np.where(np.isfinite(scale), scale, um_per_px)
        names = np.array([cells.paths[row] for row in own.tolist()], dtype=object)
        fields = np.unique(names, return_inverse=True)[1] if len(own) else np.zeros(0, np.int64)
        return shapes_of(self.shapes[kept], cells.file.numbers("view_side")[own], scale, fields)

    def examples(self, cells: PredictedCells, rows: Numbers, seed: int) -> dict[str, Images]:
        """Return some of a slide's cells of each class, drawn at random, in the order of the classes."""
        rng = np.random.default_rng(seed)
        chosen: list[Numbers] = []
        for number in range(len(cells.classes)):
            own = rows[cells.answer[rows] == number]
            chosen.append(np.sort(rng.permutation(own)[:EXAMPLES]))
        cut = self.pictures.cut(np.concatenate(chosen), EXAMPLE_SIDE)
        ends = np.cumsum([len(own) for own in chosen])
        return {
            name: cut[end - len(own) : end]
            for name, own, end in zip(cells.classes, chosen, ends, strict=True)
        }


def look(cells: PredictedCells, images: str | Path, *, seed: int = 0) -> Looked:
    """Cut and measure a sample of the cells that count.

    Args:
        cells: of predictions.
        images: the manifest that they were predicted of, or the folder that its paths start from.
        seed: of the sample.

    Raises:
        RedDinoError: none of the pictures is there, one is another picture now, or the predictions name no
            places of cells.
    """
    _require_scale(cells)
    pictures = Pictures.of(cells.file.as_embeddings(), images)
    _require_same_pictures(cells, pictures.root)
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(rows[cells.red[rows]])[:MOST_CELLS] for rows in cells.rows_of().values()]
    rows = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
    # Whole pictures at once, so that each is decoded once.
    order = rows[np.argsort(np.array(cells.paths, dtype=object)[rows], kind="stable")]
    shapes, sharpness = np.full((len(cells), len(COLUMNS)), np.nan), np.full(len(cells), np.nan)
    side, diameter = cells.file.numbers("view_side"), cells.file.numbers("cell_diameter")
    for part in _parts(order, cells.paths):
        views = pictures.cut(part, SIDE)
        shapes[part], sharpness[part] = measure_cells(views, side[part] / diameter[part])
    return Looked(rows, shapes[rows], sharpness[rows], pictures)


def _require_scale(cells: PredictedCells) -> None:
    """Refuse sizes of pixels that are none.

    Raises:
        RedDinoError: names the first row.
    """
    texts = cells.file.strings(SCALE)
    right = {text: not text.strip() or 0 < _number(text) < math.inf for text in set(texts)}
    odd = [row for row, text in enumerate(texts) if not right[text]]
    if odd:
        raise RedDinoError(
            f"{cells.file.path}, row {odd[0] + 1}, column '{SCALE}': '{short(texts[odd[0]])}' is no size of "
            "a pixel; write micrometres, such as 0.1, or leave it empty"
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _require_same_pictures(cells: PredictedCells, root: Path) -> None:
    """Refuse other pictures of the same names, where the note of the predictions holds their fingerprints.

    Raises:
        RedDinoError: names the first.
    """
    for path in dict.fromkeys(cells.paths):
        now = read_content(root / path) if path in cells.file.pictures else None
        if now is not None and now.digest != cells.file.pictures[path]:
            raise RedDinoError(
                f"'{path}' below {root} is another picture than that which was predicted: give the folder of "
                "the predicted ones with --images, or predict again"
            )


def _parts(order: Numbers, paths: Sequence[str]) -> list[Numbers]:
    """Return rows in parts of about `AT_ONCE`, none of which divides a picture."""
    parts: list[Numbers] = []
    start = 0
    while start < len(order):
        end = min(start + AT_ONCE, len(order))
        while end < len(order) and paths[order[end]] == paths[order[end - 1]]:
            end += 1
        parts.append(order[start:end])
        start = end
    return parts
