"""The labels of a review as a manifest: by consensus, of each reader, or event by event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.label_choices import Exported
from reddino.reviewing.records import VERDICTS, Event
from reddino.reviewing.state import ReviewState
from reddino.smears.column_names import log_renamed
from reddino.smears.manifest import Manifest

#: Columns that the review adds to those of the table.
OURS = (
    *("label", "verdict", "consensus", "reader", "time", "note", "seconds"),
    *("event", "act", "concerns", "deciding", "origin", "suggested", "probability", "classifier"),
)
#: Answers that are no class; their cells have no label unless one is given for them.
NO_CLASS = ("none", "artefact", "unsure")


@dataclass(frozen=True)
class ExportedLabels:
    """Labels to write, and what they leave out.

    Attributes:
        manifest: one row per cell, per cell and reader, or per cell and event.
        rows: (n,) of the embedding table.
        without_label: answer -> rows that have no label since they are of no class, or readers differ.
    """

    manifest: Manifest
    rows: npt.NDArray[np.int64]
    without_label: Mapping[str, int]

    def labelled(self) -> Manifest:
        """Return the rows with a label."""
        return self.manifest.select(np.array([label != "" for label in self.manifest.strings("label")], bool))


def exported(
    review: ReviewDatabase,
    what: Exported = "consensus",
    *,
    reader: str | None = None,
    others: Mapping[str, str] | None = None,
) -> ExportedLabels:
    """Return the labels of a review.

    Args:
        review: open.
        what: a row per cell (`consensus`), per cell and reader (`readers`), or per cell and event (`events`).
        reader: of one reader alone, whose verdicts then are the consensus.
        others: label for cells of no class, by answer: `none`, `artefact`, `unsure`.

    Raises:
        RedDinoError: there is no such reader, an answer that is not one, or nothing to export.
    """
    for answer in others or {}:
        if answer not in NO_CLASS:
            raise RedDinoError(f"no such answer: '{answer}'; a label is given to: {', '.join(NO_CLASS)}")
    if reader is not None and reader not in (known := review.readers()):
        raise RedDinoError(f"no such reader: '{reader}'; the review has: {', '.join(known) or 'none'}")
    state = review.state()
    if reader is not None:
        state = state.seen_by(reader, blind=True)
    if what == "events":
        found = _by_event(review, reader)
    else:
        rows: Callable[[ReviewState, Mapping[str, str]], list[_Row]] = _ROWS_OF[what]
        found = rows(state, others or {})
    if not found:
        raise RedDinoError(f"nothing to export: {review.where}; no cell has a verdict yet")
    return _with_table(review, found)


_Row = tuple[int, dict[str, Any]]


def _label(kind: str | None, label: str, others: Mapping[str, str]) -> str:
    return label if kind == "label" else others.get(kind or "", "")


def _by_consensus(state: ReviewState, others: Mapping[str, str]) -> list[_Row]:
    found: list[_Row] = []
    for cell, one in sorted(state.agreed.items()):
        notes = [f"{who}: {text}" for who, text in state.notes.get(cell, {}).items()]
        row = {
            "label": _label(one.kind, one.label, others),
            "verdict": one.kind or one.standing,
            "consensus": one.standing,
            "reader": "; ".join(one.readers),
            "time": one.at,
            "note": "; ".join(notes),
        }
        found.append((cell, row))
    return found


def _by_reader(state: ReviewState, others: Mapping[str, str]) -> list[_Row]:
    found: list[_Row] = []
    for cell, verdicts in sorted(state.verdicts.items()):
        for who, one in verdicts.items():
            row = {
                "label": _label(one.kind, one.label, others),
                "verdict": one.kind,
                "consensus": state.consensus(cell).standing,
                "reader": who,
                "time": one.at,
                "note": state.notes.get(cell, {}).get(who, ""),
                "seconds": "" if one.seconds is None else f"{one.seconds:.3f}",
                "deciding": "yes" if one.deciding else "no",
            }
            found.append((cell, row))
    return found


_ROWS_OF = {"consensus": _by_consensus, "readers": _by_reader}


def _by_event(review: ReviewDatabase, reader: str | None) -> list[_Row]:
    names = review.class_names()
    return [
        (cell, _event_row(event, cell, names))
        for event in review.events(reader=reader)
        for cell in event.cells
    ]


def _event_row(event: Event, cell: int, names: Mapping[int, str]) -> dict[str, Any]:
    shown = event.suggestions.get(cell)
    return {
        "label": "" if event.class_number is None else names[event.class_number],
        "verdict": event.kind if event.kind in VERDICTS else "",
        "reader": event.reader,
        "time": event.at,
        "note": event.note,
        "seconds": "" if event.seconds is None else f"{event.seconds:.3f}",
        "event": str(event.number),
        "act": event.kind,
        "concerns": "" if event.concerns is None else str(event.concerns),
        "deciding": "yes" if event.deciding else "no",
        "origin": event.origin,
        "suggested": "" if shown is None else shown.label,
        "probability": "" if shown is None else f"{shown.probability:.4f}",
        "classifier": "" if shown is None else shown.classifier,
    }


def _set_aside(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the table with other names for its columns that have one of `names`, such as `table_label`."""
    given: dict[str, str] = {}
    for name in table.column_names:
        new = name
        while new in names or (new != name and new in table.column_names):
            new = f"table_{new}"
        given[name] = new
    log_renamed(given, "since labels of readers have these names")
    return table.rename_columns(list(given.values()))


def _with_table(review: ReviewDatabase, found: Sequence[_Row]) -> ExportedLabels:
    """Join what the review holds with the columns that the table has of the same cells."""
    stored, cells = review.cells()
    rows = np.array([row for row, _ in found], dtype=np.int64)
    table = cells.table.take(np.searchsorted(stored, rows))
    if all(value is None for value in table.column("label").to_pylist()):
        table = table.drop_columns(["label"])
    names = [name for name in OURS if name in found[0][1]]
    table = _set_aside(table, names)
    for name in names:
        table = table.append_column(name, pa.array([one.get(name) or None for _, one in found], pa.string()))
    without: dict[str, int] = {}
    for _, one in found:
        if not one["label"] and one["verdict"]:
            without[one["verdict"]] = without.get(one["verdict"], 0) + 1
    return ExportedLabels(Manifest(table, cells.root), rows, without)
