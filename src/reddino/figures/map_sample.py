"""The rows of a table that a map is fitted on and shows, where it has too many for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.embedding.table_on_disk import TableOnDisk
from reddino.evaluation.chosen_rows import fits
from reddino.evaluation.sampling import draw_rows, least_rows
from reddino.evaluation.table_columns import TableColumns, read_columns

Indices = npt.NDArray[np.int64]

#: Rows that are shown of a table whose vectors take more memory than is used unasked.
MAP_ROWS = 100_000


@dataclass(frozen=True)
class MapSample:
    """What a map was fitted on.

    Attributes:
        rows: (m,) numbers of rows, sorted.
        of: rows of the table.
        seed: of the draw.
        least: rows of each class of a source that are kept at least, or all there are; 0: these are too many
            to be kept, and all rows were drawn alike.
        columns: of the table.
    """

    rows: Indices
    of: int
    seed: int
    least: int
    columns: TableColumns

    def note(self) -> str:
        """Return the sentence that stands with the figures."""
        kept = (
            f": each class of a source in its proportion, but at least {self.least:,} of it, or all there are"
            if self.least
            else ""
        )
        return (
            f"SAMPLE: {len(self.rows):,} of {self.of:,} views were drawn (--rows; seed {self.seed}){kept}. "
            "The map was fitted on them, and figures, outliers and counts here are of them alone."
        )


def sample_for_map(table: TableOnDisk, label: str, rows: int | None, seed: int) -> MapSample | None:
    """Draw the rows that a map is fitted on; None where it is fitted on all.

    Args:
        table: on disk.
        label: column of the classes.
        rows: at most; None: all whose vectors fit into memory, or MAP_ROWS of more.
        seed: of the draw.

    Raises:
        RedDinoError: the table has no such column.
    """
    if rows is None and fits(len(table), int(table.meta["dim"])):
        return None
    most = MAP_ROWS if rows is None else rows
    if len(table) <= most:
        return None
    columns = read_columns(table, [label])
    strata, least = _strata(columns, label, most)
    # Rows of small classes come from as many pictures as they can.
    pictures = np.unique(columns.combined.strings("path"), return_inverse=True)[1]
    drawn = draw_rows(strata[columns.of_row], pictures[columns.of_row], most, seed)
    return MapSample(drawn, len(table), seed, least, columns)


def _strata(columns: TableColumns, label: str, rows: int) -> tuple[Indices, int]:
    """Return the number (k,) of each combination's class and source, and rows that each keeps."""
    emb = columns.combined
    sources = emb.strings("source") if "source" in emb.table.column_names else [""] * len(emb)
    names = [f"{one}\0{other}" for one, other in zip(sources, emb.strings(label), strict=True)]
    found, numbers = np.unique(np.asarray(names), return_inverse=True)
    if len(found) > rows // 2:
        return np.zeros(len(emb), np.int64), 0
    return numbers.astype(np.int64), least_rows(rows, len(found))
