"""A verdict on the batch effect in words, with a scale of cases whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from reddino.evaluation.batch_effect.measures import BatchReport

#: From here on sources mix nearly as by chance; below the second, a cell's neighbours are mostly its own.
MIXED, APART = 0.8, 0.45
#: Below this a probe names the source hardly better than chance, as it does of a laboratory dealt in two.
HARDLY_PREDICTED = 0.2


@dataclass(frozen=True)
class KnownCase:
    """A case whose answer is known, as `benchmarks/batch_scale.py` measured it with reddino-tiny.

    Attributes:
        name: what its two sources are.
        predicted: see `probe_margin`.
        mixed: see `mixing`.
    """

    name: str
    predicted: float
    mixed: float


#: Printed by `python benchmarks/batch_scale.py`: two sources of up to 400 red cells each, reddino-tiny.
KNOWN_CASES = (
    KnownCase("one laboratory, its fields dealt in two at random (Chula)", 0.11, 0.92),
    KnownCase("two slides of one laboratory (IML, A and C)", 0.88, 0.63),
    KnownCase("two laboratories (BCCD and Barcelona)", 0.91, 0.39),
    KnownCase("a microscope's camera and a phone (Chula and Uganda)", 0.98, 0.12),
    KnownCase("the same synthetic cells, two laboratories, no difference", 0.00, 1.00),
    KnownCase("the same synthetic cells, a tenth of the difference", 0.32, 1.00),
    KnownCase("the same synthetic cells, a quarter of the difference", 0.71, 1.00),
    KnownCase("the same synthetic cells, the whole difference", 0.97, 0.70),
)


def probe_margin(report: BatchReport) -> float:
    """Return how far a probe separates the sources: 0 as by chance, 1 always; nan where not measured."""
    value, chance = _measured(report, "source told")
    return max(0.0, (value - chance) / (1 - chance)) if not isnan(value) else value


def mixing(report: BatchReport) -> float:
    """Return how far sources mix around a cell: 0 its own alone, 1 as by chance; nan where not measured."""
    value, chance = _measured(report, "iLISI")
    return min(1.0, max(0.0, (value - 1) / (chance - 1))) if chance > 1 else float("nan")


def verdict(report: BatchReport) -> str:
    """Return in plain sentences what the measures of a report come to.

    Where a probe separates the sources and no more, it states just that: it finds what differs, as in most
    collections.
    """
    return " ".join(part for part in (_of_sources(report), _of_classes(report)) if part)


def scale_rows(reports: Sequence[BatchReport]) -> list[tuple[str, str, str]]:
    """Return (mixed, predicted, case) of the known cases and of each report, from well mixed to apart."""
    rows = [(case.mixed, case.predicted, case.name) for case in KNOWN_CASES]
    for report in reports:
        if not isnan(mixing(report)):
            rows.append((mixing(report), probe_margin(report), f"> this table: {report.model}"))
    rows.sort(key=lambda row: -row[0])
    return [(f"{mixed:.2f}", "-" if isnan(probe) else f"{probe:.2f}", name) for mixed, probe, name in rows]


def _of_sources(report: BatchReport) -> str:
    predicted, mixed = probe_margin(report), mixing(report)
    if isnan(mixed):
        return "How far the sources mix could not be measured, so there is no verdict."
    unsure = " (how well a probe separates them could not be measured)" if isnan(predicted) else ""
    if mixed >= MIXED and predicted < HARDLY_PREDICTED:
        return "Hardly a trace of the source: a probe cannot separate its cells from others, and all mix."
    if mixed >= MIXED:
        return (
            "A probe separates the sources, and no more: it finds some difference between them, but "
            f"cells of all sources lie among each other{unsure}. This rules out no comparison across sources."
        )
    if mixed >= APART:
        return (
            "The source shapes the vectors: around a cell its own source is more frequent than by chance"
            f"{unsure}. Neighbours, clusters and outliers are partly the laboratory's: where it matters, "
            "compare within a source."
        )
    return (
        "The sources fall apart: the neighbours of a cell are mostly of its own source"
        f"{unsure}. A classifier or a threshold of one source need not hold in another: test it on sources "
        "left out, and compare cells within a source."
    )


def _of_classes(report: BatchReport) -> str:
    by_class, _ = _measured(report, "variance by class")
    within, _ = _measured(report, "source within class")
    if isnan(by_class) or isnan(within):
        if len(report.classes) > 1:
            return ""
        return (
            "Without labels of two classes it is open whether sources differ by stain and camera, or by the "
            "cells that they hold."
        )
    larger = "more than" if by_class > within else "less than"
    return (
        f"The class explains {by_class:.0%} of the variance, {larger} the source adds within a class "
        f"({within:.0%})."
    )


def _measured(report: BatchReport, name: str) -> tuple[float, float]:
    """Return a measure and what it would be without a trace; nan where it was not taken."""
    found = next((one for one in report.measures if one.name == name), None)
    if found is None or found.without is None:
        return float("nan"), float("nan")
    return found.value, found.without
