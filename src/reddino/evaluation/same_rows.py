"""Tables that are compared row by row have the same cells in the same rows, and the same labels."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import numpy as np

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.errors import RedDinoError

#: What names a cell, as texts and as numbers.
_TEXTS, _NUMBERS = ("source", "path"), ("x", "y")


def require_same_rows(tables: Mapping[str, Embeddings], label: str) -> None:
    """Refuse tables of which a row is of another cell, or has another label, than in the first.

    Args:
        tables: by name; all of their rows, or the same ones of each.
        label: column of the classes.

    Raises:
        RedDinoError: names the first such row and both tables.
    """
    (first, one), *others = tables.items()
    for name, other in others:
        cannot = f"the embedding tables '{first}' and '{name}' cannot be compared"
        if len(one) != len(other):
            raise RedDinoError(
                f"{cannot}, they have {len(one):,} and {len(other):,} rows: embed one manifest"
            )
        row = _first_other(one, other, _TEXTS, _NUMBERS)
        if row is not None:
            cells = [f"a cell of '{table.strings('path')[row]}'" for table in (one, other)]
            raise RedDinoError(
                f"{cannot}, their rows are not of the same cells: one is {cells[0]} in the first and "
                f"{cells[1]} in the second; embed one manifest"
            )
        row = _first_other(one, other, (label,), ())
        if row is not None:
            labels = [table.strings(label)[row] or "none" for table in (one, other)]
            raise RedDinoError(
                f"{cannot}, they have other labels: '{one.strings('path')[row]}' has '{labels[0]}' in the "
                f"first and '{labels[1]}' in the second; give both the same (`reddino labels --add`)"
            )


def require_same_labels(tables: Mapping[str, TableOnDisk], label: str) -> None:
    """Refuse tables on disk with other labels in any row, of which rows are drawn by those of one table.

    Raises:
        RedDinoError: names both tables, or the table without such a column.
    """
    if len(tables) < 2:
        return
    (first, one), *others = [(name, _labels_of(table, label)) for name, table in tables.items()]
    for name, other in others:
        if one != other:
            raise RedDinoError(
                f"the embedding tables '{first}' and '{name}' cannot be compared, they have other labels, or "
                "their rows in another order; embed one manifest, or give both the same labels (`reddino "
                "labels --add`)"
            )


def _labels_of(table: TableOnDisk, label: str) -> str:
    """Return a hash of the labels of all rows."""
    table.require_columns([label])
    digest = sha256()
    for block in table.blocks([label]):
        values = block.columns.column(label).to_pylist()
        digest.update("".join(f"{value or ''}\0" for value in values).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _first_other(
    one: Embeddings, other: Embeddings, texts: tuple[str, ...], numbers: tuple[str, ...]
) -> int | None:
    """Return the first row in which a column that both have differs; None where they agree."""
    shared = set(one.table.column_names) & set(other.table.column_names)
    for name in texts:
        if name in shared and one.strings(name) != other.strings(name):
            pairs = zip(one.strings(name), other.strings(name), strict=True)
            return next(row for row, (mine, its) in enumerate(pairs) if mine != its)
    for name in numbers:
        if name in shared:
            mine, its = one.numbers(name), other.numbers(name)
            odd = np.flatnonzero(~((mine == its) | (np.isnan(mine) & np.isnan(its))))
            if len(odd):
                return int(odd[0])
    return None
