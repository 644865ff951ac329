"""The cells of predictions as a slide report needs them: answers, places, slides, and which of them count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.classification.abstention import AnswerRule
from reddino.classification.classifier import Classifier
from reddino.classification.trusted import require_answerable
from reddino.figures.prediction_file import PredictionFile
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit
from reddino.slide_reports.fields import crowded_cells
from reddino.smears.column_names import ABSTAINED, NOVELTY, PREDICTED, PREFIX, PROBABILITY, UNADJUSTED

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
#: The kind of segments that hold several cells.
CLUMP = "clump"


@dataclass(frozen=True)
class PredictedCells:
    """The cells of predictions.

    Attributes:
        file: they were read from.
        classes: names.
        answer: (n,) number of the class that the classifier gave, before an adjustment to other fractions;
            k for none.
        red: (n,) which are whole red cells, and count.
        border, other: (n,) which are cut by the border, and no red cell.
        keys: (n,) source and slide.
        paths: (n,) pictures.
        crowded: (n,) which lie on another, or are a clump.
        rule: which get no answer; None: all get one.
        readjusted: whether predictions were adjusted to other fractions, of which nothing is used.
    """

    file: PredictionFile
    classes: tuple[str, ...]
    answer: Numbers
    red: Flags
    border: Flags
    other: Flags
    keys: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]
    crowded: Flags
    rule: AnswerRule | None
    readjusted: bool

    def __len__(self) -> int:
        return len(self.answer)

    def probabilities(self) -> Real | None:
        """Return (n, k) probabilities; None where they are missing or were adjusted to other fractions."""
        names = [f"{PREFIX}{name}" for name in self.classes]
        if self.readjusted or not set(names) <= set(self.file.table.column_names):
            return None
        return np.column_stack([self.file.numbers(name) for name in names])

    def rows_of(self) -> dict[tuple[str, str], Numbers]:
        """Return the rows of each slide, by source and name in order."""
        rows: dict[tuple[str, str], list[int]] = {}
        for row, key in enumerate(self.keys):
            rows.setdefault(key, []).append(row)
        return {key: np.array(rows[key], dtype=np.int64) for key in sorted(rows)}


def cells_of(
    file: PredictionFile, classifier: Classifier | None, *, by: str = "slide", risk: float | None = None
) -> PredictedCells:
    """Return the cells of predictions.

    Args:
        file: of `reddino predict`.
        classifier: that made it; None: unknown.
        by: column of what is reported; pictures where it is empty.
        risk: error rate among the answered cells; None: as `predict` was told.

    Raises:
        RedDinoError: the file is of another classifier, holds no such column, or a risk cannot be named.
    """
    if classifier is not None:
        _require_own(file, classifier)
    if by not in file.table.column_names:
        raise RedDinoError(f"{file.path} has no column '{by}': name one of its columns with --by")
    rule = _rule(file, classifier, risk)
    classes = file.classes if classifier is None else classifier.classes
    paths = file.strings("path")
    names = [value or path for value, path in zip(file.strings(by), paths, strict=True)]
    before = UNADJUSTED + PREDICTED in file.table.column_names
    cut, other = file.cut(), file.other()
    clumped = np.array([kind == CLUMP for kind in file.strings("kind")], dtype=np.bool_)
    x, y, size = (file.numbers(name) for name in ("view_x", "view_y", "cell_diameter"))
    return PredictedCells(
        file=file,
        classes=classes,
        answer=_answers(file, classes, rule, before=before),
        red=np.asarray(~cut & ~other),
        border=cut,
        other=other,
        keys=tuple(zip(file.strings("source"), names, strict=True)),
        paths=tuple(paths),
        crowded=crowded_cells(paths, x, y, size, clumped),
        rule=rule,
        readjusted=before,
    )


def _require_own(file: PredictionFile, classifier: Classifier) -> None:
    """Refuse predictions of another classifier.

    Raises:
        RedDinoError: the note names another head, or classes differ.
    """
    noted = file.origin.get("classifier")
    head = noted.get("head") if isinstance(noted, Mapping) else None
    if head is None:
        raise RedDinoError(
            f"{file.path.with_suffix('.json')} is missing or names no classifier, so that nobody can tell "
            "whose predictions these are: keep it next to them, or leave --classifier out"
        )
    if head != classifier.head.fingerprint() or set(file.classes) - set(classifier.classes):
        raise RedDinoError(
            f"{file.path} is of another classifier: give the folder that made it with --classifier"
        )


def _rule(file: PredictionFile, classifier: Classifier | None, risk: float | None) -> AnswerRule | None:
    if risk is not None:
        if classifier is None:
            raise RedDinoError("a risk is named on a classifier's held-out cells: give it with --classifier")
        if NOVELTY not in file.table.column_names:
            raise RedDinoError(f"{file.path} lacks the column '{NOVELTY}': predict again with this version")
        return require_answerable(classifier, risk)
    noted: Any = file.origin.get("abstention")
    if not isinstance(noted, Mapping):
        return None
    own = {name: noted[name] for name in AnswerRule.__dataclass_fields__ if name in noted}
    return fit(AnswerRule, own, f"{file.path.with_suffix('.json')}: abstention")


def _answers(
    file: PredictionFile, classes: tuple[str, ...], rule: AnswerRule | None, *, before: bool
) -> Numbers:
    """Return the number of each cell's class (n,), len(classes) for none."""
    start = UNADJUSTED if before else ""
    place = {name: number for number, name in enumerate(classes)}
    named = [place.get(name, len(classes)) for name in file.strings(start + PREDICTED)]
    answer = np.array(named, dtype=np.int64)
    if rule is None:
        return np.where(file.flags(ABSTAINED), len(classes), answer)
    novelty = file.numbers(NOVELTY)
    silent = rule.abstained(file.numbers(start + PROBABILITY), np.where(np.isnan(novelty), 0.0, novelty))
    return np.where(silent, len(classes), answer)
