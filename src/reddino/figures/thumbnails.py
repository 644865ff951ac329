"""Small pictures of some rows in a page: which rows, and the sheets that hold the pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from reddino.embedding.view_encoder import Images
from reddino.figures.columns import packed
from reddino.figures.palette import Groups
from reddino.figures.sheets import outlier_rows

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

SIDE = 64
ACROSS = 16
QUALITY = 82
#: Characters that a picture takes at the least, about.
LEAST = 1000
#: Of the pictures in a page, this fraction goes to the highest outlier scores.
OUTLIERS = 0.2


def choose_rows(scores: Real, strata: Sequence[Sequence[str]], most: int, seed: int = 0) -> Indices:
    """Choose rows that get a picture: outliers first, then the strata in turn.

    Args:
        scores: (n,) outlier scores; a fifth of the rows are those with the highest.
        strata: columns of n texts, such as source, label and patient; each combination is a stratum.
            The strata yield a row each, in turn, drawn at random, until there are enough: rare ones are
            complete before frequent ones.
        most: rows to choose.
        seed: of the draw.

    Returns:
        (m,) rows, m <= most, in the order in which they were chosen.
    """
    most = min(most, len(scores))
    first = outlier_rows(scores)[: int(OUTLIERS * most)]
    keys = ["\x1f".join(values) for values in zip(*strata, strict=True)] if strata else [""] * len(scores)
    groups = Groups.of(keys)
    shuffled = np.random.default_rng(seed).permutation(len(scores))
    shuffled = shuffled[~np.isin(shuffled, first)]
    by_stratum = shuffled[np.argsort(groups.index[shuffled], kind="stable")]
    counts = np.bincount(groups.index[by_stratum], minlength=len(groups))
    turn = np.arange(len(by_stratum)) - np.repeat(np.cumsum(counts) - counts, counts)
    rest = by_stratum[np.argsort(turn, kind="stable")][: most - len(first)]
    return np.concatenate([first, rest]).astype(np.int64)


def picture_sheets(rows: Indices, cut: Callable[[Indices], Images], space: int) -> dict[str, Any] | None:
    """Return pictures of rows (m,) as the page takes them, as many as fit.

    Args:
        rows: the most important first.
        cut: returns pictures (k, SIDE, SIDE, 3).
        space: characters that all sheets together may take.

    Returns:
        side, pictures across a sheet, the rows that have one, and the sheets as data URLs; None if not one
        sheet fits.
    """
    per_sheet = ACROSS * ACROSS
    sheets: list[str] = []
    # All at once, so that each image is decoded once; but not many more than can fit.
    rows = rows[: max(space // LEAST, 0)]
    pictures = cut(rows)
    for first in range(0, len(rows), per_sheet):
        sheet = _sheet(pictures[first : first + per_sheet])
        if len(sheet) > space:
            break
        space -= len(sheet)
        sheets.append(sheet)
    if not sheets:
        return None
    shown = rows[: len(sheets) * per_sheet].astype(np.uint32)
    return {
        "side": SIDE,
        "across": ACROSS,
        "count": len(shown),
        "rows": packed(shown)["values"],
        "sheets": sheets,
    }


def _sheet(pictures: Images) -> str:
    """Return up to 256 pictures side by side, as a JPEG data URL."""
    lines = -(-len(pictures) // ACROSS)
    canvas = np.full((lines * SIDE, ACROSS * SIDE, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        line, column = divmod(place, ACROSS)
        canvas[line * SIDE : (line + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = picture
    file = io.BytesIO()
    # Without chroma subsampling: its blocks of 16 pixels would carry colour from one cell into the next.
    Image.fromarray(canvas).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
