"""Figures without global state: a blank one, pictures side by side, a legend, and one written to a file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator

from reddino.embedding.view_encoder import Images
from reddino.figures.lettering import Lettering, Numbers
from reddino.foundations.atomic import atomic_path
from reddino.foundations.stages import stage
from reddino.foundations.visible import short, visible

#: What would make two drawings of the same figure differ as files.
_TIMELESS: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
#: Texts are what they are: no TeX, no formula between two dollars.
_PLAIN: dict[str, Any] = {"text.usetex": False, "text.parse_math": False}
#: Letters of a line, at most; names are cut before, so this is for what nobody thought of.
_LONGEST_LINE = 200


def blank_figure(width: float, height: float) -> Figure:
    """Return a figure in inches that draws without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def contact_sheet(
    images: Images | Sequence[Images], titles: Sequence[str] = (), columns: int = 8, inches: float = 1.4
) -> Figure:
    """Draw views side by side, uint8 RGB (h, w, 3) each, `inches` wide, with an optional title above each."""
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


def legend(axes: Axes, handles: Sequence[Artist], names: Sequence[str], **style: Any) -> Legend:
    """Add a legend whose names may start with anything; matplotlib itself leaves out those with a `_`."""
    drawn = axes.legend(list(handles), [str(number) for number in range(len(names))], **style)
    for text, name in zip(drawn.get_texts(), names, strict=True):
        text.set_text(name)
    return drawn


def save_figure(figure: Figure, path: Path, dpi: int = 150, numbers: Numbers | None = None) -> None:
    """Write a figure as PNG, PDF or SVG (by suffix), atomically; the same figure makes the same file.

    Args:
        figure: whose texts are drawn letter by letter, whatever they hold.
        path: its file.
        dpi: dots an inch.
        numbers: takes the names that no installed font can draw, for a list of all figures in a folder; None:
            they are listed next to this figure.
    """
    own = Numbers()
    kind = path.suffix.lstrip(".") or "png"
    with atomic_path(path) as partial:
        _save(
            figure,
            partial,
            own if numbers is None else numbers,
            format=kind,
            dpi=dpi,
            metadata=_TIMELESS.get(kind),
        )
    if own:
        own.leave_at(path.with_name(f"{path.stem}.names.csv"))


def figure_png(figure: Figure, dpi: int, numbers: Numbers) -> bytes:
    """Return a figure as the bytes of a PNG on white; `numbers` as in `save_figure`."""
    drawn = io.BytesIO()
    _save(figure, drawn, numbers, format="png", dpi=dpi, facecolor="white")
    return drawn.getvalue()


def _save(figure: Figure, target: Any, numbers: Numbers, **options: Any) -> None:
    # Letters stay letters, for editing and searching; the salt names the clip paths of an SVG.
    settings: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "reddino", **_PLAIN}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Combining characters and the like, which no list of letters names beforehand.
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
        _letter(figure, numbers)
        with stage("drawing a figure"):
            figure.savefig(target, bbox_inches="tight", **options)


def _letter(figure: Figure, numbers: Numbers) -> None:
    """Make each text of a figure drawable: not interpreted, in fonts that have its letters."""
    ticks = [_tick_names(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    for text in texts:
        text.set_usetex(False)
        text.set_parse_math(False)
        _set(text, _plain(text.get_text()))
    lettering = Lettering(text.get_text() for text in texts)
    for names in ticks:
        names.seq = [lettering.drawn(name, numbers) for name in names.seq]
    for text in texts:
        _set(text, lettering.drawn(text.get_text(), numbers))
        if lettering.families and not text.get_text().isascii():
            text.set_fontfamily([*text.get_fontfamily(), *lettering.families])


def _tick_names(axis: Axis) -> FixedFormatter:
    """Return the names at fixed ticks of an axis, which ticks take from here when they are drawn."""
    names = FixedFormatter([])
    if isinstance(axis.get_major_locator(), FixedLocator):
        names.seq = [_plain(text.get_text()) for text in axis.get_majorticklabels()]
        axis.set_major_formatter(names)
        axis.get_majorticklabels()  # which writes them into the ticks
    return names


def _plain(text: str) -> str:
    return "\n".join(short(line, _LONGEST_LINE) for line in visible(text).split("\n"))


def _set(text: Text, shown: str) -> None:
    if shown != text.get_text():
        text.set_text(shown)
