"""Text files of annotations: the encodings that editors write, and nothing else."""

from __future__ import annotations

from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import decode, read_bytes
from reddino.smears.readers.rows import Rows

#: Of an annotation file of one picture: a line a cell.
_LIMIT = 16 << 20


def read_lines(file: Path) -> list[tuple[int, str]]:
    """Read the lines of a text file that are not blank, with their numbers from 1, stripped at both ends.

    Raises:
        RedDinoError: it cannot be read, is too large, or is not UTF-8 (or UTF-16 with its mark).
    """
    data = read_bytes(file, _LIMIT)
    if not data.strip():
        return []
    lines = decode(data, str(file)).splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def lines_of(file: Path, rows: Rows) -> list[tuple[int, str]]:
    """Read lines as `read_lines` does; a file that cannot be read is reported and has none."""
    try:
        return read_lines(file)
    except RedDinoError as error:
        rows.report(file, f"is left out: {str(error).removeprefix(str(file)).strip()}")
        return []
