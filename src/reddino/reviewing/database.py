"""The database of a review: readers, classes and events; nothing in it is ever overwritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from reddino.reviewing.records import CellClass, Event, Kind, Origin, Suggestion
from reddino.reviewing.state import ReviewState
from reddino.smears.manifest import Manifest


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

    @classmethod
    def open(cls, where: str | Path, cells: Manifest) -> Self:
        """Open the review of a table, or begin it.

        Args:
            where: file of SQLite, or a URL such as `postgresql+psycopg://user@host/name`.
            cells: the rows of the embedding table, with the folder that their paths are relative to.

        Raises:
            RedDinoError: the database is of another table, or of a newer version, or cannot be reached.
        """
        raise NotImplementedError

    @classmethod
    def open_existing(cls, where: str | Path) -> Self:
        """Open a review without its table, to export it.

        Raises:
            RedDinoError: there is no review, or it cannot be reached or read.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError

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
        raise NotImplementedError

    def readers(self) -> list[str]:
        """Return the names of all readers, in the order of their registration."""
        raise NotImplementedError

    # Classes

    def classes(self) -> list[CellClass]:
        """Return the classes as they stand, in the order in which they were added; merged ones are absent."""
        raise NotImplementedError

    def add_class(self, name: str, *, reader: str, hotkey: str | None = None) -> CellClass:
        """Add a class; None takes the first free hotkey of 1 to 9, "" takes none.

        A class of that name that is there already is returned as it stands.

        Raises:
            RedDinoError: the name is empty or too long, or another class has the hotkey.
        """
        raise NotImplementedError

    def rename_class(self, number: int, name: str, *, reader: str) -> CellClass:
        """Give a class another name.

        Raises:
            RedDinoError: another class has it (merge them instead), or there is no such class.
        """
        raise NotImplementedError

    def set_hotkey(self, number: int, hotkey: str, *, reader: str) -> CellClass:
        """Give a class a hotkey, "1" to "9" or "" for none; a class that had it loses it."""
        raise NotImplementedError

    def merge_class(self, number: int, into: int, *, reader: str) -> CellClass:
        """Count all cells of a class, earlier and later, for another; return that one."""
        raise NotImplementedError

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
        raise NotImplementedError

    def undo(self, reader: str, *, token: str | None = None) -> Event | None:
        """Undo the reader's last act in the page that still holds; None where there is none.

        The event returned is the undo; it names the act's number (`concerns`) and its cells.
        """
        raise NotImplementedError

    def redo(self, reader: str, *, token: str | None = None) -> Event | None:
        """Redo what the reader undid last, unless they acted since; None where there is nothing."""
        raise NotImplementedError

    def events(self, *, after: int = 0, reader: str | None = None) -> list[Event]:
        """Return the events with greater numbers than `after`, of all readers or of one, in order."""
        raise NotImplementedError

    def state(self) -> ReviewState:
        """Return who says what of which cell now; reads only the events that came since the last call."""
        raise NotImplementedError

    # First sorting, by an earlier classifier

    def first_sorting(self) -> dict[int, Suggestion]:
        """Return cell -> what imported predictions say; of several imports, the latest."""
        raise NotImplementedError

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
            How many were kept.
        """
        raise NotImplementedError
