"""The samples of one source are read one way in all tables that become one."""

from __future__ import annotations

from collections.abc import Sequence

from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest_columns import LEVEL_COLUMNS

_DEPTH = "bit_depth"


def require_one_reading(tables: Sequence[TableOnDisk]) -> None:
    """Refuse tables in which the pictures of a source have other bit depths or windows.

    Raises:
        RedDinoError: names the source, both readings and both tables.
    """
    known: dict[str, tuple[str, TableOnDisk]] = {}
    for table in tables:
        for source, reading in sorted(_readings(table)):
            before, where = known.setdefault(source, (reading, table))
            if before != reading:
                raise RedDinoError(
                    f"'{where.folder}' and '{table.folder}' cannot become one table, the samples of source "
                    f"'{source}' were read by {before} and by {reading}: embed both from one manifest"
                )


def _readings(table: TableOnDisk) -> set[tuple[str, str]]:
    """Return each source with how its pictures of more than 8 bits were read."""
    names = [name for name in (_DEPTH, *LEVEL_COLUMNS) if name in table.schema.names]
    if not names or "source" not in table.schema.names:
        return set()
    found: set[tuple[str, str]] = set()
    for block in table.blocks(["source", *names]):
        for row in block.columns.group_by(["source", *names]).aggregate([]).to_pylist():
            depth, black, white = (row.get(name) for name in (_DEPTH, *LEVEL_COLUMNS))
            if black is not None and white is not None:
                found.add((row["source"] or "", f"the window {black:g} to {white:g}"))
            elif depth is not None:
                found.add((row["source"] or "", f"{depth:g} bits"))
    return found
