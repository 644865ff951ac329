"""The embedding table: a folder of Parquet parts, a row a view, that says which network it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reddino.atomic import atomic_path, remove_partials
from reddino.embed.encoder import Vectors
from reddino.embed.seen import statuses
from reddino.errors import RedDinoError

META_KEY = b"reddino"
PART_KEY = b"reddino_part"
VECTOR_COLUMN = "embedding"
PART_NAME = re.compile(r"part-(\d{6})\.parquet")

# Two tables are comparable when these agree; a pass goes on in a folder only when the second list agrees too.
COMPARED = ("weights_hash", "pooling", "view", "preprocessing")
CONTINUED = (*COMPARED, "runtime", "precision", "data", "plan", "dim", "dtype", "part_rows")
SPOKEN = {
    "weights_hash": "the model's weights",
    "runtime": "the runtime",
    "precision": "the arithmetic precision",
    "data": "the manifest",
    "plan": "the places of the views (manifest, image sizes or cell diameters)",
    "dim": "the length of the vectors",
    "dtype": "the number type",
    "part_rows": "the rows a part",
}


@dataclass(frozen=True)
class Embeddings:
    """An embedding table in memory.

    Attributes:
        vectors: (n, d) float32.
        table: the n rows' other columns: the manifest's, and view_x, view_y (centre), view_side in pixels.
        meta: model, weights_hash, pooling, view, preprocessing, data, provenance; seen: source -> whether the
            model saw it in pretraining (seen, unseen, unknown).
    """

    vectors: Vectors
    table: pa.Table
    meta: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != self.table.num_rows:
            raise ValueError(f"{self.vectors.shape} vectors do not fit {self.table.num_rows} rows")

    def __len__(self) -> int:
        return len(self.vectors)

    def strings(self, column: str) -> list[str]:
        """Values of a column as text, "" where missing."""
        return ["" if value is None else str(value) for value in self._column(column).to_pylist()]

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """Values (n,) of a column as float64, NaN where missing."""
        values = self._column(column).cast(pa.float64()).to_pylist()
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def select(self, mask: npt.ArrayLike) -> Embeddings:
        """The rows of a boolean mask (n,), or of an array of row numbers."""
        rows = np.asarray(mask)
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
        return Embeddings(self.vectors[rows], self.table.take(rows), self.meta)

    def _column(self, name: str) -> pa.ChunkedArray[Any]:
        if name not in self.table.column_names:
            have = ", ".join(self.table.column_names)
            raise RedDinoError(f"The embedding table has no column '{name}'; it has: {have}.")
        return self.table.column(name)


@dataclass(frozen=True)
class PartRecord:
    """What a finished part says of the views it was to hold.

    Attributes:
        rows: rows it holds.
        failures: (path, reason) of the images that could not be read.
    """

    rows: int
    failures: tuple[tuple[str, str], ...]


class TableWriter:
    """Writes the parts of one table; each appears whole.

    Parts may be finished in any order, so that a pass that died goes on where it was.

    Attributes:
        finished: the parts that are there, by number.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        """Open `folder` for a table that `meta` describes.

        Raises:
            RedDinoError: the folder holds parts of another table; says which key differs.
        """
        self.folder = folder
        self.meta = dict(meta)
        folder.mkdir(parents=True, exist_ok=True)
        remove_partials(folder)
        self.finished = finished_parts(folder)
        if self.finished:
            _refuse_other_table(folder, read_meta(folder), self.meta)

    def write(
        self, part: int, columns: pa.Table, vectors: Vectors, failures: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Write part number `part`: the rows' columns, their vectors (n, d), and the images that failed."""
        numbers = pa.array(vectors.astype(self.meta["dtype"], copy=False).reshape(-1))
        embedding = pa.FixedSizeListArray.from_arrays(numbers, int(self.meta["dim"]))
        table = columns.append_column(VECTOR_COLUMN, embedding)
        notes = {
            META_KEY: json.dumps(self.meta).encode(),
            PART_KEY: json.dumps({"failures": [list(failure) for failure in failures]}).encode(),
        }
        path = part_path(self.folder, part)
        with atomic_path(path) as partial:
            pq.write_table(table.replace_schema_metadata(notes), partial, compression="zstd")
        self.finished[part] = path


def part_path(folder: Path, part: int) -> Path:
    """Where part number `part` of a table stands."""
    return folder / f"part-{part:06d}.parquet"


def finished_parts(folder: Path) -> dict[int, Path]:
    """The parts that are there, by number, in order."""
    named = ((PART_NAME.fullmatch(path.name), path) for path in folder.glob("part-*.parquet"))
    return dict(sorted((int(match[1]), path) for match, path in named if match))


def read_meta(folder: Path) -> dict[str, Any]:
    """The metadata that the parts of a table share, read from its first part."""
    parts = finished_parts(folder)
    if not parts:
        raise RedDinoError(
            f"No embedding table at '{folder}': it holds no part-*.parquet; run `reddino embed` first."
        )
    path = next(iter(parts.values()))
    notes = _schema(path).metadata or {}
    if META_KEY not in notes:
        raise RedDinoError(
            f"'{path}' is Parquet, but not a part of an embedding table: it lacks the reddino metadata."
        )
    return dict(json.loads(notes[META_KEY]))


def read_part_record(path: Path) -> PartRecord:
    """How many rows a finished part holds and which images failed in it."""
    schema = _schema(path)
    notes = json.loads((schema.metadata or {}).get(PART_KEY, b"{}"))
    failures = tuple((str(image), str(reason)) for image, reason in notes.get("failures", []))
    return PartRecord(pq.read_metadata(path).num_rows, failures)


def read_embeddings(path: str | Path, *, partial: bool = False) -> Embeddings:
    """Read an embedding table.

    Args:
        path: the folder of its parts.
        partial: accept a table whose pass has not finished.

    Raises:
        RedDinoError: no table there, or it is unfinished.
    """
    folder = Path(path)
    meta = read_meta(folder)
    parts = finished_parts(folder)
    expected = meta.get("parts")
    if not partial and expected is not None and len(parts) < expected:
        raise RedDinoError(
            f"The embedding table '{folder}' holds {len(parts)} of {expected} parts: "
            "run the same embed command again to finish it."
        )
    rows = [pq.read_metadata(part).num_rows for part in parts.values()]
    vectors = np.empty((sum(rows), int(meta["dim"])), dtype=np.float32)
    columns: list[pa.Table] = []
    start = 0
    for part, count in zip(parts.values(), rows, strict=True):
        table = pq.read_table(part)
        vectors[start : start + count] = _vectors(table, vectors.shape[1])
        columns.append(table.drop_columns([VECTOR_COLUMN]).replace_schema_metadata(None))
        start += count
    meta["seen"] = statuses(folder)
    return Embeddings(vectors, pa.concat_tables(columns, promote_options="permissive"), meta)


def require_comparable(a: Embeddings, b: Embeddings) -> None:
    """Refuse to compare vectors of two tables that differ in weights, pooling, view or preprocessing.

    Raises:
        RedDinoError: names each key that differs, with both values.
    """
    differing = _differences(a.meta, b.meta, COMPARED)
    if differing:
        raise RedDinoError(
            f"The embedding tables are not comparable, they differ in {differing}: embed both the same way."
        )


def require_same_views(tables: Mapping[str, Embeddings]) -> None:
    """Refuse to set tables side by side that are not of the same cells, cut the same way.

    Networks may differ, and with them the size in pixels at which they see the views.

    Args:
        tables: by the name that errors call them.

    Raises:
        RedDinoError: names two tables that differ, and in what.
    """
    first, *others = tables
    wanted = _views_of(tables[first])
    for name in others:
        differing = _differences(wanted, _views_of(tables[name]), ("data", "view", "plan"))
        if differing:
            raise RedDinoError(
                f"The embedding tables '{first}' and '{name}' cannot be set side by side, they differ in "
                f"{differing}: embed the same manifest with the same views."
            )


def _views_of(table: Embeddings) -> dict[str, Any]:
    view = {key: value for key, value in table.meta["view"].items() if key != "output"}
    return {"data": table.meta["data"], "view": view, "plan": table.meta["plan"]}


def _refuse_other_table(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = _differences(found, wanted, CONTINUED)
    if differing:
        raise RedDinoError(
            f"'{folder}' holds the parts of another embedding table, which differs in {differing}; "
            "choose another folder or delete it."
        )


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Which keys differ and how, in words; "" when none does."""
    # JSON turns tuples into lists; compare what a file would hold.
    left, right = json.loads(json.dumps(dict(a))), json.loads(json.dumps(dict(b)))
    return ", ".join(
        f"{SPOKEN.get(key, 'the ' + key)} ({left.get(key)!r} against {right.get(key)!r})"
        for key in keys
        if left.get(key) != right.get(key)
    )


def _vectors(table: pa.Table, dim: int) -> npt.NDArray[np.floating[Any]]:
    """The vectors (n, d) of a part."""
    numbers = pc.list_flatten(table.column(VECTOR_COLUMN))
    flat: npt.NDArray[np.floating[Any]] = numbers.to_numpy()
    return flat.reshape(table.num_rows, dim)


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise RedDinoError(
            f"'{path}' is not readable as Parquet ({error}); delete it and embed again."
        ) from error
