"""Join the small parts of a table: the same rows in fewer files, which a pass continues as before."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from reddino.embedding.copies_file import COPIES_FILE
from reddino.embedding.growth import PICTURES_FILE
from reddino.embedding.part_files import finished_parts, read_part
from reddino.embedding.reshaping.reshaped import Reshaped
from reddino.embedding.reshaping.writing import joined, pieces_of, require_own_parts, write_parts
from reddino.embedding.seen_file import SEEN_FILE
from reddino.embedding.side_files import find_side_file, side_path
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.atomic import atomic_path
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import provenance
from reddino.foundations.stores.anywhere import is_file, read_file
from reddino.smears.failures import FAILURES_FILE

#: Files next to the parts that are of the same rows.
CARRIED = (PICTURES_FILE, COPIES_FILE, SEEN_FILE, "domain.json")


def compact(table: TableOnDisk, out: Path, *, part_rows: int) -> Reshaped:
    """Write the rows of a table in parts of about `part_rows` rows; memory holds a row group.

    Nothing else of the table changes: it grows as before, and a review of it continues with its rows.
    """
    origin = provenance(data=str(table.meta["data"]), model=str(table.meta["weights_hash"]))
    made = {"command": origin["command"], "version": origin["version"], "input": table.fingerprint()}
    parts = list(joined(pieces_of(table), part_rows))
    _require_own(out, table, made["input"])
    for name in CARRIED:
        _copy(find_side_file(table.folder, name), side_path(out, name))
    _copy(table.folder / FAILURES_FILE, out / FAILURES_FILE)
    rows = 0
    # Parts of before the table grew are marked, and are written first, as they were.
    for _, some in groupby(parts, key=lambda pieces: table.metas[pieces[0].part]):
        group = list(some)
        # A writer of before the table grew takes the parts of after for another table's.
        if {pieces[0].start for pieces in group} <= finished_parts(out).keys():
            rows += sum(piece.rows for pieces in group for piece in pieces)
            continue
        meta = {**table.metas[group[0][0].part], "compacted": made}
        rows += write_parts(out, meta, table.schema, group, len(table))
    return Reshaped(out, rows, len(table), parts=len(parts))


def _require_own(out: Path, table: TableOnDisk, fingerprint: str) -> None:
    require_own_parts(out, table.meta)
    for path in finished_parts(out).values():
        if read_part(path)[0].get("compacted", {}).get("input") != fingerprint:
            raise RedDinoError(
                f"'{out}' holds parts that are of no compacted '{table.folder}': choose another folder"
            )


def _copy(path: Path, to: Path) -> None:
    if is_file(path):
        with atomic_path(to) as partial:
            partial.write_bytes(read_file(path))
