"""What a stage found: a JSON file that is whole at any moment, and model files small enough to come back."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

#: Bytes of a file and number of files that any place should give back.
LARGEST_FILE, MOST_PARTS = 15 << 20, 4


class Record:
    """A stage's JSON file; it goes on from what an earlier process of the stage wrote."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.path = folder / f"{stage}.json"
        self.content: dict[str, Any] = read_json(self.path) or {"stage": stage}

    def update(self, **content: Any) -> None:
        """Add to the file, which is replaced as a whole."""
        self.content |= content
        replace_file(self.path, (json.dumps(self.content, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file; None where there is none that can be read."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that at any moment either the old or the new one is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(content)
    draft.replace(path)


def save_parts(files: list[Path], folder: Path, name: str) -> list[str]:
    """Files as `<name>.tar.0`, `.1`, ...: `cat <name>.tar.* | tar x` makes them again. Returns their names.

    Raises:
        ValueError: they are too large for all parts together.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file in files:
            tar.add(file, file.name)
    content = packed.getbuffer()
    if len(content) > LARGEST_FILE * MOST_PARTS:
        raise ValueError(f"{len(content)} bytes are more than {MOST_PARTS} parts of {LARGEST_FILE}")
    names = []
    for number, start in enumerate(range(0, len(content), LARGEST_FILE)):
        names.append(f"{name}.tar.{number}")
        replace_file(folder / names[-1], bytes(content[start : start + LARGEST_FILE]))
    return names
