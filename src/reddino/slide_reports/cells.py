"""The cells of predictions as a slide report needs them: answers, places, slides, and which of them count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.classification.abstention import AnswerRule
from reddino.classification.classifier import Classifier
from reddino.classification.trusted import require_answerable
from reddino.figures.prediction_file import PredictionFile
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit
from reddino.foundations.visible import short
from reddino.rbc.field_measures import crowded_cells
from reddino.smears.column_names import ABSTAINED, NOVELTY, PREDICTED, PREFIX, PROBABILITY, UNADJUSTED
from reddino.smears.slides.identity import regions_twice

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
#: The kind of segments that hold several cells.
CLUMP = "clump"
#: By which a written probability may miss what it was.
_ROUNDING = 1e-3


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
        risk: error rate among the answered cells; None: as given to `predict`.

    Raises:
        RedDinoError: the file is of another classifier, holds no such column or a slide under two names, or a
            risk cannot be named.
    """
    if classifier is not None:
        _require_own(file, classifier)
    if by not in file.table.column_names:
        raise RedDinoError(f"{file.path} has no column '{by}': name one of its columns with --by")
    if not len(file):
        raise RedDinoError(f"{file.path} holds no cells: predict smears in which some are found")
    _require_slides_once(file)
    rule = _rule(file, classifier, risk)
    classes = file.classes if classifier is None else classifier.classes
    paths = file.strings("path")
    names = [value or path for value, path in zip(file.strings(by), paths, strict=True)]
    _require_unedited(file, names=classes)
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
            f"{file.path.with_suffix('.json')} is missing or names no classifier, so that it is unknown "
            "whose predictions these are: keep it next to them, or leave --classifier out"
        )
    if head != classifier.head.fingerprint() or set(file.classes) - set(classifier.classes):
        raise RedDinoError(
            f"{file.path} is of another classifier: give the folder that made it with --classifier"
        )


def _require_slides_once(file: PredictionFile) -> None:
    """Refuse predictions of one region of a slide under two names, by the bytes that `predict` noted.

    Raises:
        RedDinoError: names both.
    """
    for first, other in regions_twice(file.pictures.items()):
        raise RedDinoError(
            f"{file.path}: {other} is the slide {first} under another name, and its cells would "
            "count twice: predict again without one of the two"
        )


def _require_unedited(file: PredictionFile, names: Sequence[str]) -> None:
    """Refuse cells whose class is not the most probable one: errors of the classifier are not theirs.

    Raises:
        RedDinoError: counts them, or names a class without probabilities.
    """
    columns, have = [f"{PREFIX}{name}" for name in names], file.table.column_names
    after = have[have.index(PROBABILITY) + 1 :] if PROBABILITY in have else []
    if any(name.startswith(PREFIX) for name in after):
        for row, name in enumerate(file.strings(PREDICTED)):
            if name and f"{PREFIX}{name}" not in after:
                raise RedDinoError(
                    f"{file.path}, row {row + 1}: '{short(name)}' is no class of those whose columns "
                    "p_... hold probabilities: predict again, or leave these columns out"
                )
    if not set(columns) <= set(file.table.column_names):
        return
    likely = np.column_stack([file.numbers(column) for column in columns])
    place = {name: number for number, name in enumerate(names)}
    given = np.array([place.get(name, -1) for name in file.strings(PREDICTED)], dtype=np.int64)
    own = np.take_along_axis(likely, np.maximum(given, 0)[:, None], axis=1)[:, 0]
    other = (given >= 0) & (own < likely.max(axis=1) - _ROUNDING)
    if other.any():
        raise RedDinoError(
            f"{file.path}, row {int(np.argmax(other)) + 1}: {counted(int(other.sum()), 'cell')} of another "
            "class than the most probable one: were they corrected by hand? leave the columns p_... and "
            "--classifier out to count them as they are"
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
