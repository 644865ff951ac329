"""Drawings of a slide report, as SVG: intervals of fractions, histograms, and rows of example cells."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from reddino.embedding.view_encoder import Images
from reddino.figures.page.document import escape
from reddino.foundations.visible import short
from reddino.slide_reports.grades import Feature
from reddino.slide_reports.shapes import SlideMeasure
from reddino.slide_reports.slide import ClassOnSlide

Real = npt.NDArray[np.float64]
BLUE, GREY, RED, PALE = "#0072B2", "#888", "#A33C00", "#d8d8d8"
#: Pixels of a line, of the names, and of the scale.
LINE, NAMES, LENGTH = 22, 130, 430
#: Bins of a histogram, and its pixels.
BINS, WIDTH, HEIGHT = 30, 260, 110


def interval_chart(classes: Sequence[ClassOnSlide], features: dict[str, Feature | None]) -> str:
    """Return an SVG with a line for each class: its interval, the plain fraction, and the thresholds.

    Args:
        classes: from top to bottom.
        features: thresholds by class; None where there are none.
    """
    shown = [one for one in classes if math.isfinite(one.best[0])]
    if not shown:
        return ""
    end = max(0.02, *(max(one.best[2], one.plain[0]) for one in shown))
    height = LINE * len(shown) + 24

    def at(fraction: float) -> float:
        return NAMES + LENGTH * min(fraction / end, 1.0)

    parts = []
    for line, one in enumerate(shown):
        middle = LINE * line + LINE / 2
        parts.append(
            f'<text x="{NAMES - 8}" y="{middle + 4:.0f}" text-anchor="end" font-size="12">'
            f"{escape(short(one.name, 18))}</text>"
        )
        feature = features.get(one.name)
        parts += [
            f'<line x1="{at(band.above / 100):.1f}" x2="{at(band.above / 100):.1f}" y1="{middle - 9:.1f}" '
            f'y2="{middle + 9:.1f}" stroke="{RED}"><title>{escape(band.grade)}: above {band.above:g} %'
            "</title></line>"
            for band in (feature.bands if feature else ())
            if band.above / 100 <= end
        ]
        value, low, high = one.best
        parts.append(
            f'<line x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{middle}" y2="{middle}" stroke="{BLUE}" '
            f'stroke-width="3"/><circle cx="{at(value):.1f}" cy="{middle}" r="5" fill="{BLUE}"/>'
            f'<circle cx="{at(one.plain[0]):.1f}" cy="{middle}" r="5" fill="none" stroke="{GREY}" '
            'stroke-width="2"/>'
        )
    ticks = "".join(
        f'<text x="{at(end * i / 4):.1f}" y="{height - 6}" text-anchor="middle" font-size="11" '
        f'fill="{GREY}">{100 * end * i / 4:.3g} %</text>'
        for i in range(5)
    )
    return (
        f'<svg class="intervals" width="{NAMES + LENGTH + 30}" role="img" aria-label="fractions" '
        f'viewBox="0 0 {NAMES + LENGTH + 30} {height}">'
        f'<line x1="{NAMES}" x2="{NAMES}" y1="0" y2="{height - 20}" stroke="{PALE}"/>'
        f"{''.join(parts)}{ticks}</svg>"
    )


def histogram(values: Real, measure: str, unit: str, reference: Real | None = None) -> str:
    """Return a figure with the distribution of a number over cells, and as a line that of reference cells."""
    every = values if reference is None or not len(reference) else np.concatenate([values, reference])
    low, high = np.quantile(every, (0.002, 0.998)) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    own = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(len(values), 1)
    others = np.zeros(BINS)
    if reference is not None and len(reference):
        others = np.histogram(np.clip(reference, edges[0], edges[-1]), edges)[0] / len(reference)
    top = max(float(own.max(initial=0)), float(others.max(initial=0)), 1e-9)
    step = WIDTH / BINS
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{HEIGHT * (1 - one / top):.1f}" width="{step - 1:.1f}" '
        f'height="{HEIGHT * one / top:.1f}" fill="{BLUE}"/>'
        for i, one in enumerate(own.tolist())
    )
    line = ""
    if others.any():
        points = " ".join(
            f"{(i + 0.5) * step:.1f},{HEIGHT * (1 - one / top):.1f}" for i, one in enumerate(others.tolist())
        )
        line = (
            f'<polyline points="{points}" fill="none" stroke="#000" stroke-width="1.5" '
            'stroke-dasharray="4 2"/>'
        )
    ends = "".join(
        f'<text x="{x}" y="{HEIGHT + 14}" text-anchor="{anchor}" font-size="11" fill="{GREY}">{value:.3g}'
        f"{' ' + unit if unit else ''}</text>"
        for x, anchor, value in ((0, "start", edges[0]), (WIDTH, "end", edges[-1]))
    )
    return (
        f'<figure><svg class="histogram" width="{WIDTH}" role="img" aria-label="{escape(measure)}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT + 18}">{bars}{line}{ends}</svg>'
        f"<figcaption>{escape(measure)}</figcaption></figure>"
    )


def shown(measure: SlideMeasure) -> str:
    """Return a number with its interval: `7.21 µm (7.02 to 7.40)`."""
    if not math.isfinite(measure.value):
        return "-"
    digits = 1 if measure.unit in ("%", "px") else 2
    spread = ""
    if math.isfinite(measure.low):
        spread = f" ({measure.low:.{digits}f} to {measure.high:.{digits}f})"
    unit = f" {measure.unit}" if measure.unit else ""
    return f"{measure.value:.{digits}f}{unit}{spread}"


def example_rows(examples: dict[str, Images]) -> str:
    """Return a table with a row of cells (n, s, s, 3) for each class."""
    rows = []
    for name, views in examples.items():
        if len(views):
            file = io.BytesIO()
            Image.fromarray(np.concatenate(list(views), axis=1)).save(file, "JPEG", quality=88)
            data = base64.b64encode(file.getvalue()).decode("ascii")
            rows.append(
                f'<tr><td>{escape(name)}</td><td><img alt="cells called {escape(name)}" '
                f'src="data:image/jpeg;base64,{data}"></td></tr>'
            )
    return f'<table class="examples"><tbody>{"".join(rows)}</tbody></table>' if rows else ""
