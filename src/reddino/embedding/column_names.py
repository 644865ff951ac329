"""Names of columns in files for other programs: those that clash with ours, or that a format cannot hold."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Sequence

import pyarrow as pa

log = logging.getLogger(__name__)

# Control characters end a name early in zip files and HDF5; slashes make folders and groups of it.
_ACTING = re.compile(r"[\x00-\x1f\x7f/\\]")


def written_names(
    names: Sequence[str], taken: Iterable[str], as_held: Callable[[str], str] = str
) -> dict[str, str]:
    """Return the name under which each column is written: its own, unless that is taken or cannot be held.

    Args:
        names: of the columns, all different.
        taken: names that the file needs itself.
        as_held: what becomes of a name in the format.

    Returns:
        Written name by own name; no two are the same, nor one of `taken`. Underscores stand after those that
        would be.
    """
    used = set(taken)
    found = {name: name for name in names if name not in used and as_held(name) == name}
    used |= set(found)
    for name in names:
        if name not in found:
            held = as_held(name)
            while held in used:
                held += "_"
            found[name] = held
            used.add(held)
    return {name: found[name] for name in names}


def holdable(name: str) -> str:
    """Return a name that files in archives and keys of HDF5 can have: no slashes or control characters."""
    held = _ACTING.sub("_", name)
    return held if held.strip(". ") else f"unnamed{held}".replace(".", "_")


def renamed(table: pa.Table, taken: Collection[str], why: str) -> pa.Table:
    """Return the table with other names for the columns whose names are taken, which is logged.

    Args:
        table: of a manifest.
        taken: names that are needed for something else.
        why: what that is.
    """
    names = written_names(table.column_names, taken)
    log_renamed(names, why)
    return table.rename_columns(list(names.values()))


def log_renamed(names: dict[str, str], why: str) -> None:
    """Log which columns are written under another name."""
    changed = [f"'{old}' as '{new}'" for old, new in names.items() if old != new]
    if changed:
        log.warning("columns are written under another name, %s: %s", why, ", ".join(changed))
