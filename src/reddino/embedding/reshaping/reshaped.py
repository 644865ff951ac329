"""What became of a table that was made of others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reshaped:
    """A table that was made of others.

    Attributes:
        folder: of the new table.
        rows: that it has.
        of: rows that those had which it was made of.
        doubles: rows of these that were left out, since the same view came before.
        parts: files that it has; 0 where nobody counted.
        groups: whole groups that were drawn; None where rows were.
        shares: of a collection that it holds alone, such as 'shares 1, 2 of 8'; "" of whole ones.
        short: groups that had fewer rows than were wanted of each.
    """

    folder: Path
    rows: int
    of: int
    doubles: int = 0
    parts: int = 0
    groups: int | None = None
    short: int = 0
    shares: str = ""
