"""The colours of the squares that the tests of figures draw."""

from __future__ import annotations


def colour_of(row: int) -> tuple[int, int, int]:
    """The colour of a row's square; far enough apart to survive a JPEG."""
    return 40 + 8 * (row % 24), 230 - 8 * (row % 24), 60 + 150 * (row // 24 % 2)
