"""The sides of a split that a collection comes with: by a column, or by folders such as `train`."""

from __future__ import annotations

from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import COLUMNS, READING_COLUMNS
from reddino.smears.manifest_values import Column
from reddino.smears.spelling import clean, name_key

#: What collections call their sides.
_SIDES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
#: Columns that are a split whatever they hold, as `name_key` gives them; others are by what they hold.
_SPLITS = ("split", "subset", "fold", "istest", "istrain")


def side_of(value: str) -> str:
    """Return `train`, `validation` or `test` for any word for it, "" where missing, else the value."""
    plain = clean(value)
    return _SIDES.get(plain.casefold(), plain)


def split_columns(manifest: Manifest) -> list[str]:
    """Return further columns of a manifest that name the side of a split on which a row is."""
    table = manifest.table
    further = [name for name in table.column_names if name not in (*COLUMNS, *READING_COLUMNS)]
    texts = [name for name in further if pa.types.is_string(table.column(name).type)]
    return [name for name in texts if name_key(name) in _SPLITS or _holds_sides(table.column(name))]


def sides_of(manifest: Manifest, column: str) -> list[str]:
    """Return the side of each row (n,) by a column; "" = none."""
    values = manifest.strings(column)
    known = {value: side_of(value) for value in set(values)}
    return [known[value] for value in values]


def side_of_folder(path: str) -> str:
    """Return the side that a folder of the path names, "" where none does."""
    folders = (part.lower() for part in PurePosixPath(path.replace("\\", "/")).parts[:-1])
    return next((_SIDES[folder] for folder in folders if folder in _SIDES), "")


def _holds_sides(column: Column) -> bool:
    """Return whether nothing but sides is in a column, and two of them at least."""
    for some in (column[:100], column):
        found = {side_of(value or "") for value in pc.unique(some).to_pylist()} - {""}
        if not found <= set(_SIDES.values()):
            return False
    return len(found) > 1
