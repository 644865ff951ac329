"""The file next to a table's parts that records which of its sources the model saw: written and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from reddino.embedding.side_files import find_side_file, write_side_file
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.anywhere import is_file
from reddino.foundations.structured import in_line, read_json

SEEN_FILE = "seen.json"
Status = Literal["seen", "unseen", "unknown"]


def write_seen_file(table: Path, found: dict[str, dict[str, Any]]) -> None:
    """Write a comparison of `note_seen.compare` next to the parts of a table."""
    write_side_file(table, SEEN_FILE, json.dumps(found, indent=1) + "\n")


def read_seen_file(table: Path) -> dict[str, str]:
    """Return seen, unseen or unknown by source; empty where the table has no such file.

    Raises:
        RedDinoError: the file is damaged.
    """
    path = find_side_file(table, SEEN_FILE)
    if not is_file(path):
        return {}
    found = read_json(path)
    for source, entry in found.items():
        if not isinstance(entry, dict) or entry.get("status") not in get_args(Status):
            raise RedDinoError(f"{path}: {in_line(source)}: status is none of {', '.join(get_args(Status))}")
    return {source: entry["status"] for source, entry in found.items()}
