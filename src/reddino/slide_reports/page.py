"""The page of a slide report: an overview, and a sheet for each slide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from reddino.figures.page.document import Document, escape, facts, paragraph, table
from reddino.foundations.counting import counted
from reddino.slide_reports.choices import NO_DIAGNOSIS
from reddino.slide_reports.drawings import example_rows, histogram, interval_chart, shown
from reddino.slide_reports.grades import Feature, Grades
from reddino.slide_reports.report import SlideReport
from reddino.slide_reports.slide import SlideResult
from reddino.slide_reports.wording import (
    counted_line,
    impression,
    percent,
    ungraded,
)

#: Slides that have a sheet of their own, and fields that are listed as left out.
MOST_SLIDES, MOST_FIELDS = 100, 12
PAGE_BREAK = '<div class="page-break"></div>'
#: Names of the measured columns, with the unit of the diameter.
DISTRIBUTIONS = ("diameter", "roundness (1: a circle)", "central pallor (0: even stain)")


def report_page(report: SlideReport) -> str:
    """Return the page (HTML) of a report; it fetches nothing, and prints a sheet for each slide."""
    cells = sum(slide.cells for slide in report.slides)
    document = Document(
        "Red cells by slide",
        f"{counted(len(report.slides), 'slide')}, {counted(cells, 'counted red cell')}",
        every_page=NO_DIAGNOSIS,
    )
    document.add("Overview", *_overview(report))
    document.add("How this was counted", *_method(report), PAGE_BREAK)
    for number, name in enumerate(report.names[:MOST_SLIDES]):
        document.add(name, *_sheet(report, number), PAGE_BREAK)
    if len(report.slides) > MOST_SLIDES:
        left = len(report.slides) - MOST_SLIDES
        document.add("Further slides", paragraph(f"{counted(left, 'slide')} stand in slides.csv alone."))
    document.add("Where this comes from", facts(_flat(report.origin)))
    return document.html()


def _overview(report: SlideReport) -> list[str]:
    """Return a row for each slide: what was counted, and what reaches a grade."""
    compared = any(slide.verdict for slide in report.slides)
    header = ["slide", "red cells", "fields", "grades (fraction, 95 % interval)"]
    header += ["compared with training"] if compared else []
    rows = [
        [*row, slide.verdict or "not compared"] if compared else list(row)
        for row, slide in zip(report.rows(), report.slides, strict=True)
    ]
    listed = f'<div class="slide-report">{table(header, rows, numbers=(1,))}</div>'
    return [f'<p class="no-diagnosis">{escape(NO_DIAGNOSIS)}</p>', listed]


def _method(report: SlideReport) -> list[str]:
    grades = report.grades
    lines = [paragraph(sentence) for sentence in report.method]
    lines.append(
        paragraph(
            f"Grades: {grades.name} ({grades.source}), file {grades.origin[0]}. A grade is given for both "
            "ends of the interval: a range where they differ."
        )
    )
    features = report.features()
    rows = [
        [
            one.feature,
            _bands(one),
            str(grades.least_of(one)),
            one.source + ("" if one.verified else " - unverified"),
        ]
        for one in features
    ]
    if rows:
        listed = table(["feature", "grades", "red cells needed", "source"], rows, numbers=(2,))
        lines.append(f'<div class="slide-report">{listed}</div>')
    if report.unverified_note():
        lines.append(f'<p class="warning">{escape(report.unverified_note())}</p>')
    return lines


def _bands(feature: Feature) -> str:
    """Return the thresholds of a feature in words; a grade that names its own is not followed by it."""
    return "; ".join(
        band.grade if "%" in band.grade else f"{band.grade} above {band.above:g}\u00a0%"
        for band in feature.bands
    )


def _sheet(report: SlideReport, number: int) -> list[str]:
    """Return the sheet of a slide."""
    slide, grades = report.slides[number], report.grades
    parts = [
        f'<p class="note">{escape(f"source: {slide.source}")}</p>' if slide.source else "",
        f'<p class="impression">{escape(impression(slide, grades))}</p>',
        paragraph(counted_line(slide)),
    ]
    if slide.verdict not in ("", "within"):
        verdict = f"{slide.verdict} ({slide.sentence})" if slide.sentence else slide.verdict
        parts.append(
            '<p class="warning">Compared with the cells that the classifier learned from: '
            f"{escape(verdict)}. The intervals do not hold what another laboratory changes.</p>"
        )
    if slide.why_plain:
        why = f"No fraction is adjusted for the errors of the classifier: {slide.why_plain}."
        parts.append(f'<p class="warning">{escape(why)}</p>')
    order = sorted(slide.classes, key=lambda one: -(one.best[0] if math.isfinite(one.best[0]) else -1.0))
    features = {one.name: grades.feature_of(one.name) for one in order}
    parts += [_class_table(slide, grades), interval_chart(order, features)]
    parts.append(
        paragraph(
            "Line: 95 % interval. Full dot: the fraction. Ring: the plain count. Red: a threshold.", note=True
        )
    )
    parts += _left_out(slide)
    parts += _shapes(report, number)
    examples = example_rows(dict(report.examples[number])) if report.examples else ""
    if examples:
        parts += ["<h3>Cells of each class, drawn at random</h3>", examples]
    return parts


def _class_table(slide: SlideResult, grades: Grades) -> str:
    adjusted = any(one.is_adjusted for one in slide.classes)
    with_sets = any(one.among is not None for one in slide.classes)
    header = ["class", "cells", "plain count"]
    header += ["adjusted for errors"] if adjusted else []
    header += ["grade"]
    header += ["sets: alone, among several"] if with_sets else []
    rows = []
    for one in sorted(slide.classes, key=lambda one: -one.best[0] if math.isfinite(one.best[0]) else 1.0):
        feature = grades.feature_of(one.name)
        doubtful = feature is not None and not feature.verified and not ungraded(one)
        mark = " (unverified)" if doubtful else ""
        row = [one.name, str(one.cells), percent(one.plain)]
        row += [percent(one.adjusted) if one.is_adjusted else "not known"] if adjusted else []
        row += [f"{one.grade}{mark}" if one.grade else "-"]
        row += [f"{one.within}, {(one.among or 0) - (one.within or 0)}"] if with_sets else []
        rows.append(row)
    listed = table(header, rows, numbers=tuple(range(1, 4 if adjusted else 3)))
    return f'<div class="slide-report">{listed}</div>'


def _left_out(slide: SlideResult) -> list[str]:
    """Return the fields of a slide that are not counted, with the reason."""
    if not slide.left_out:
        return []
    rows = [[field.path, str(field.cells), field.why] for field in slide.left_out[:MOST_FIELDS]]
    more = len(slide.left_out) - len(rows)
    note = paragraph(f"{counted(more, 'field')} more stand in fields.csv.", note=True) if more > 0 else ""
    return ["<h3>Fields left out</h3>", table(["field", "cells", "why"], rows, numbers=(1,)), note]


def _shapes(report: SlideReport, number: int) -> list[str]:
    """Return sizes and shapes of a slide: numbers, and their distributions."""
    slide = report.slides[number]
    measures = report.measures[number] if report.measures else ()
    if slide.shapes is None or not measures:
        return []
    compared = any(one.reference for one in measures)
    header = ["measure", "value (95 % interval)"] + (["reference slides", ""] if compared else [])
    rows = []
    for one in measures:
        row = [one.name, shown(one)]
        if compared:
            spread = one.reference
            row.append("-" if spread is None else f"{spread[1]:.3g} ({spread[0]:.3g} to {spread[2]:.3g})")
            row.append(one.besides())
        rows.append(row)
    others = [report.slides[i].shapes for i in report.references if i != number]
    pooled = [one.cells for one in others if one is not None and one.unit == slide.shapes.unit]
    reference = np.concatenate(pooled) if pooled else None
    figures = [
        histogram(
            slide.shapes.cells[:, place],
            name,
            slide.shapes.unit if place == 0 else "",
            None if reference is None else reference[:, place],
        )
        for place, name in enumerate(DISTRIBUTIONS)
    ]
    note = f"{counted(len(slide.shapes.cells), 'cell')} measured"
    note += f", {slide.shapes.unmeasured} without an outline of their own" if slide.shapes.unmeasured else ""
    note += "; dashed: the reference slides" if pooled else ""
    if slide.shapes.unit == "px":
        note += "; micrometres need the size of a pixel (column um_per_px, or --um-per-px)"
    return [
        "<h3>Size and shape</h3>",
        table(header, rows),
        f'<div class="histograms">{"".join(figures)}</div>',
        paragraph(f"{note}.", note=True),
    ]


def _flat(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested facts as one level, for a table."""
    found: dict[str, Any] = {}
    for name, value in origin.items():
        if isinstance(value, Mapping):
            found |= {f"{name}, {inner}": one for inner, one in _flat(value).items()}
        else:
            found[name] = value
    return found
