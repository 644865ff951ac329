"""The tables of a slide report: a row for each slide and class, each field, and each measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from reddino.foundations.exports import write_csv
from reddino.slide_reports.report import SlideReport
from reddino.slide_reports.slide import Fraction

#: The columns that other programs rely on, and those after them.
COLUMNS = ("slide", "class", "cells", "fraction", "low", "high", "grade")
FURTHER = (
    *("source", "red_cells", "unnamed", "plain", "plain_low", "plain_high"),
    *("adjusted", "adjusted_low", "adjusted_high", "feature", "grade_verified"),
    *("sets_alone", "sets_among", "fields_used", "fields_left_out", "beside_learned", "note"),
)


def write_slides(path: Path, report: SlideReport) -> None:
    """Write a row for each slide and class."""
    rows = []
    for name, slide in zip(report.names, report.slides, strict=True):
        for one in slide.classes:
            feature = report.grades.feature_of(one.name)
            rows.append(
                [
                    *(name, one.name, str(one.cells), *_numbers(one.best), one.grade),
                    *(slide.source, str(slide.cells), str(slide.unnamed)),
                    *_numbers(one.plain),
                    *_numbers(one.adjusted),
                    "" if feature is None else feature.feature,
                    "" if feature is None else str(feature.verified).lower(),
                    *(
                        "" if one.within is None else str(one.within),
                        "" if one.among is None else str(one.among),
                    ),
                    *(str(slide.used), str(len(slide.left_out)), slide.verdict, slide.why_plain),
                ]
            )
    write_csv(path, (*COLUMNS, *FURTHER), rows)


def write_fields(path: Path, report: SlideReport) -> None:
    """Write a row for each field: its cells, sharpness and overlap, and why it is left out."""
    rows = [
        [
            *(name, field.path, str(field.cells), _number(field.sharpness), _number(field.overlap)),
            *(str(field.used).lower(), field.why),
        ]
        for name, slide in zip(report.names, report.slides, strict=True)
        for field in slide.fields
    ]
    write_csv(path, ("slide", "path", "cells", "sharpness", "overlap", "used", "why"), rows)


def write_shapes(path: Path, report: SlideReport) -> None:
    """Write a row for each slide and measure."""
    rows = [
        [
            *(name, one.name, one.unit, *(_number(value) for value in (one.value, one.low, one.high))),
            *(_number(value) for value in (one.reference or (math.nan,) * 3)),
        ]
        for name, measures in zip(report.names, report.measures, strict=True)
        for one in measures
    ]
    header = ("slide", "measure", "unit", "value", "low", "high")
    write_csv(path, (*header, "reference_low", "reference_median", "reference_high"), rows)


def _numbers(fraction: Fraction) -> Sequence[str]:
    return [_number(value) for value in fraction]


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
