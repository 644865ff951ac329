"""The parts of an embedding table on disk: their names, and the notes that each part carries."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reddino.embedding.embeddings import VECTOR_COLUMN
from reddino.embedding.table_meta import read_part_notes, read_table_meta
from reddino.foundations.errors import RedDinoError
from reddino.foundations.parquet import open_parquet
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.stores.anywhere import file_names
from reddino.foundations.stores.objects import each
from reddino.foundations.stores.requests import StoreError
from reddino.foundations.stores.urls import is_url, url_of

META_KEY = b"reddino"
PART_KEY = b"reddino_part"
CHECKSUM_KEY = b"reddino_part_checksum"
#: What helps where a part is damaged.
MEND = "delete it and run the same embed command again"
PART_NAME = re.compile(r"part-(\d{6,9})\.parquet")


@dataclass(frozen=True)
class PartRecord:
    """What a finished part records of the images it covers.

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
        at_border: rows of cells that the border of their image cuts.
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
    at_border: int = 0


def part_path(folder: Path, start: int) -> Path:
    """Return the path of the part of a table whose first image is number `start`."""
    return folder / f"part-{start:09d}.parquet"


def is_table(data: object) -> bool:
    """Return whether this names the folder of an embedding table."""
    if not isinstance(data, str | Path) or (url_of(data) or "").startswith("http"):
        return False
    return any(name.startswith("part-") and name.endswith(".parquet") for name in file_names(Path(data)))


def finished_parts(folder: Path) -> dict[int, Path]:
    """Return the parts on disk or in a store, by the number of their first image, in order."""
    named = ((PART_NAME.fullmatch(name), folder / name) for name in file_names(folder))
    return dict(sorted((int(match[1]), path) for match, path in named if match))


def note_checksum(schema: pa.Schema, record: bytes) -> bytes:
    """Return 8 hex digits over what lies outside the pages of a part: columns, metadata and record.

    Args:
        schema: of its rows, with the table's metadata.
        record: of the part, as JSON.
    """
    # Parquet does not keep the name of an item of the vectors' type; the metadata hold their length and type.
    columns = repr(
        [(field.name, "" if field.name == VECTOR_COLUMN else str(field.type)) for field in schema]
    ).encode()
    return b"%08x" % zlib.crc32(columns + (schema.metadata or {}).get(META_KEY, b"") + record)


@contextmanager
def readable(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a part to read; errors of its pages' checksums or of pyarrow become one error."""
    try:
        with open_parquet(path) as file:
            yield file
    except StoreError:
        raise
    except Exception as error:  # on damaged bytes, pyarrow raises errors of many kinds
        reason = " ".join(str(error).split())[:200]
        raise RedDinoError(f"'{path}' is damaged, or not readable as Parquet ({reason}); {MEND}") from error


def read_part(path: Path) -> tuple[dict[str, Any], PartRecord]:
    """Read the metadata of a finished part's table, and what the part records of its images.

    Raises:
        RedDinoError: it is damaged, or not a part of an embedding table.
    """
    with readable(path) as file:
        schema, notes, rows = file.schema_arrow, file.metadata.metadata or {}, file.metadata.num_rows
    about = (schema.metadata or {}).get(META_KEY)
    if about is None or PART_KEY not in notes:
        raise RedDinoError(
            f"'{path}' is Parquet, but not a part of an embedding table: it lacks the reddino metadata"
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
    """Refuse a part whose vectors have another length than it records, and columns of one name."""
    if len(set(schema.names)) < len(schema.names):
        raise RedDinoError(f"'{path}' has two columns of one name; {MEND}")
    kind = schema.field(VECTOR_COLUMN).type if VECTOR_COLUMN in schema.names else None
    if not (
        isinstance(kind, pa.FixedSizeListType)
        and kind.list_size == dim
        and pa.types.is_floating(kind.value_type)
    ):
        raise RedDinoError(f"'{path}' holds no vectors of {dim} numbers; {MEND}")


def read_parts(paths: Sequence[Path]) -> Iterator[tuple[dict[str, Any], PartRecord]]:
    """Yield `read_part` of each, several at a time where they are in a store."""
    return each(paths, read_part) if paths and is_url(paths[0]) else map(read_part, paths)


def read_meta(folder: str | Path) -> dict[str, Any]:
    """Read the metadata of a table, finished or not, as of its last growth; no vectors are read.

    Raises:
        RedDinoError: no table there, or its first part is damaged.
    """
    parts = finished_parts(Path(folder))
    if not parts:
        raise RedDinoError(
            f"no embedding table at '{folder}': it holds no part-*.parquet; run `reddino embed` first"
        )
    return latest(meta for meta, _ in read_parts(list(parts.values())))


def latest(metas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the metadata of the last growth among those of a table's parts."""
    return max(metas, key=lambda meta: int(meta["images"]))


def uncovered(folder: Path, records: Iterable[PartRecord], images: int) -> list[tuple[int, int]]:
    """Return the runs of images, of `images` in all, that no part covers.

    Raises:
        RedDinoError: two parts cover the same image, or one that is not there.
    """
    gaps: list[tuple[int, int]] = []
    end = 0
    for record in sorted(records, key=lambda record: record.start):
        if record.start < end or record.stop > images:
            raise RedDinoError(
                f"'{part_path(folder, record.start)}' covers images {record.start} to {record.stop} of "
                f"{images}, which does not fit the other parts: delete it and embed again"
            )
        if record.start > end:
            gaps.append((end, record.start))
        end = record.stop
    return [*gaps, (end, images)] if end < images else gaps


def contents_digest(records: Iterable[PartRecord]) -> str:
    """Return 16 hex digits over the bytes of all images of a table; "" where its parts noted none."""
    noted = {number: content[3] for record in records for number, content in record.contents.items()}
    return hash_bytes(*(f"{number} {noted[number]} ".encode() for number in sorted(noted))) if noted else ""


def noted_contents(folder: Path) -> str:
    """Return `contents_digest` of a table on disk."""
    return contents_digest(record for _, record in read_parts(list(finished_parts(folder).values())))
