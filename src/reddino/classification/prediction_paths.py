"""Where predictions are written: the file of the cells, and the counts of the slides next to it."""

from __future__ import annotations

from pathlib import Path

from reddino.foundations.errors import RedDinoError

SUFFIXES = (".parquet", ".csv")


def counts_path(path: Path) -> Path:
    """Return the file of the slides' counts, next to the file of the cells."""
    return path.with_name(f"{path.stem}.slides{path.suffix}")


def domain_path(path: Path) -> Path:
    """Return the picture of training cells with those of each source, next to the file of the cells."""
    return path.with_name(f"{path.stem}.domain.png")


def require_known_suffix(path: Path) -> None:
    """Refuse a file that is neither Parquet nor CSV.

    Raises:
        RedDinoError: it has another suffix.
    """
    if path.suffix not in SUFFIXES:
        raise RedDinoError(f"{path}: predictions are written as .parquet or .csv")
