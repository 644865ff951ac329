"""Other fractions of the classes than a classifier learned from: given, or estimated from its predictions."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reddino.classification.classifier import Classifier
from reddino.classification.predict import Predictions
from reddino.foundations.counting import counted as counted_cells
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import original
from reddino.foundations.structured import decode, in_line, read_bytes, read_yaml

Real = npt.NDArray[np.float64]
#: Steps of the estimate, and the change of a fraction below which it ends.
MOST_STEPS, TOLERANCE = 1000, 1e-6
#: Bytes of a file of priors.
LIMIT = 1 << 20
#: Cells of a source from which fractions are estimated, at least.
LEAST_CELLS = 10
#: Why a source with fewer is not adjusted.
FEW = "too few cells count"


@dataclass(frozen=True)
class PriorShift:
    """Fractions of the classes by which the probabilities of some cells were adjusted.

    Attributes:
        method: `given`, or `EM` (Saerens, Latinne and Decaestecker 2002).
        source: of the cells; "" with several, or none named.
        cells: that count for their slide; the estimate is made of them, and all cells are adjusted.
        learned: fraction of each class among the cells that the classifier learned from.
        used: fraction of each class in its place.
        steps: of the estimate; 0 where the fractions were given.
        refused: why nothing was estimated, so that nothing was adjusted; "" where it was.
    """

    method: Literal["given", "EM"]
    source: str
    cells: int
    learned: dict[str, float]
    used: dict[str, float]
    steps: int = 0
    refused: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what the note of predictions keeps."""
        return asdict(self)


def reweighed(probabilities: Real, learned: Real, wanted: Real) -> Real:
    """Return probabilities (n, k) under other fractions of the classes, by Bayes' rule.

    Args:
        probabilities: under the fractions `learned`.
        learned: (k,) fractions with sum 1.
        wanted: (k,) fractions with sum 1.
    """
    odds = probabilities * (wanted / learned)
    total = odds.sum(axis=1, keepdims=True)
    # A cell that can only be of classes that, as given, do not occur keeps what it had.
    return np.where(total > 0, odds / np.where(total > 0, total, 1.0), probabilities)


def estimated(probabilities: Real, learned: Real) -> tuple[Real, int]:
    """Estimate the fractions of the classes among cells by EM (Saerens et al. 2002, section 2.2).

    It presumes that cells of a class look as they did in training, and that the probabilities are calibrated.

    Args:
        probabilities: (n, k) under the fractions `learned`.
        learned: (k,) fractions with sum 1.

    Returns:
        Fractions (k,) with sum 1, and the steps that it took; `learned` where there are no cells.
    """
    if not len(probabilities):
        return learned, 0
    fractions = learned.copy()
    for step in range(1, MOST_STEPS + 1):
        changed = reweighed(probabilities, learned, fractions).mean(axis=0)
        if np.abs(changed - fractions).max() < TOLERANCE:
            return changed, step
        fractions = changed
    return fractions, MOST_STEPS


def adjusted(predictions: Predictions, learned: Real, wanted: Mapping[str, float] | None) -> Predictions:
    """Return predictions under other fractions of the classes; the former probabilities are kept with them.

    Where a source lies outside of what was learned from, nothing is estimated: its cells look different, and
    EM would take that for other fractions.

    Args:
        predictions: of a classifier.
        learned: (k,) fractions of its classes among the cells that it learned from.
        wanted: fraction by class; None estimates them, for each source by itself.
    """
    before, names, counted = predictions.probabilities, predictions.classes, predictions.counted()
    after = before.copy()
    outside = _outside(predictions)
    shifts = []
    for source, rows in _parts(predictions, apart=wanted is None):
        own, refused, steps = rows[counted[rows]], "", 0
        if wanted is not None:
            fractions = np.array([wanted[name] for name in names])
        elif source in outside:
            fractions, refused = learned, outside[source]
        elif len(own) < LEAST_CELLS:
            fractions, refused = learned, f"{FEW}: {counted_cells(len(own), 'cell')}"
        else:
            fractions, steps = estimated(before[own], learned)
        if not refused:
            after[rows] = reweighed(before[rows], learned, fractions)
        shifts.append(
            PriorShift(
                "EM" if wanted is None else "given",
                source,
                len(own),
                dict(zip(names, learned.tolist(), strict=True)),
                dict(zip(names, fractions.tolist(), strict=True)),
                steps,
                refused,
            )
        )
    return replace(predictions, probabilities=after, unadjusted=before, priors=tuple(shifts))


def _outside(predictions: Predictions) -> dict[str, str]:
    """Return the sources that lie outside of what was learned from, and the sentence of each verdict."""
    if predictions.domain is None:
        return {}
    units = predictions.domain.sources()
    return {unit.source: unit.sentence or unit.verdict for unit in units if unit.verdict == "outside"}


def _parts(predictions: Predictions, *, apart: bool) -> list[tuple[str, npt.NDArray[np.int64]]]:
    """Return (source, row numbers), of each source by itself where `apart`."""
    every_row = np.arange(len(predictions), dtype=np.int64)
    if not apart or "source" not in predictions.table.column_names:
        return [("", every_row)]
    sources = np.asarray(predictions.strings("source"))
    return [(str(name), np.flatnonzero(sources == name)) for name in np.unique(sources)]


def learned_priors(classifier: Classifier) -> Real:
    """Return the fraction (k,) of each class among the cells that a classifier learned from.

    Raises:
        RedDinoError: it is of a version that did not keep them.
    """
    fractions = np.asarray(classifier.priors, dtype=np.float64)
    if not len(fractions) and classifier.kind == "probe" and "confusion" in classifier.report:
        # Every cell was held out once.
        fractions = np.asarray(classifier.report["confusion"], dtype=np.float64).sum(axis=1)
    if len(fractions) != len(classifier.classes) or not (fractions > 0).all():
        raise RedDinoError(
            "the classifier does not record how frequent its classes were, so that its probabilities cannot "
            "be adjusted: fit it again"
        )
    return np.asarray(fractions / fractions.sum())


def read_priors(given: Mapping[str, float] | str | Path, classes: Sequence[str]) -> dict[str, float]:
    """Return the fraction of each class, from fractions, per cent or counts by name.

    Args:
        given: numbers by class, or a file of them: YAML or JSON with `class: number`, or CSV with a class and
            a number in each line.
        classes: that must each have one.

    Raises:
        RedDinoError: a class is missing, unknown or named twice, or a number is none or below 0.
    """
    origin = "the priors" if isinstance(given, Mapping) else str(given)
    numbers = dict(given) if isinstance(given, Mapping) else _read_file(Path(given))
    unknown = [name for name in numbers if name not in classes]
    missing = [name for name in classes if name not in numbers]
    if unknown or missing:
        what = (
            f"the classifier has no class '{in_line(unknown[0])}'" if unknown else f"'{missing[0]}' has none"
        )
        raise RedDinoError(f"{origin}: {what}; give a number for each of {', '.join(classes)}")
    values = {name: _number(numbers[name], name, origin) for name in classes}
    total = math.fsum(values.values())
    if not (total > 0 and math.isfinite(total)):
        raise RedDinoError(f"{origin}: all numbers are 0; give the fraction of each class")
    return {name: value / total for name, value in values.items()}


def _number(value: object, name: str, origin: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise RedDinoError(f"{origin}, class '{name}': '{in_line(value)}' is no number of 0 or more")
    return number


def _read_file(path: Path) -> dict[str, Any]:
    """Return the numbers of a file by class, as they stand there."""
    if path.suffix.lower() != ".csv":
        return dict(read_yaml(path, as_text=True))
    rows = [row for row in csv.reader(decode(read_bytes(path, LIMIT), str(path)).splitlines()) if row]
    if rows and rows[0][:1] == ["class"]:
        rows = rows[1:]
    numbers: dict[str, Any] = {}
    for row in rows:
        if len(row) != 2:
            raise RedDinoError(f"{path}: '{in_line(','.join(row))}' is not a class and its number")
        if (name := original(row[0])) in numbers:
            raise RedDinoError(f"{path}: class '{in_line(name)}' stands there twice; remove one")
        numbers[name] = row[1]
    return numbers
