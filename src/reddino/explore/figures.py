"""Figures without global state: a blank one, pictures side by side, and one written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reddino.atomic import atomic_path
from reddino.embed.encoder import Images

#: What would make two drawings of the same figure differ as files.
_TIMELESS: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def blank_figure(width: float, height: float) -> Figure:
    """A figure in inches that draws without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def contact_sheet(
    images: Images | Sequence[Images], titles: Sequence[str] = (), columns: int = 8, inches: float = 1.4
) -> Figure:
    """Views side by side, uint8 RGB (h, w, 3) each, `inches` wide, with an optional title above each."""
    if not len(images):
        raise ValueError("a contact sheet needs at least one image")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = blank_figure(inches * columns, (inches + (0.2 if titles else 0.0)) * rows)
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.set_axis_off()
        if i < len(images):
            axes.imshow(images[i], interpolation="nearest")
            if i < len(titles):
                axes.set_title(titles[i], fontsize=7)
    return figure


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a figure as PNG, PDF or SVG (by suffix), atomically; the same figure gives the same file."""
    kind = path.suffix.lstrip(".") or "png"
    # Letters stay letters, for editing and searching; the salt names the clip paths of an SVG.
    settings: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "reddino"}
    with mpl.rc_context(settings), atomic_path(path) as partial:
        figure.savefig(partial, format=kind, dpi=dpi, bbox_inches="tight", metadata=_TIMELESS.get(kind))
