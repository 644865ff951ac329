"""The places of a manifest's rows, as an editor shows the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError


def _row_number(row: int) -> str:
    return f"row {row + 1}"


@dataclass(frozen=True)
class RowPlace:
    """The place of a row of one file.

    Attributes:
        name: the file, or what the table is.
        position: turns a row number (from 0) into text; called only when something is wrong.
    """

    name: str
    position: Callable[[int], str] = field(default=_row_number)

    def of(self, row: int) -> str:
        """Name the row, e.g. `cells.csv, line 17`."""
        return f"{self.name}, {self.position(row)}"

    def refuse(self, row: int, column: str, fault: str) -> NoReturn:
        """Raise for the value in `column` of `row`."""
        raise RedDinoError(f"{self.of(row)}, column '{column}': {fault}")


@dataclass(frozen=True)
class RowPlaces:
    """The place of each row of a table that was chosen and joined from files.

    Attributes:
        files: that rows came from; None for rows that came from none.
        file: (n,) number of each row's file.
        row: (n,) its row number in that file, from 0.
    """

    files: tuple[RowPlace | None, ...]
    file: NDArray[np.int32]
    row: NDArray[np.int64]

    @classmethod
    def one_file(cls, place: RowPlace | None, rows: int) -> RowPlaces:
        """Return the places of all rows of a file, or of a table that came from none."""
        return cls((place,), np.zeros(rows, np.int32), np.arange(rows, dtype=np.int64))

    @classmethod
    def joined(cls, several: Sequence[RowPlaces]) -> RowPlaces:
        """Return the places of tables that were put below each other."""
        starts = np.cumsum([0, *(len(places.files) for places in several[:-1])]).astype(np.int32)
        return cls(
            tuple(place for places in several for place in places.files),
            np.concatenate([places.file + start for places, start in zip(several, starts, strict=True)]),
            np.concatenate([places.row for places in several]),
        )

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> RowPlaces:
        """Return the places of the rows chosen by a mask (n,) or by indices."""
        return RowPlaces(self.files, self.file[rows], self.row[rows])

    def of(self, row: int) -> str:
        """Name a row: `cells.csv, line 17`, or `row 17` where it came from no file."""
        place, number = self.files[self.file[row]], int(self.row[row])
        return _row_number(number) if place is None else place.of(number)
