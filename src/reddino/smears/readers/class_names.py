"""The class names of a YOLO collection, read as text, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import decode, read_bytes, read_yaml
from reddino.smears.readers.rows import Rows, find_files

Names = Mapping[int, str]
_LIMIT = 1 << 20
_LISTS = ("classes.txt", "obj.names")


@dataclass(frozen=True)
class _Listed:
    """Names by class number, and the file that lists them."""

    file: Path
    names: Names


def class_names(folder: Path, rows: Rows) -> Names:
    """Return the names by class number; empty where nothing lists them.

    They stand in YAML files with `names`, and in `classes.txt` and `obj.names`, which programs also write
    next to the pictures or labels of each folder.

    Raises:
        RedDinoError: a file is malformed, or two of them list other names: which are right?
    """
    found = [_of_yaml(file, rows) for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])]
    lists = [file for file in find_files(folder, (".txt", ".names")) if file.name.lower() in _LISTS]
    found += [_of_lines(file) for file in lists]
    listed = [one for one in found if one is not None and one.names]
    for other in listed[1:]:
        if other.names != listed[0].names:
            raise RedDinoError(
                f"{listed[0].file} and {other.file} list other class names ({_shown(listed[0].names)}; "
                f"{_shown(other.names)}); remove one, or give the names"
            )
    names = listed[0].names if listed else {}
    note_repeated(names, listed[0].file.name if listed else "", rows)
    return names


def given_names(names: Sequence[str], rows: Rows) -> Names:
    """Return the names that the user gave in the order of their numbers."""
    found = dict(enumerate(names))
    note_repeated(found, "names", rows)
    return found


def note_repeated(names: Names, first: str, rows: Rows) -> None:
    """Count names that several class numbers have: their cells become one class."""
    seen: dict[str, int] = {}
    for index, name in names.items():
        if name in seen:
            meaning = "several class numbers have one name, and their cells become one class"
            rows.note("class names given twice", meaning, f"{first}: '{name}' is {seen[name]} and {index}")
        seen.setdefault(name, index)


def _of_lines(file: Path) -> _Listed:
    """Return one name per line; blank lines are allowed after the last."""
    data = read_bytes(file, _LIMIT)
    lines = [line.strip() for line in decode(data, str(file)).rstrip().splitlines()] if data.strip() else []
    if "" in lines:
        raise RedDinoError(
            f"{file}, line {lines.index('') + 1}: is blank, so that the number of the next class is not "
            "clear; remove the line or name the class"
        )
    return _Listed(file, dict(enumerate(lines)))


def _of_yaml(file: Path, rows: Rows) -> _Listed | None:
    """Return the `names` of a data set description: a list, or a mapping from class number to name."""
    content = read_yaml(file, top=None, as_text=True)
    if not isinstance(content, dict) or content.get("names") is None:
        return None
    names = {index: _text(file, name) for index, name in _numbered(file, content["names"])}
    count = content.get("nc")
    if count is not None and count != str(len(names)):
        meaning = "the number of classes and the names contradict each other; check which is right"
        rows.note(
            "number of classes", meaning, f"{file.name}: nc is {str(count)[:20]}, names has {len(names)}"
        )
    return _Listed(file, names)


def _numbered(file: Path, names: Any) -> list[tuple[int, Any]]:
    if isinstance(names, list):
        return list(enumerate(names))
    if not isinstance(names, dict):
        raise RedDinoError(f"{file}: 'names' must be a list, or a mapping from class number to name")
    try:
        return sorted((int(str(key)), name) for key, name in names.items() if _decimal(key))
    except ValueError as error:
        raise RedDinoError(f"{file}: the keys of 'names' must be class numbers, not '{error}'") from None


def _decimal(key: Any) -> bool:
    if not (isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 7):
        raise ValueError(str(key)[:40])
    return True


def _text(file: Path, name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        shown = "empty" if name is None or name == "" else f"a {type(name).__name__}"
        raise RedDinoError(f"{file}: a class name is {shown}; every name must be text")
    return name.strip()


def _shown(names: Names) -> str:
    shown = [f"{index} {name}" for index, name in list(names.items())[:3]]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")
