"""The database of a review: readers, classes and events; nothing in it is ever overwritten."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.urls import is_url
from reddino.reviewing import class_rows, score_rows, sorting_rows
from reddino.reviewing.acts import require_act, require_same_act, require_third_reader
from reddino.reviewing.cell_rows import keep_cells, pictures_folder, read_facts, stored_cells, stored_rows
from reddino.reviewing.classes import ClassChange, require_name
from reddino.reviewing.connecting import Connector
from reddino.reviewing.event_rows import (
    event_of_token,
    insert_event,
    last_to_redo,
    last_to_undo,
    number_of,
    read_events,
)
from reddino.reviewing.opening import begin_or_check, require_review
from reddino.reviewing.records import CellClass, Event, Kind, Origin, ScoreRecord, Suggestion
from reddino.reviewing.replay import Replay
from reddino.reviewing.schema import readers, sa
from reddino.reviewing.state import ReviewState
from reddino.smears.manifest import Manifest
from reddino.smears.spelling import clean


def default_database(table: str | Path) -> Path:
    """Return the file of a table's review: next to the table, named after it.

    Raises:
        RedDinoError: the table lies in a store, where no database is.
    """
    folder = Path(table)
    if is_url(folder):
        raise RedDinoError(
            f"{folder}: no review lies next to a table in a store; name its database, a file of this machine "
            "or a URL of PostgreSQL (review: --database)"
        )
    return folder.with_name(f"{folder.name}.review.sqlite")


class ReviewDatabase:
    """One review of the cells of one table; thread-safe, and open to several processes at once.

    Cells are named by their row in the embedding table, which keeps the rows that it has when it grows. Each
    method that writes returns when the event is on the disk; a retry with the same token is the same event.

    Attributes:
        where: file, or URL without its password.
        rows: cells of the table.
    """

    where: str
    rows: int

    def __init__(self, connector: Connector, cells: Manifest | None, rows: int) -> None:
        """Use `open` or `open_existing` instead."""
        self.where, self.rows = connector.shown, rows
        self._connector, self._cells = connector, cells
        self._replay, self._lock = Replay(), threading.Lock()

    @classmethod
    def open(cls, where: str | Path, cells: Manifest) -> Self:
        """Open the review of a table, or begin it.

        Args:
            where: file of SQLite, or a URL such as `postgresql://user@host/name`.
            cells: the rows of the embedding table, with the folder that their paths are relative to.

        Raises:
            RedDinoError: the database is of another table, or of a newer version, or cannot be reached.
        """
        connector = Connector(where)
        try:
            begin_or_check(connector, cells)
        except BaseException:
            connector.close()
            raise
        return cls(connector, cells, len(cells))

    @classmethod
    def open_existing(cls, where: str | Path) -> Self:
        """Open a review without its table, to export it or to add to what it holds.

        Raises:
            RedDinoError: there is no review, or it cannot be reached or read.
        """
        connector = Connector(where)
        try:
            rows = require_review(connector)
        except BaseException:
            connector.close()
            raise
        return cls(connector, None, rows)

    def close(self) -> None:
        """Close the connections."""
        self._connector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # Readers

    def add_reader(self, name: str) -> str:
        """Register a reader, where they are new, and return their name (tidied).

        Raises:
            RedDinoError: the name is empty, longer than 100 characters, or has control characters.
        """
        name = require_name(name, "the reader")
        with self._connector.writing() as connection:
            number_of(connection, readers, name)
        return name

    def readers(self) -> list[str]:
        """Return the names of all readers, in the order of their registration."""
        with self._connector.reading() as connection:
            return list(connection.execute(sa.select(readers.c.name).order_by(readers.c.number)).scalars())

    # Classes

    def classes(self) -> list[CellClass]:
        """Return the classes as they stand, in the order in which they were added; merged ones are absent."""
        with self._connector.reading() as connection:
            return class_rows.read_classes(connection).standing()

    def class_history(self) -> list[ClassChange]:
        """Return all that was done to classes, in order."""
        with self._connector.reading() as connection:
            return class_rows.read_changes(connection)

    def class_names(self) -> dict[int, str]:
        """Return the number of each class, merged ones too, -> the name that it counts under now."""
        with self._connector.reading() as connection:
            names = class_rows.read_classes(connection).names()
        return {number: name for number, (_, name) in names.items()}

    def class_called(self, name: str, *, reader: str) -> CellClass:
        """Return the class that has a name or had it; add it where there is none."""
        with self._connector.writing() as connection:
            there = class_rows.read_classes(connection).named(clean(name), formerly=True)
            return there or class_rows.add(connection, name, None, require_name(reader, "the reader"))

    def add_class(self, name: str, *, reader: str, hotkey: str | None = None) -> CellClass:
        """Add a class; None takes the first free hotkey of 1 to 9, "" takes none.

        A class of that name that is there already is returned as it stands.

        Raises:
            RedDinoError: the name is empty or too long, or another class has the hotkey.
        """
        with self._connector.writing() as connection:
            return class_rows.add(connection, name, hotkey, require_name(reader, "the reader"))

    def rename_class(self, number: int, name: str, *, reader: str) -> CellClass:
        """Give a class another name.

        Raises:
            RedDinoError: another class has it (merge them instead), or there is no such class.
        """
        with self._connector.writing() as connection:
            return class_rows.rename(connection, number, name, require_name(reader, "the reader"))

    def set_hotkey(self, number: int, hotkey: str, *, reader: str) -> CellClass:
        """Give a class a hotkey, "1" to "9" or "" for none; a class that had it loses it."""
        with self._connector.writing() as connection:
            return class_rows.set_hotkey(connection, number, hotkey, require_name(reader, "the reader"))

    def merge_class(self, number: int, into: int, *, reader: str) -> CellClass:
        """Count all cells of a class, earlier and later, for another; return that one."""
        with self._connector.writing() as connection:
            return class_rows.merge(connection, number, into, require_name(reader, "the reader"))

    def part_class(self, number: int, *, reader: str) -> CellClass:
        """Take a class out of the one that it was merged into, with the cells that it had."""
        with self._connector.writing() as connection:
            return class_rows.part(connection, number, require_name(reader, "the reader"))

    # Events

    def record(
        self,
        reader: str,
        kind: Kind,
        cells: Sequence[int],
        *,
        class_number: int | None = None,
        note: str = "",
        seconds: float | None = None,
        suggestions: Mapping[int, Suggestion] | None = None,
        deciding: bool = False,
        token: str | None = None,
        origin: Origin = "page",
    ) -> Event:
        """Record one act of a reader on cells, and return it when it is on the disk.

        Args:
            reader: name; registered where new.
            kind: all but `undo` and `redo`.
            cells: rows of the table, each once.
            class_number: of `label`, the class.
            note: of `note`, its text; "" takes the note off.
            seconds: from showing the cells to the act.
            suggestions: by cell, what was shown with it.
            deciding: a third reader decides on cells of which others differ.
            token: of the act, unique; None makes one. The same token again returns the first event.
            origin: where the act comes from.

        Raises:
            RedDinoError: a row that the table does not have, a class that is not there, or a deciding reader
                who read the cell before.
        """
        reader, rows = require_name(reader, "the reader"), sorted({int(cell) for cell in cells})
        token = token or uuid.uuid4().hex
        require_act(kind, rows, class_number, note)
        self._require_rows(rows)
        if deciding:
            require_third_reader(reader, rows, self.state())
        with self._connector.writing() as connection:
            number = event_of_token(connection, token)
            if number is None:
                self._keep(connection, rows)
                if class_number is not None and not class_rows.read_classes(connection).holds(class_number):
                    raise RedDinoError(f"no such class: number {class_number}; add it first")
                values = {"token": token, "reader": number_of(connection, readers, reader), "kind": kind}
                values |= {"class_number": class_number, "note": note, "seconds": seconds}
                values |= {"deciding": deciding, "origin": origin}
                number = insert_event(connection, values, rows, suggestions)
            (event,) = read_events(connection, number=number)
        require_same_act(event, reader, kind, rows, class_number)
        return event

    def undo(self, reader: str, *, token: str | None = None) -> Event | None:
        """Undo the reader's last act in the page that still holds; None where there is none.

        The event returned is the undo; it names the act's number (`concerns`) and its cells.
        """
        return self._concerning(reader, "undo", token)

    def redo(self, reader: str, *, token: str | None = None) -> Event | None:
        """Redo what the reader undid last, unless they acted since; None where there is nothing."""
        return self._concerning(reader, "redo", token)

    def events(self, *, after: int = 0, reader: str | None = None) -> list[Event]:
        """Return the events with greater numbers than `after`, of all readers or of one, in order."""
        with self._connector.reading() as connection:
            return read_events(connection, after=after, reader=reader)

    def state(self) -> ReviewState:
        """Return each reader's verdict on each cell; reads only the events since the last call."""
        with self._lock, self._connector.reading() as connection:
            new = read_events(connection, after=self._replay.last_event)
            self._replay.add(new, class_rows.read_classes(connection).names())
            return self._replay.state()

    # Cells

    def pictures(self) -> Path:
        """Return the folder that the paths of the table are relative to."""
        with self._connector.reading() as connection:
            return pictures_folder(read_facts(connection), self._connector.file)

    def whole_table(self) -> Manifest:
        """Return all rows of the table that the review was opened with.

        Raises:
            RedDinoError: it was opened without.
        """
        if self._cells is None:
            raise RedDinoError(f"the review was opened without its table: {self.where}; give the table")
        return self._cells

    def cells(self) -> tuple[npt.NDArray[np.int64], Manifest]:
        """Return the rows (n,) of all cells that have events, in order, and what the table holds of them."""
        root = self.pictures()
        with self._connector.reading() as connection:
            return stored_cells(connection, root)

    def first_sorting(self) -> dict[int, Suggestion]:
        """Return cell -> its imported prediction; of several imports, the latest."""
        with self._connector.reading() as connection:
            return sorting_rows.read(connection)

    def add_first_sorting(
        self,
        classifier: str,
        cells: npt.NDArray[np.int64],
        labels: Sequence[str],
        probabilities: npt.NDArray[np.float64],
        *,
        reader: str,
    ) -> int:
        """Keep predictions (n) of a classifier as a first sorting of cells; add classes that are new.

        Returns:
            How many were kept: those of cells that this classifier had not sorted before.
        """
        reader = require_name(reader, "the reader")
        self._require_rows(cells.tolist())
        with self._connector.writing() as connection:
            known = class_rows.read_classes(connection)
            for name in dict.fromkeys(labels):
                if known.named(name, formerly=True) is None:
                    class_rows.add(connection, name, None, reader)
            return sorting_rows.insert(connection, classifier, cells, labels, probabilities)

    def add_score(self, view: str, score: ScoreRecord) -> list[ScoreRecord]:
        """Keep a score of a view, "" or a reader's name, and return all of the view, in order."""
        with self._connector.writing() as connection:
            score_rows.insert(connection, view, score)
            return score_rows.read(connection, view)

    def _concerning(self, reader: str, kind: Kind, token: str | None) -> Event | None:
        reader, token = require_name(reader, "the reader"), token or uuid.uuid4().hex
        with self._connector.writing() as connection:
            number = event_of_token(connection, token)
            if number is None:
                who = number_of(connection, readers, reader)
                act = (last_to_undo if kind == "undo" else last_to_redo)(connection, who)
                if act is None:
                    return None
                number = insert_event(
                    connection, {"token": token, "reader": who, "kind": kind, "concerns": act}
                )
            (event,) = read_events(connection, number=number)
        require_same_act(event, reader, kind, event.cells, None)
        return event

    def _require_rows(self, rows: Sequence[int]) -> None:
        wrong = next((row for row in rows if not 0 <= row < self.rows), None)
        if wrong is not None:
            raise RedDinoError(f"the table has no row {wrong}: it has {self.rows:,} rows, from 0")

    def _keep(self, connection: sa.Connection, rows: list[int]) -> None:
        if self._cells is not None:
            keep_cells(connection, self._cells, rows)
        elif unknown := sorted(set(rows) - stored_rows(connection, rows)):
            raise RedDinoError(f"cell {unknown[0]} was never shown; open the review with its table")
