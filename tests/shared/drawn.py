"""What is drawn in the axes of a figure, as the tests of figures compare it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection


def image_of(axes: Axes) -> np.ndarray:
    """The pixels or values of the first image."""
    shown = axes.images[0].get_array()
    assert shown is not None
    return shown


def legend_of(axes: Axes) -> list[str]:
    """The texts of the legend."""
    legend = axes.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def points_of(dots: Collection) -> np.ndarray:
    """Where the points of a scatter lie, (n, 2)."""
    places: Any = dots.get_offsets()
    return np.asarray(places)
