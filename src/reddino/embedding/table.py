"""The embedding table: a folder of Parquet parts, a row a view, that says which network it came from."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reddino.embedding.copies import read_copies
from reddino.embedding.encoder import Vectors
from reddino.embedding.finite import require_finite
from reddino.embedding.seen import statuses
from reddino.embedding.table_meta import read_part_notes, read_table_meta
from reddino.foundations.errors import RedDinoError
from reddino.foundations.parquet import open_parquet, reading_parquet, require_size
from reddino.foundations.provenance import hash_bytes
from reddino.smears.contents import what_changed
from reddino.smears.spelling import clean

if TYPE_CHECKING:
    from reddino.smears.hashes import Hashes
    from reddino.smears.manifest import Manifest

META_KEY = b"reddino"
PART_KEY = b"reddino_part"
CHECKSUM_KEY = b"reddino_part_checksum"
#: What helps where a part is damaged.
MEND = "delete it and embed again: the same embed command makes it anew"
VECTOR_COLUMN = "embedding"
PART_NAME = re.compile(r"part-(\d{6,9})\.parquet")

# Two tables are comparable when these agree; a pass goes on in a folder only when the second list agrees too.
# Precision and runtime move vectors a little: between tables that is for the person to weigh, within one they
# are not mixed.
COMPARED = ("weights_hash", "pooling", "per", "view", "preprocessing")
CONTINUED = (*COMPARED, "precision", "runtime", "data", "plan", "dim", "dtype", "part_rows")
SPOKEN = {
    "weights_hash": "the model's weights",
    "per": "what a row is",
    "runtime": "the runtime",
    "precision": "the arithmetic precision",
    "data": "the images (their number or sizes) or their manifest",
    "contents": "the pictures, which were replaced between them",
    "plan": "the cell diameters that views are measured in",
    "dim": "the length of the vectors",
    "dtype": "the number type",
    "part_rows": "the rows a part",
}


@dataclass(frozen=True)
class Embeddings:
    """An embedding table in memory.

    Attributes:
        vectors: (n, d) float32.
        table: the n rows' other columns: the manifest's; view_x, view_y (centre), view_side in pixels; for
            rows that are fields `views`, for tokens `token_row` and `token_col`.
        meta: model, weights_hash, pooling, view, preprocessing, data, provenance; seen: source -> whether the
            model saw it in pretraining (seen, unseen, unknown).
        copies: by path, a name that all pictures have that are the same or nearly; pictures that are there
            once are absent. None where nobody looked.
    """

    vectors: Vectors
    table: pa.Table
    meta: Mapping[str, Any]
    copies: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != self.table.num_rows:
            raise ValueError(f"{self.vectors.shape} vectors do not fit {self.table.num_rows} rows")

    def __len__(self) -> int:
        return len(self.vectors)

    def strings(self, column: str) -> list[str]:
        """Values of a column as text, "" where missing."""
        return ["" if value is None else str(value) for value in self._column(column).to_pylist()]

    def names(self, column: str) -> list[str]:
        """Ids or classes (n,) of any column: tidy, "" where missing or a word for it.

        A further column of a manifest was carried along as it was written.
        """
        values = self.strings(column)
        known = {value: clean(value) for value in set(values)}
        return [known[value] for value in values]

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """Values (n,) of a column as float64, NaN where missing."""
        try:
            values = self._column(column).cast(pa.float64()).to_pylist()
        except pa.ArrowException as error:
            raise RedDinoError(f"column '{column}' of the embedding table does not hold numbers") from error
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def select(self, mask: npt.ArrayLike) -> Embeddings:
        """The rows of a boolean mask (n,), or of an array of row numbers."""
        rows = np.asarray(mask)
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
        return replace(self, vectors=self.vectors[rows], table=self.table.take(rows))

    def manifest(self) -> Manifest:
        """The rows as a manifest, without the places of the views; the folder of the images is not known."""
        from reddino.smears.manifest import Manifest

        own = {VECTOR_COLUMN, "view_x", "view_y", "view_side", "views", "token_row", "token_col"}
        return Manifest(self.table.select([c for c in self.table.column_names if c not in own]), Path())

    def to_anndata(self) -> Any:
        """An `anndata.AnnData`; see `reddino.embedding.convert.to_anndata`."""
        from reddino.embedding.convert import to_anndata

        return to_anndata(self)

    def _column(self, name: str) -> pa.ChunkedArray[Any]:
        if name not in self.table.column_names:
            have = ", ".join(self.table.column_names)
            raise RedDinoError(f"The embedding table has no column '{name}'; it has: {have}.")
        return self.table.column(name)


@dataclass(frozen=True)
class PartRecord:
    """What a finished part says of the images it covers.

    Attributes:
        start: number of its first image, in the order of the manifest.
        stop: number of the image after its last.
        rows: rows it holds.
        views: views that were embedded for them.
        dropped: views that were left out, since they leave their image, by the label of their row.
        failures: (path, reason) of the images that could not be used.
        hashes: sketches of the images that were opened, by their number
            (`reddino.smears.sketches.Sketch.as_hex`); older tables hold the first 32 digits, or none.
        contents: of images that were opened, by number: size, dates of change and digest of the file
            (`reddino.smears.contents.Content`).
        not_finite: views (or fields) that were left out, since their vectors are not finite.
    """

    start: int
    stop: int
    rows: int
    views: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[tuple[str, str], ...] = ()
    hashes: Mapping[int, str] = field(default_factory=dict)
    not_finite: int = 0
    contents: Mapping[int, tuple[int, int, int, str]] = field(default_factory=dict)


def part_path(folder: Path, start: int) -> Path:
    """Where the part of a table stands whose first image is number `start`."""
    return folder / f"part-{start:09d}.parquet"


def is_table(data: object) -> bool:
    """Return whether this names the folder of an embedding table."""
    return isinstance(data, str | Path) and any(Path(data).glob("part-*.parquet"))


def finished_parts(folder: Path) -> dict[int, Path]:
    """The parts that are there, by the number of their first image, in order."""
    named = ((PART_NAME.fullmatch(path.name), path) for path in folder.glob("part-*.parquet"))
    return dict(sorted((int(match[1]), path) for match, path in named if match))


def note_checksum(schema: pa.Schema, record: bytes) -> bytes:
    """8 hex digits over what stands outside of the pages of a part: columns, metadata and record.

    Args:
        schema: of its rows, with the table's metadata.
        record: of the part, as JSON.
    """
    # Of the vectors' type, Parquet does not keep the name of an item; metadata tell their length and type.
    columns = repr(
        [(field.name, "" if field.name == VECTOR_COLUMN else str(field.type)) for field in schema]
    ).encode()
    return b"%08x" % zlib.crc32(columns + (schema.metadata or {}).get(META_KEY, b"") + record)


@contextmanager
def _readable(path: Path) -> Iterator[pq.ParquetFile]:
    """A part to read; what its pages' checksums or pyarrow refuse is said in a sentence."""
    try:
        with open_parquet(path) as file:
            yield file
    except Exception as error:  # on damaged bytes, pyarrow raises errors of many kinds
        reason = " ".join(str(error).split())[:200]
        raise RedDinoError(f"'{path}' is damaged, or not readable as Parquet ({reason}); {MEND}") from error


def read_part(path: Path) -> tuple[dict[str, Any], PartRecord]:
    """What a finished part says of its table, and of the images it covers.

    Raises:
        RedDinoError: it is damaged, or not a part of an embedding table.
    """
    with _readable(path) as file:
        schema, notes, rows = file.schema_arrow, file.metadata.metadata or {}, file.metadata.num_rows
    about = (schema.metadata or {}).get(META_KEY)
    if about is None or PART_KEY not in notes:
        raise RedDinoError(
            f"'{path}' is Parquet, but not a part of an embedding table: it lacks the reddino metadata."
        )
    if notes.get(CHECKSUM_KEY, wanted := note_checksum(schema, notes[PART_KEY])) != wanted:
        raise RedDinoError(f"'{path}' is damaged (its notes do not fit their checksum); {MEND}")
    meta = read_table_meta(about, str(path))
    _require_vectors(schema, meta["dim"], path)
    record = read_part_notes(notes[PART_KEY], str(path))
    if record["rows"] != rows or not record["start"] <= record["stop"]:
        raise RedDinoError(f"'{path}' is damaged ({rows} rows for {record['rows']}); {MEND}")
    hashes = {int(number): digits for number, digits in record["hashes"].items()}
    contents = {int(number): content for number, content in record["contents"].items()}
    kept = {"failures": tuple(record["failures"]), "hashes": hashes, "contents": contents}
    return meta, PartRecord(**{**record, **kept})


def _require_vectors(schema: pa.Schema, dim: int, path: Path) -> None:
    """Refuse a part whose vectors are not as long as it says, and columns that stand there twice."""
    if len(set(schema.names)) < len(schema.names):
        raise RedDinoError(f"'{path}' has two columns of one name; {MEND}")
    kind = schema.field(VECTOR_COLUMN).type if VECTOR_COLUMN in schema.names else None
    if not (
        isinstance(kind, pa.FixedSizeListType)
        and kind.list_size == dim
        and pa.types.is_floating(kind.value_type)
    ):
        raise RedDinoError(f"'{path}' holds no vectors of {dim} numbers; {MEND}")


def read_meta(folder: str | Path) -> dict[str, Any]:
    """What a table, finished or not, says of itself; no vectors are read.

    Raises:
        RedDinoError: no table there, or its first part is damaged.
    """
    parts = finished_parts(Path(folder))
    if not parts:
        raise RedDinoError(
            f"No embedding table at '{folder}': it holds no part-*.parquet; run `reddino embed` first."
        )
    return read_part(next(iter(parts.values())))[0]


def noted_hashes(folder: Path) -> dict[int, Hashes]:
    """The hashes (2,) of images that the parts of a table noted, by number of the image in the manifest."""
    from reddino.smears.hashes import from_hex  # with what decodes images, which no other reader needs

    records = (read_part(part)[1] for part in finished_parts(folder).values())
    return {number: from_hex(digits[:32]) for record in records for number, digits in record.hashes.items()}


def uncovered(folder: Path, records: Iterable[PartRecord], images: int) -> list[tuple[int, int]]:
    """The runs of images, of `images` in all, that no part covers.

    Raises:
        RedDinoError: two parts cover the same image, or one that is not there.
    """
    gaps: list[tuple[int, int]] = []
    end = 0
    for record in sorted(records, key=lambda record: record.start):
        if record.start < end or record.stop > images:
            raise RedDinoError(
                f"'{part_path(folder, record.start)}' covers images {record.start} to {record.stop} of "
                f"{images}, which does not fit the other parts: delete it and embed again."
            )
        if record.start > end:
            gaps.append((end, record.start))
        end = record.stop
    return [*gaps, (end, images)] if end < images else gaps


def read_embeddings(path: str | Path, *, partial: bool = False) -> Embeddings:
    """Read an embedding table.

    Args:
        path: the folder of its parts.
        partial: accept a table whose pass has not finished.

    Raises:
        RedDinoError: no table there, it is unfinished, or vectors of it are not finite.
    """
    folder = Path(path)
    parts = list(finished_parts(folder).values())
    if not parts:
        raise RedDinoError(
            f"No embedding table at '{folder}': it holds no part-*.parquet; run `reddino embed` first."
        )
    described = [read_part(part) for part in parts]
    meta, records = described[0][0], [record for _, record in described]
    for part, (found, _) in zip(parts, described, strict=True):
        refuse_other_table(part, found, meta)
    missing = uncovered(folder, records, int(meta["images"]))
    if missing and not partial:
        left = sum(stop - start for start, stop in missing)
        raise RedDinoError(
            f"The embedding table '{folder}' lacks {left} of {meta['images']} images: "
            "run the same embed command again to finish it."
        )
    vectors = np.empty((sum(record.rows for record in records), int(meta["dim"])), dtype=np.float32)
    columns: list[pa.Table] = []
    start = 0
    for part, record in zip(parts, records, strict=True):
        with _readable(part) as file:
            require_size(file, part)
            table = file.read()
            table.validate(full=True)
            vectors[start : start + record.rows] = _vectors(table, vectors.shape[1])
        columns.append(table.drop_columns([VECTOR_COLUMN]).replace_schema_metadata(None))
        start += record.rows
    meta["dropped"] = _dropped(records)
    meta["contents"] = contents_digest(records)
    meta["seen"] = statuses(folder)
    with reading_parquet(folder, "as one table"):
        table = pa.concat_tables(columns, promote_options="permissive")
    read = Embeddings(vectors, table, meta, read_copies(folder))
    require_finite(read)
    return read


def contents_digest(records: Iterable[PartRecord]) -> str:
    """16 hex digits over the bytes of all pictures that a table is of; "" where its parts noted none."""
    noted = {number: content[3] for record in records for number, content in record.contents.items()}
    return hash_bytes(*(f"{number} {noted[number]} ".encode() for number in sorted(noted))) if noted else ""


def noted_contents(folder: Path) -> str:
    """`contents_digest` of a table on disk."""
    return contents_digest(read_part(part)[1] for part in finished_parts(folder).values())


def _dropped(records: Iterable[PartRecord]) -> dict[str, int]:
    """Views that were left out since they leave their image, by the label of their row."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.dropped)
    return dict(sorted(counts.items()))


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
        found = _views_of(tables[name])
        parts = (_other_data(wanted, found), _differences(wanted, found, ("view", "plan", "per")))
        differing = ", ".join(part for part in parts if part)
        if not differing and wanted["contents"] and found["contents"]:
            differing = _differences(wanted, found, ("contents",))
        if differing:
            raise RedDinoError(
                f"The embedding tables '{first}' and '{name}' cannot be set side by side, they differ in "
                f"{differing}: embed the same manifest with the same views."
            )


def _views_of(table: Embeddings) -> dict[str, Any]:
    view = {key: value for key, value in table.meta["view"].items() if key != "output"}
    per = "token" if table.meta.get("pooling") == "tokens" else table.meta.get("per", "view")
    kept = {key: table.meta.get(key) for key in ("data", "columns", "plan", "contents")}
    return {**kept, "view": view, "per": per}


def refuse_other_table(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on in a folder whose parts were made another way; names each key that differs."""
    keys = [key for key in CONTINUED if key != "data"]
    differing = ", ".join(
        part for part in (_other_data(found, wanted), _differences(found, wanted, keys)) if part
    )
    if differing:
        raise RedDinoError(
            f"'{folder}' holds the parts of another embedding table, which differs in {differing}; "
            "choose another folder or delete it."
        )


def _other_data(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """What differs in the manifests of two tables, in words; "" where they agree."""
    if a.get("data") == b.get("data"):
        return ""
    columns = what_changed(a.get("columns") or {}, b.get("columns") or {}) if a.get("columns") else ""
    return columns or _differences(a, b, ("data",))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Which keys differ and how, in words; "" when none does."""
    # JSON turns tuples into lists; compare what a file would hold.
    left, right = json.loads(json.dumps(dict(a))), json.loads(json.dumps(dict(b)))
    return ", ".join(
        f"{SPOKEN.get(key, 'the ' + key)} "
        f"({in_short(left.get(key), right.get(key))} against {in_short(right.get(key), left.get(key))})"
        for key in keys
        if left.get(key) != right.get(key)
    )


def in_short(value: Any, other: Any) -> str:
    """A value; of a mapping, what differs from the other."""
    if not isinstance(value, Mapping):
        return repr(value)
    other = other if isinstance(other, Mapping) else {}
    keys = [key for key in {**value, **other} if value.get(key, "unset") != other.get(key, "unset")]
    return ", ".join(f"{key} {value.get(key, 'unset')!r}" for key in sorted(keys))


def _vectors(table: pa.Table, dim: int) -> npt.NDArray[np.floating[Any]]:
    """The vectors (n, d) of a part."""
    numbers = pc.list_flatten(table.column(VECTOR_COLUMN))
    flat: npt.NDArray[np.floating[Any]] = numbers.to_numpy()
    return flat.reshape(table.num_rows, dim)
