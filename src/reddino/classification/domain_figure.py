"""The picture of a comparison: training cells above cells of each source, with its verdict."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from reddino.classification.domain_report import DomainReport
from reddino.figures.canvas import blank_figure, save_figure
from reddino.foundations.visible import short


def domain_figure(report: DomainReport) -> Figure:
    """Draw training cells above cells of each source, with its verdict."""
    verdicts = {unit.source or "(no source)": unit.verdict for unit in report.sources()}
    figure = blank_figure(10.0, 0.95 * len(report.strips))
    rows = figure.subplots(len(report.strips), 1, squeeze=False).ravel()
    for axes, (name, strip) in zip(rows, report.strips, strict=True):
        axes.imshow(strip, interpolation="nearest")
        verdict = f": {verdicts[name]}" if name in verdicts else ""
        axes.set_title(f"{short(name, 60)}{verdict}", fontsize=8, loc="left")
        axes.set_axis_off()
    return figure


def save_domain_figure(report: DomainReport, path: Path) -> Path | None:
    """Write the picture; None where no pixels were at hand, and an older one is deleted then."""
    if not report.strips:
        path.unlink(missing_ok=True)
        return None
    save_figure(domain_figure(report), path)
    return path
