"""A table's columns as a page takes them: numbers, or categories with their names, as base64 arrays."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.figures.palette import Groups
from reddino.smears.column_names import (
    ABSTAINED,
    AT_BORDER,
    COUNTED,
    KIND,
    KIND_PROBABILITY,
    NOVELTY,
    PREDICTED,
    PREFIX,
    PROBABILITY,
    UNADJUSTED,
)

#: NumPy's name of a number type -> the page's.
_TYPES = {"uint8": "u1", "uint16": "u2", "uint32": "u4", "float32": "f4"}

#: What readers call columns of tables; others keep their names.
TITLES = {
    "path": "image",
    "x": "x (px)",
    "y": "y (px)",
    "w": "width (px)",
    "h": "height (px)",
    "cell_diameter": "red-cell diameter (px)",
    "um_per_px": "µm per pixel",
    "bit_depth": "bits",
    "plane": "focus plane",
    "view_x": "centre x (px)",
    "view_y": "centre y (px)",
    "view_side": "side of the view (px)",
    AT_BORDER: "cut by the border",
    PREDICTED: "predicted class",
    PROBABILITY: "probability",
    UNADJUSTED + PREDICTED: "predicted class, not adjusted",
    UNADJUSTED + PROBABILITY: "probability, not adjusted",
    NOVELTY: "novelty",
    ABSTAINED: "without an answer",
    COUNTED: "counted",
    KIND: "kind of cell",
    KIND_PROBABILITY: "probability of the kind",
    "picture_label": "label of the image",
    "outlier": "outlier score",
}


def reader_title(name: str, classes: Collection[str] = ()) -> str:
    """Return what a reader calls a column of a table.

    Args:
        name: of the column.
        classes: of a classifier, whose columns of probabilities are named for them.
    """
    if name.startswith(PREFIX) and name[len(PREFIX) :] in classes:
        return f"probability of {name[len(PREFIX) :]}"
    return TITLES.get(name, name)


def packed(values: npt.NDArray[Any]) -> dict[str, str]:
    """Return an array as base64 of its little-endian bytes, with the page's name of its type."""
    text = base64.b64encode(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
    return {"type": _TYPES[values.dtype.name], "values": text.decode("ascii")}


def number_column(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    """Return a column of numbers (n,), missing = NaN, in float32."""
    return {"name": name, "kind": "number", **packed(np.asarray(values, dtype=np.float32))}


def category_column(name: str, values: Sequence[str]) -> dict[str, Any]:
    """Return a column of text (n,) as the number of each value among the names, in natural order."""
    groups = Groups.of(values)
    size = np.min_scalar_type(max(len(groups) - 1, 0))
    codes = groups.index.astype(size if size.name in _TYPES else np.uint32)
    return {"name": name, "kind": "category", "names": list(groups.names), **packed(codes)}


def page_column(name: str, column: pa.ChunkedArray[Any]) -> dict[str, Any] | None:
    """Return a table's column as the page takes it; None where it is empty, or neither text nor numbers."""
    if column.null_count == len(column):
        return None
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return number_column(name, numbers)
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = ["" if value is None else str(value) for value in column.to_pylist()]
        return category_column(name, texts) if any(texts) else None
    return None
