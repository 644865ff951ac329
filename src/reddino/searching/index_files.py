"""The files of an index: where they lie, what they hold, and whether they are of the table as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from reddino.embedding.choices import StoredType
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit, read_json

#: The folder in a table; readers of Parquet folders pass over names with an underscore before them.
FOLDER = "_index"
#: What it holds; the description is written last.
LISTS_FILE, VECTORS_FILE, ABOUT_FILE = "lists.faiss", "vectors.raw", "index.json"
FORMAT = 1

#: Vectors that are read from disk at once.
ROWS = 32_768

Stored = npt.NDArray[np.floating[Any]]
Count = Annotated[int, Field(ge=1, lt=1 << 48)]


class IndexNotes(BaseModel):
    """What an index records of itself.

    Attributes:
        format: of the files.
        table: fingerprint of the table that it was made of.
        rows, dim, dtype: of the table.
        kind: of the index, as faiss names it.
        lists: into which the vectors are parted.
        probed: lists that are searched for a query.
        shortlist: vectors that are compared exactly, for each hit.
        sample: rows that it learned its lists and codes from.
        seed: of that sample, and of the queries.
        queries: rows that its recall was measured with.
        recall: fraction of the 20 exact neighbours of those that it finds.
        seconds: that it took to build.
        provenance: command, version, and faiss's version.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, frozen=True)

    format: int
    table: str
    rows: Count
    dim: Count
    dtype: StoredType
    kind: str
    lists: Count
    probed: Count
    shortlist: Count
    sample: Count
    seed: int
    queries: Count
    recall: Annotated[float, Field(ge=0, le=1)]
    seconds: float
    provenance: dict[str, Any] = {}


def index_folder(table: TableOnDisk, given: str | Path | None) -> Path:
    """Return where the index of a table lies: in its folder, if no other place is given."""
    return table.folder / FOLDER if given is None else Path(given)


def read_notes(folder: Path) -> IndexNotes | None:
    """Return what an index records of itself; None where there is none, or one of another version.

    Raises:
        RedDinoError: its description is damaged, or the folder holds something else.
    """
    path = folder / ABOUT_FILE
    if not path.is_file():
        if folder.is_dir() and any(name.suffix != ".partial" for name in folder.iterdir()):
            raise RedDinoError(f"'{folder}' is a folder without an index: give another one, or a new name")
        return None
    notes = fit(IndexNotes, read_json(path), str(path))
    return notes if notes.format == FORMAT else None


def is_of(notes: IndexNotes, table: TableOnDisk) -> bool:
    """Return whether an index is of a table as it is now."""
    return notes.table == table.fingerprint() and notes.rows == len(table)


@dataclass(frozen=True)
class StoredVectors:
    """Vectors (rows, dim) in a file, one after the other.

    Attributes:
        path: of the file.
        rows, dim, dtype: of the vectors.
    """

    path: Path
    rows: int
    dim: int
    dtype: str

    def __len__(self) -> int:
        return self.rows

    def blocks(self) -> Iterator[tuple[int, Stored]]:
        """Yield all vectors in blocks, each with the number of its first row.

        They are read and not mapped: pages of a map count as memory of this process.
        """
        size = np.dtype(self.dtype).itemsize * self.dim
        for start in range(0, self.rows, ROWS):
            count = min(ROWS, self.rows - start)
            read: Stored = np.fromfile(self.path, self.dtype, count * self.dim, offset=start * size)
            yield start, read.reshape(count, self.dim)

    def take(self, rows: npt.NDArray[np.int64]) -> Stored:
        """Return the vectors (n, dim) of few rows (n,), which alone are read."""
        found: Stored = np.empty((len(rows), self.dim), self.dtype)
        with self.path.open("rb", buffering=0) as file:
            for place, row in enumerate(rows.tolist()):
                file.seek(row * self.dim * found.itemsize)
                file.readinto(found[place].data)
        return found


def open_vectors(folder: Path, notes: IndexNotes) -> StoredVectors:
    """Open the vectors of an index.

    Raises:
        RedDinoError: the file has another size than they take.
    """
    path = folder / VECTORS_FILE
    size = np.dtype(notes.dtype).itemsize
    if not path.is_file() or path.stat().st_size != notes.rows * notes.dim * size:
        raise RedDinoError(f"'{path}' is damaged: delete '{folder}', and the same command builds it again")
    return StoredVectors(path, notes.rows, notes.dim, notes.dtype)
