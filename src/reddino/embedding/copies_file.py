"""The list next to a table's parts of images that are copies of one another: written and read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from reddino.embedding.side_files import find_side_file, write_side_file
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.anywhere import is_file
from reddino.foundations.structured import read_json

COPIES_FILE = "copies.json"


def read_copies(table: Path) -> dict[str, str] | None:
    """Return the first image of its set of copies, by path; images without a copy are absent.

    Returns:
        None where the table has no list.

    Raises:
        RedDinoError: the list is damaged.
    """
    found = read_copies_file(table)
    if not found:
        return None
    sets = found.get("copies")
    if not isinstance(sets, list) or not all(_is_set(paths) for paths in sets):
        raise RedDinoError(
            f"{find_side_file(table, COPIES_FILE)} is not a list of copies: delete it and embed again"
        )
    return first_of_copies(sets)


def first_of_copies(sets: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return the first path of its set, by path of each copy."""
    return {path: paths[0] for paths in sets for path in paths}


def read_copies_file(table: Path) -> Mapping[str, object]:
    """Return everything that the file holds; empty without a file."""
    path = find_side_file(table, COPIES_FILE)
    noted: Mapping[str, object] = read_json(path) if is_file(path) else {}
    return noted


def write_copies_file(table: Path, content: Mapping[str, object]) -> None:
    """Write the file next to the table's parts."""
    write_side_file(table, COPIES_FILE, json.dumps(content, indent=1) + "\n")


def _is_set(paths: object) -> bool:
    return isinstance(paths, list) and len(paths) > 1 and all(isinstance(path, str) for path in paths)
