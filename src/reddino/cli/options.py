"""Options that several commands share."""

from __future__ import annotations

from typing import Literal

from cyclopts import Parameter

Unit = Literal["diameters", "px"]
Several = Parameter(consume_multiple=True, negative_iterable="", show_default=False)


def pair(entry: str) -> tuple[str, str]:
    from reddino.errors import RedDinoError

    old, equals, new = entry.partition("=")
    if not (old and equals and new):
        raise RedDinoError(f"--map takes old=new, not '{entry}'; use --drop to leave a label out")
    return old, new
