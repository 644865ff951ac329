"""The values of a manifest's columns: tidy texts, numbers, missing values as null, from any type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.smears.findings import Finding
from reddino.smears.row_places import RowPlace
from reddino.smears.spelling import means_missing, tidy

#: The kind of a finding.
MISSING = "missing values as words"
# A pyarrow column. The published type stubs list too few of the argument types that pyarrow's functions take.
Column: TypeAlias = Any


def read_texts(
    column: Column, name: str, place: RowPlace, found: list[Finding], *, role: str = "extra"
) -> Column:
    """Read a column as text, null where missing.

    Args:
        column: of any type.
        name: of the column.
        place: names its rows.
        found: takes what was changed.
        role: `path` and `extra` stay as written; the ids and `label` become tidy, and words that mean missing
            become null.

    Raises:
        RedDinoError: values that are no text: bytes, lists; a NUL.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([getattr(chunk, "storage", chunk) for chunk in column.chunks])
    if pa.types.is_nested(column.type):
        if role != "extra":
            raise RedDinoError(f"{place.name}, column '{name}': holds {column.type}, not text")
        return column
    if role != "extra":
        _note_rounded(column, name, place, found)
    column = _as_text(column, name, place)
    unique, codes = _encoded(column, name, place)
    for number, text in enumerate(unique):
        if "\0" in text:
            place.refuse(int(np.argmax(codes == number)), name, "holds a NUL character; remove it")
    noted = _Noted(name, place, found)
    if role != "extra":
        broken = [number for number, text in enumerate(unique) if len(text.strip().splitlines()) > 1]
        if broken:
            rows = np.flatnonzero(np.isin(codes, broken)).tolist()
            does = "holds a line break: is a closing quote missing?"
            noted.add("line breaks in values", unique[broken[0]], does, rows, harmless=False)
    if role in ("path", "extra"):
        return _without_empty(column) if "" in unique else column
    return _tidied(column, unique, codes, noted)


def _note_rounded(column: Column, name: str, place: RowPlace, found: list[Finding]) -> None:
    """Note numbers that are too large for their type to distinguish from the next."""
    digits = {pa.float16(): 11, pa.float32(): 24, pa.float64(): 53}.get(column.type)
    if digits is None:
        return
    values = np.asarray(pc.fill_null(column.cast(pa.float64()), 0.0))
    rows = np.flatnonzero(np.isfinite(values) & (np.abs(values) >= 2**digits)).tolist()
    if rows:
        does = (
            f"is too large for {column.type} to distinguish from the next, and several may have "
            "become one; write text"
        )
        first = f"{column[rows[0]].as_py():.17g}"
        _Noted(name, place, found).add("values that lost characters", first, does, rows, harmless=False)


def _as_text(column: Column, name: str, place: RowPlace) -> Column:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_floating(kind):
        column = _whole_as_integers(column.cast(pa.float64()))
    if column.type == pa.string():
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            place.refuse(
                _first_undecodable(column),
                name,
                "holds bytes that are not UTF-8 text; save the table with that encoding",
            )
        raise RedDinoError(f"{place.name}, column '{name}': holds {column.type}, not text") from None


def _first_undecodable(column: Column) -> int:
    """Return the first row whose bytes are not UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    for row, value in enumerate(column):
        try:
            if value.is_valid:
                value.as_buffer().to_pybytes().decode()
        except UnicodeDecodeError:
            return row
    raise AssertionError("every row is UTF-8")


def _whole_as_integers(column: Column) -> Column:
    """Undo what pandas does to an integer column with gaps: slide 7 must not become '7.0'."""
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def _encoded(column: Column, name: str, place: RowPlace) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts, and for each row the index of its own (-1 where null)."""
    encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    try:
        unique = encoded.dictionary.to_pylist()
    except UnicodeDecodeError:
        place.refuse(
            _first_undecodable(column),
            name,
            "holds bytes that are not UTF-8 text; save the table with that encoding",
        )
    return unique, np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int64)


def _without_empty(column: Column) -> Column:
    return pc.if_else(pc.equal(column, pa.scalar("")), pa.scalar(None, pa.string()), column)


@dataclass(frozen=True)
class _Noted:
    """Takes what was changed in a column."""

    name: str
    place: RowPlace
    found: list[Finding]

    def add(self, kind: str, first: str, does: str, rows: Sequence[int], *, harmless: bool = True) -> None:
        message = f"column '{self.name}': {first!r} {does}"
        self.found.append(Finding(kind, message, len(rows), self.place.of(rows[0]), harmless))


def _tidied(column: Column, unique: list[str], codes: NDArray[np.int64], noted: _Noted) -> Column:
    """Return the column with tidy values, null where a word means missing; note what changed."""
    tidied = [tidy(text) for text in unique]
    missing = [text != "" and means_missing(text) for text in tidied]
    trimmed = [
        text != before and not word for before, text, word in zip(unique, tidied, missing, strict=True)
    ]
    if not (any(trimmed) or any(missing) or "" in unique):
        return column
    kept = [None if word or not text else text for text, word in zip(tidied, missing, strict=True)]
    for changed, kind, does, harmless in (
        (
            trimmed,
            "blanks around values",
            "and the like: blanks and invisible characters are taken off",
            True,
        ),
        (missing, MISSING, "and the like are read as missing", noted.name != "label"),
    ):
        rows = np.flatnonzero(np.isin(codes, np.flatnonzero(changed))).tolist()
        if rows:
            noted.add(kind, unique[codes[rows[0]]], does, rows, harmless=harmless)
    values: Any = pa.array([*kept, None], pa.string())
    return pa.chunked_array([values.take(pa.array(np.where(codes < 0, len(kept), codes)))])


def read_numbers(column: Column, name: str, place: RowPlace, found: list[Finding]) -> Column:
    """Read a column as float64, null where missing.

    Raises:
        RedDinoError: a value that is no finite number, or a type that holds none.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if _is_text(kind):
        column = _parsed(column.cast(pa.string()), name, place, found)
    elif not (pa.types.is_null(kind) or pa.types.is_integer(kind) or _is_real(kind)):
        raise RedDinoError(f"{place.name}, column '{name}': holds {column.type}, not numbers")
    column = column.cast(pa.float64(), safe=False)
    infinite: Any = pc.is_inf(column)
    if pc.any(infinite).as_py():
        place.refuse(int(pc.index(infinite, True).as_py()), name, "is not a finite number")
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_real(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))


_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def _parsed(column: Column, name: str, place: RowPlace, found: list[Finding]) -> Column:
    column = _without_empty(pc.utf8_trim_whitespace(column))
    fits: Any = pc.match_substring_regex(column, _NUMBER)
    wrong: Any = pc.invert(pc.fill_null(fits, True))
    if bool(pc.any(wrong).as_py()):
        column = _without_words(column, np.asarray(wrong), name, place, found)
    return pc.utf8_ltrim(column, characters="+").cast(pa.float64())


def _without_words(
    column: Column, wrong: NDArray[np.bool_], name: str, place: RowPlace, found: list[Finding]
) -> Column:
    """Return the column without words for missing and invisible characters; refuse other text."""
    rows = np.flatnonzero(wrong).tolist()
    texts = [tidy(text) for text in column.take(pa.array(rows)).to_pylist()]
    missing = [row for row, text in zip(rows, texts, strict=True) if means_missing(text)]
    for row, text in zip(rows, texts, strict=True):
        if not (means_missing(text) or re.fullmatch(_NUMBER, text, re.ASCII)):
            place.refuse(row, name, f"{text!r} is not a number{_advice(text)}")
    if missing:
        noted = _Noted(name, place, found)
        noted.add(MISSING, column[missing[0]].as_py(), "and the like are read as missing", missing)
    plain = pa.array([None if means_missing(text) else text for text in texts], pa.string())
    mask: Any = pa.array(wrong)
    return pc.replace_with_mask(column.combine_chunks(), mask, plain)


def _advice(text: str) -> str:
    """Return what to do about a text that is meant as a number."""
    if "," in text and text.replace(",", "").replace(".", "").lstrip("+-").isdigit():
        return " (use a decimal point, and no separators between thousands)"
    if text[:1].isdigit() and text.isascii() and not text[-1:].isdigit():
        return " (give pixels, without a unit)"
    return ""
