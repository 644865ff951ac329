"""Labels and predictions of files, taken into a review: matched to the cells of its table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.reviewing.classes import require_name
from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.records import VERDICTS, Kind
from reddino.smears.manifest import Manifest
from reddino.smears.picture_files import is_there
from reddino.smears.spelling import clean

#: A verdict and its class.
_Answer = tuple[Kind, str]
#: A reader, their answer, and whether they decide on cells of which others differ.
_Act = tuple[str, _Answer, bool]


@dataclass(frozen=True)
class ImportReport:
    """What became of the rows of a file.

    Attributes:
        taken: rows that the review took in.
        unknown: rows of cells that its table does not have.
        kept: rows of cells on which that reader had a verdict already, which stays; of predictions, those
            that were there.
        empty: rows without a label.
        contradicting: rows that give a cell several labels; none of them is taken in.
    """

    taken: int
    unknown: int
    kept: int
    empty: int
    contradicting: int = 0


def matching_rows(
    cells: Manifest, others: Manifest, readers: Sequence[str] | None = None
) -> npt.NDArray[np.int64]:
    """Return for each row of `others` (n,) the row of the same cell in `cells`, or -1.

    The same cell is at the same place of the same image. An image that exists as `others` names it is
    compared by where it lies, any other by its name. Where a place is listed twice on both sides, the first
    belongs to the first; rows of several readers (n,) are counted for each by itself.
    """
    known: dict[tuple[str, tuple[float, ...]], list[int]] = {}
    places = _places(cells)
    for row, names in enumerate(zip(_names(cells, True), _names(cells, False), strict=True)):
        for name in set(names):
            known.setdefault((name, places[row]), []).append(row)
    seen: Counter[tuple[str, tuple[str, tuple[float, ...]]]] = Counter()
    found: list[int] = []
    keys = zip(_names(others, True), _places(others), strict=True)
    for who, key in zip(readers or [""] * len(others), keys, strict=True):
        rows = known.get(key, [-1])
        found.append(rows[min(seen[who, key], len(rows) - 1)])
        seen[who, key] += 1
    return np.array(found, dtype=np.int64)


def _places(manifest: Manifest) -> list[tuple[float, ...]]:
    numbers = np.stack([manifest.numbers(name) for name in ("x", "y", "w", "h")], axis=1)
    return [tuple(row) for row in np.nan_to_num(numbers, nan=-1e9).round(3).tolist()]


def _names(manifest: Manifest, real: bool) -> list[str]:
    """Return the image of each row: where it lies, if it is there (`real`); else as it is written."""
    unique, codes = manifest.images()
    found = [(_where(manifest.root, name) if real else "") or name for name in unique]
    return [found[code] for code in codes.tolist()]


def _where(root: Path, name: str) -> str:
    """Return where an image (or a shard and its member) lies; "" if it is not there."""
    file, mark, member = name.partition("::")
    return os.path.realpath(root / file) + mark + member if is_there(root / name) else ""


def import_labels(
    review: ReviewDatabase, cells: Manifest, labels: Manifest, *, reader: str | None = None
) -> ImportReport:
    """Take the labels of a manifest in, as verdicts of a reader; classes that are new are added.

    A column `verdict`, as exports have, marks cells that are of no class; a column `deciding`, which of them
    decide on cells of which others differ. Verdicts that the reader has already stay. The same file twice is
    the same once.

    Args:
        review: open on `cells`.
        cells: rows of the embedding table.
        labels: what to take in.
        reader: whose verdicts they become; None takes the column `reader`.

    Raises:
        RedDinoError: there is neither a reader nor such a column, the rows are events, a class cannot be
            called so, or no row is of a cell of the table.
    """
    _require_verdicts(labels)
    readers = _readers(labels, reader)
    rows = matching_rows(cells, labels, readers)
    require_some(rows, len(labels))
    given: dict[tuple[str, int], list[_Answer]] = {}
    deciding: set[tuple[str, int]] = set()
    empty = 0
    for row, who, answer, decides in zip(
        rows.tolist(), readers, _answers(labels), _deciding(labels, reader), strict=True
    ):
        if row >= 0 and answer is None:
            empty += 1
        elif row >= 0 and answer is not None:
            given.setdefault((who, row), []).append(answer)
            if decides:
                deciding.add((who, row))
    state = review.state()
    by_act: dict[_Act, list[int]] = {}
    kept = contradicting = 0
    for (who, row), answers in given.items():
        if len(set(answers)) > 1:
            contradicting += len(answers)
        elif who in state.verdicts.get(row, {}):
            kept += len(answers)
        else:
            by_act.setdefault((who, answers[0], (who, row) in deciding), []).append(row)
            kept += len(answers) - 1
    for name in dict.fromkeys(label for _, (kind, label), _ in by_act if kind == "label"):
        require_name(name, "the class")  # before the first is recorded
    for act, chosen in by_act.items():
        _record(review, act, sorted(chosen), state.last_event)
    taken = sum(len(chosen) for chosen in by_act.values())
    return ImportReport(taken, int((rows < 0).sum()), kept, empty, contradicting)


def _require_verdicts(labels: Manifest) -> None:
    """Refuse a file of events, in which acts that were undone look like those that hold."""
    if {"act", "event", "concerns"} <= set(labels.table.column_names):
        raise RedDinoError(
            "the rows are events, of which some were undone or taken back: "
            "give what `reddino labels --what readers` writes"
        )


def _deciding(labels: Manifest, reader: str | None) -> list[bool]:
    """Return which rows are of a third reader; none where all become those of one that is named."""
    if reader is not None or "deciding" not in labels.table.column_names:
        return [False] * len(labels)
    return [text == "yes" for text in labels.strings("deciding")]


def _readers(labels: Manifest, reader: str | None) -> list[str]:
    if reader is not None:
        return [reader] * len(labels)
    if "reader" not in labels.table.column_names or "" in (named := labels.strings("reader")):
        raise RedDinoError(
            "it is not known whose labels these are: name the reader, or fill a column 'reader'"
        )
    by_consensus = "consensus" in labels.table.column_names and "deciding" not in labels.table.column_names
    several = next((one for one in named if by_consensus and "; " in one), None)
    if several is not None:
        raise RedDinoError(
            f"the labels are those that several readers agreed on ({several}), and no reader's own: "
            "give what `reddino labels --what readers` writes, or name a reader for them"
        )
    return named


def _answers(labels: Manifest) -> list[_Answer | None]:
    verdicts = labels.strings("verdict") if "verdict" in labels.table.column_names else [""] * len(labels)
    no_class: Mapping[str, Kind] = {kind: kind for kind in VERDICTS if kind != "label"}
    return [
        (no_class[verdict], "") if verdict in no_class else ("label", label) if label else None
        for verdict, label in zip(verdicts, labels.strings("label"), strict=True)
    ]


def _record(review: ReviewDatabase, act: _Act, rows: list[int], after: int) -> None:
    """Record one act; two programs that take in the same file after the same event record it once."""
    who, (kind, label), deciding = act
    number = None
    if kind == "label":
        number = review.class_called(label, reader=who).number
    token = f"import {hash_bytes(repr((act, rows, after)).encode())}"
    review.record(who, kind, rows, class_number=number, deciding=deciding, token=token, origin="import")


def import_predictions(
    review: ReviewDatabase, cells: Manifest, predictions: Manifest, *, classifier: str, reader: str
) -> ImportReport:
    """Take what `predict` wrote as a first sorting, which readers correct; it is no verdict.

    Args:
        review: open on `cells`.
        cells: rows of the embedding table.
        predictions: with the columns `predicted` and `probability`.
        classifier: name that the suggestions go by.
        reader: who brings them.

    Raises:
        RedDinoError: a column is missing, a probability is none, or no row is of a cell of the table.
    """
    for name in ("predicted", "probability"):
        if name not in predictions.table.column_names:
            raise RedDinoError(
                f"no predictions: there is no column '{name}'; give a file that `predict` wrote"
            )
    rows = matching_rows(cells, predictions)
    require_some(rows, len(predictions))
    labels = [clean(name) for name in predictions.strings("predicted")]
    likely = _probabilities(predictions)
    given: dict[int, list[int]] = {}
    for place in np.flatnonzero(rows >= 0).tolist():
        if labels[place]:
            given.setdefault(int(rows[place]), []).append(place)
    clear = [places for places in given.values() if len({labels[place] for place in places}) == 1]
    chosen = np.array([places[0] for places in clear], dtype=np.int64)
    taken = review.add_first_sorting(
        classifier, rows[chosen], [labels[one] for one in chosen.tolist()], likely[chosen], reader=reader
    )
    empty = sum(1 for row, label in zip(rows.tolist(), labels, strict=True) if row >= 0 and not label)
    agreeing = sum(map(len, clear))
    contradicting = sum(map(len, given.values())) - agreeing
    return ImportReport(taken, int((rows < 0).sum()), agreeing - taken, empty, contradicting)


def _probabilities(predictions: Manifest) -> npt.NDArray[np.float64]:
    texts = predictions.strings("probability")
    try:
        likely = np.array([float(text) if text else np.nan for text in texts])
    except ValueError as error:
        raise RedDinoError(
            f"column 'probability' does not hold numbers: {error}; give what `predict` wrote"
        ) from (error)
    if ((likely < 0) | (likely > 1)).any():
        raise RedDinoError("column 'probability' holds numbers that are none, below 0 or above 1")
    return np.where(np.isnan(likely), 0.0, likely)


def require_some(rows: npt.NDArray[np.int64], count: int) -> None:
    """Refuse a file of which no row is a cell of the table.

    Raises:
        RedDinoError: all of rows (n,) are -1.
    """
    if not (rows >= 0).any():
        raise RedDinoError(
            f"none of the {count:,} rows is a cell of the table: images or places differ; "
            "give the file that belongs to this table"
        )


def file_of(manifest: Path) -> str:
    """Return what suggestions of a file of predictions go by: its name without the suffix."""
    return clean(manifest.stem) or "predictions"
