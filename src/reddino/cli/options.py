"""Options of several commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cyclopts import Parameter

from reddino.foundations.errors import RedDinoError
from reddino.smears.choices import IDENTITIES

#: An option that may be given without a value, which then is an empty list.
WithOrWithout = Parameter(consume_multiple=(0, 1), negative_iterable="", show_default=False)
Several = Parameter(consume_multiple=True, negative_iterable="", show_default=False)


def joined_sources(given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that --join-sources names: none where it is not given, all where it names none."""
    return () if given is None else tuple(given) or IDENTITIES


def new_labels(
    entries: Sequence[str], option: str = "--map", instead: str = "use --drop to leave a label out"
) -> dict[str, str]:
    """Return the new label by the old one, of the entries of an option such as --map, old=new."""
    found: dict[str, str] = {}
    for entry in entries:
        old, equals, new = entry.partition("=")
        if not (old and equals and new):
            raise RedDinoError(f"{option} takes old=new, not '{entry}'; {instead}")
        if found.setdefault(old, new) != new:
            raise RedDinoError(f"{option} renames '{old}' to '{found[old]}' and '{new}': leave one out")
    return found


def priors_given(entries: Sequence[str]) -> dict[str, float] | str | None:
    """Return what --priors names: a number by class, or a file; None where it is not given."""
    if not entries:
        return None
    if len(entries) == 1 and Path(entries[0]).is_file():
        return entries[0]
    given: dict[str, float] = {}
    for entry in entries:
        name, equals, number = entry.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = None
        if not (name and equals) or value is None:
            raise RedDinoError(f"--priors takes class=number for each class, or a file, not '{entry}'")
        if name in given:
            raise RedDinoError(f"--priors names '{name}' twice: leave one out")
        given[name] = value
    return given


def ray_given(entries: Sequence[str] | None) -> bool | str:
    """Return what --ray names: an address, True for a cluster to be started, False where it is not given."""
    return False if entries is None else (entries[0] if entries else True)


def place_given(text: str, option: str = "--at") -> tuple[float, float]:
    """Return the place that an option such as --at names: X,Y in pixels."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise RedDinoError(f"{option} takes X,Y in pixels, such as 120,85, not '{text}'") from error
    return x, y
