"""Names of columns: those that RedDino adds, those that clash with them, or that a format cannot hold.

A column of the user is never replaced without a word: where its name is needed for something else, it is
refused where tables of cells are made (`require_free`), and written under another name after (`renamed`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Sequence

import pyarrow as pa

from reddino.foundations.errors import RedDinoError

log = logging.getLogger(__name__)

#: Whether the border of its picture cuts a cell; the one of these that a manifest may have, see
#: `reddino.rbc.found_cells.given_at_border`.
AT_BORDER = "at_border"
#: Micrometres of a pixel of a picture.
UM_PER_PX = "um_per_px"
#: Of the regions of a slide: their number in reading order, and where they lie in it, in pixels.
REGION, REGION_X, REGION_Y = "region", "region_x", "region_y"
#: Of a cell of a slide: its centre in pixels of the slide, and the area of the monolayer (1: the best).
LEVEL0_X, LEVEL0_Y, MONOLAYER = "level0_x", "level0_y", "monolayer"
#: What a view shows, and how probable it is.
KIND, KIND_PROBABILITY = "kind", "kind_probability"
#: What a classifier predicts, and before the names of its classes.
PREDICTED, PROBABILITY, PREFIX = "predicted", "probability", "p_"
#: Before the name of a column that holds what was before an adjustment.
UNADJUSTED = "unadjusted_"
#: How far a cell is from those that were learned from, and whether it has an answer and counts.
NOVELTY, ABSTAINED, COUNTED = "novelty", "abstained", "counted"

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


def require_free(names: Collection[str], taken: Collection[str], whose: str) -> None:
    """Refuse a manifest with a column whose name is needed for something else.

    Args:
        names: of the manifest's columns.
        taken: names that are needed.
        whose: what needs them, such as "an embedding table".

    Raises:
        RedDinoError: names the column.
    """
    clashing = sorted(set(names) & set(taken))
    if clashing:
        raise RedDinoError(f"the manifest has a column '{clashing[0]}', which {whose} uses itself: rename it")


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
