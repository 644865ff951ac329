"""Single entries of COCO files: ids, boxes, sizes and names, whatever stands there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reddino.smears.readers.rows import Rows, number

#: No picture is wider, so that no box can be.
_LARGEST = 1e7
#: From here on a floating-point number may stand for several whole ones.
_LARGEST_FLOAT = 2.0**53


def id_of(value: object) -> str | None:
    """Return an id as text, so that 7, 7.0 and "7" are one id, as programs write it.

    Return None where it is not an id, or a decimal number too large to distinguish from the next.
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_FLOAT:
        return str(int(value))
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def is_crowd(entry: dict[str, Any]) -> bool:
    """Return whether an annotation is a region of many: `iscrowd`, `ignore`, or else a run-length mask."""
    for name in ("iscrowd", "ignore"):
        value = entry.get(name)
        if value not in (None, 0, False, "", "0") and str(value).strip().lower() not in (
            "false",
            "no",
            "0.0",
        ):
            return True
    return entry.get("iscrowd") is None and isinstance(entry.get("segmentation"), dict)


def box_of(entry: dict[str, Any]) -> tuple[float, ...]:
    """Return `bbox` as x, y, width and height.

    Raises:
        ValueError: it is not that, has no area, or is larger than any picture.
    """
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        raise ValueError("its bbox is not [x, y, width, height]")
    if not all(abs(value) < _LARGEST for value in box):  # False for NaN
        raise ValueError(f"its bbox {str(box)[:80]} is not in pixels of a picture")
    if not (box[2] > 0 and box[3] > 0):
        raise ValueError(f"its bbox {box} has no area")
    return tuple(float(value) for value in box)


def size_of(entry: dict[str, Any]) -> tuple[float, float] | None:
    """Return `width` and `height` of an image; None where both are absent or 0.

    Raises:
        ValueError: they are no size.
    """
    given = [entry.get(name) for name in ("width", "height")]
    if all(value in (None, 0, "") and not isinstance(value, bool) for value in given):
        return None
    try:
        width, height = (number(str(value)) for value in given)
    except ValueError:
        width = height = 0.0
    if any(isinstance(value, bool) for value in given) or not (width > 0 and height > 0):
        raise ValueError(f"its size {str(given[0])[:40]} x {str(given[1])[:40]} is not a size")
    return width, height


def category_names(categories: Sequence[object], file: Path, rows: Rows) -> dict[str, str | ValueError]:
    """Return the name of each category id; where it has none, or several, the fault of its annotations."""
    names: dict[str, str | ValueError] = {}
    for index, entry in enumerate(categories):
        key = id_of(entry.get("id")) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or key is None:
            rows.report(file, f"category {index}: is no object with an id")
            continue
        name = _name(entry.get("name"))
        before = names.get(key, name)
        if name is None:
            names[key] = ValueError(f"its category {key} has no name in text")
        elif before == name:
            names[key] = name
        else:
            rows.report(
                file, f"category {index} (id {key}): the id is given twice, for '{before}' and '{name}'"
            )
            names[key] = ValueError(f"its category_id {key} is given twice, for '{before}' and '{name}'")
    _note_shared_names(names, file, rows)
    return names


def _note_shared_names(names: dict[str, str | ValueError], file: Path, rows: Rows) -> None:
    seen: dict[str, str] = {}
    for key, name in names.items():
        if isinstance(name, str):
            if name in seen:
                meaning = "several class numbers have one name, and their cells become one class"
                rows.note(
                    "class names given twice", meaning, f"{file.name}: '{name}' is {seen[name]} and {key}"
                )
            seen.setdefault(name, key)


def _name(value: object) -> str | None:
    """Return a name: text, or a whole number, which can be written in one way only."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
