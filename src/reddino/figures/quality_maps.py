"""Quality maps: the verdict on each square of a slide over its thumbnail, and fields with theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reddino.figures.canvas import blank_figure, contact_sheet, legend
from reddino.foundations.visible import short
from reddino.regions.choices import (
    CROWDED,
    EMPTY,
    FEW,
    FLAT,
    GOOD,
    INK,
    OUT_OF_FOCUS,
    PRECIPITATE,
    RIMS,
    THICK,
    VERDICTS,
)

Image = npt.NDArray[np.uint8]
Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

#: The colour of each verdict; those of Okabe and Ito, and two greys.
COLOURS = {
    GOOD: "#009E73",
    CROWDED: "#56B4E9",
    FLAT: "#F0E442",
    FEW: "#DDDDDD",
    THICK: "#0072B2",
    OUT_OF_FOCUS: "#CC79A7",
    PRECIPITATE: "#6A3D9A",
    RIMS: "#D55E00",
    INK: "#000000",
    EMPTY: "#999999",
}
#: Longest side in pixels of the thumbnail, inches of a map's width, and how strongly verdicts cover it.
_SIDE, _WIDTH, _COVER = 1600, 10.0, 0.42
#: Letters of a slide's name, and fields on a sheet.
_LETTERS, MOST_FIELDS = 60, 48


def quality_map(
    thumbnail: Image,
    size: tuple[int, int],
    squares: Real,
    verdicts: Sequence[str],
    areas: Numbers,
    *,
    title: str,
) -> Figure:
    """Draw the verdicts on a slide over its thumbnail, and the border of its monolayer.

    Args:
        thumbnail: (h, w, 3) uint8 RGB.
        size: width and height of the slide in pixels of level 0.
        squares: (n, 4 or more) left, top, width and height in level 0.
        verdicts: (n,) in words.
        areas: (n,) of the monolayer: 1 the best, 0 none.
        title: of the map.
    """
    scale = _SIDE / max(size)
    shown = cv2.resize(thumbnail, _scaled(size, scale), interpolation=cv2.INTER_AREA).astype(np.float32)
    for square, verdict in zip(squares, verdicts, strict=True):
        left, top, right, bottom = _edges(square, scale)
        colour = np.array(to_rgb(COLOURS[verdict]), np.float32) * 255
        part = shown[top:bottom, left:right]
        part += _COVER * (colour - part)
    figure = blank_figure(_WIDTH, _WIDTH * size[1] / size[0] + 1.1)
    axes = figure.add_subplot()
    axes.imshow(np.clip(shown, 0, 255).astype(np.uint8), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(short(title, 3 * _LETTERS), fontsize=10)
    for rank, width in ((1, 2.6), (0, 1.2)):
        chosen = areas == 1 if rank else areas > 1
        lines = LineCollection(_outline(squares[chosen], scale), colors="#111111", linewidths=width)
        axes.add_collection(lines)
    counts = Counter(verdicts)
    names = [name for name in VERDICTS if counts[name]]
    handles = [Patch(facecolor=COLOURS[name], edgecolor="#555555") for name in names]
    shares = [f"{name} ({100 * counts[name] / len(verdicts):.0f} %)" for name in names]
    legend(
        axes,
        handles,
        shares,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=5,
        fontsize=8,
        frameon=False,
    )
    return figure


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _edges(square: Real, scale: float) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a square in pixels of the map."""
    x, y, w, h = square[:4]
    return round(x * scale), round(y * scale), round((x + w) * scale), round((y + h) * scale)


def _outline(squares: Real, scale: float) -> list[list[tuple[float, float]]]:
    """Return the sides of squares that no two of them share, as lines in pixels of the map."""
    sides: Counter[tuple[int, int, int, int]] = Counter()
    for square in squares:
        left, top, right, bottom = _edges(square, scale)
        sides[left, top, right, top] += 1
        sides[left, bottom, right, bottom] += 1
        sides[left, top, left, bottom] += 1
        sides[right, top, right, bottom] += 1
    return [[(a - 0.5, b - 0.5), (c - 0.5, d - 0.5)] for (a, b, c, d), times in sides.items() if times == 1]


def field_sheet(pictures: Sequence[Image], titles: Sequence[str]) -> Figure:
    """Draw fields side by side, each with its verdict above."""
    return contact_sheet(list(pictures), list(titles), columns=6, inches=2.2)
