"""Options of several commands."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import Parameter

from reddino.foundations.errors import RedDinoError
from reddino.smears.choices import IDENTITIES

Several = Parameter(consume_multiple=True, negative_iterable="", show_default=False)


def joined_sources(given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that --join-sources names: none where it is not given, all where it names none."""

    return () if given is None else tuple(given) or IDENTITIES


def pair(entry: str) -> tuple[str, str]:
    """Return the old and the new label of an entry of --map, old=new."""
    old, equals, new = entry.partition("=")
    if not (old and equals and new):
        raise RedDinoError(f"--map takes old=new, not '{entry}'; use --drop to leave a label out")
    return old, new
