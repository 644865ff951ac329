"""Columns of a clinical table: which hold numbers, which categories, and which are of no use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import short
from reddino.smears.row_places import RowPlace
from reddino.smears.spelling import clean, spelling_key, tidy

Kind = Literal["number", "category", "unused"]
#: A category that more patients than this fraction have for themselves alone is a name, not a category.
_MOSTLY_ALONE = 0.5
#: Categories of a column, at most.
MOST_CATEGORIES = 30
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_WITH_UNIT = re.compile(
    r"([+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?)\s*([^\d\s.,+\-][^\s]*(?: [^\s\d]+)*)"
)
_BOUND = re.compile(r"[<>≤≥]\s*=?\s*[\d.,]+.*")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ].*)?"
    r"|(0?[1-9]|1[0-2])[/.](19|20)\d\d"
)
_SPACED = re.compile(r"\d{1,3}( \d{3})+")
_POINT_OR_THOUSAND = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
#: Whole numbers from which on others such as '1.234' may be thousands.
_LARGE = 100
_MISSING_CODE = re.compile(r"-9{2,}(\.0*)?")
_NINES = re.compile(r"9{3,}(\.0*)?")
#: Values of a scale that may have a step below 0.
_STEPS = 4
#: Times any other value, from which on nines stand for a missing value.
_BEYOND = 10
_POSITIVE = re.compile(r"\++|\(\+\)")


@dataclass(frozen=True)
class ClinicalColumn:
    """A column of a clinical table, one value per patient.

    Attributes:
        name: as the file writes it.
        kind: number, category, or unused.
        numbers: (n,) float64, NaN where missing; of numbers alone.
        texts: (n,) the values as text, "" where missing.
        note: what was done to it, or why it is not used; "" where neither applies.
        unit: that the values share, "" where they are written without.
    """

    name: str
    kind: Kind
    numbers: NDArray[np.float64] | None
    texts: tuple[str, ...]
    note: str = ""
    unit: str = ""

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which patients (n,) have no value."""
        return np.array([text == "" for text in self.texts], dtype=bool)

    def select(self, rows: NDArray[np.int64]) -> ClinicalColumn:
        """Return the column of the patients in `rows`."""
        numbers = None if self.numbers is None else self.numbers[rows]
        return replace(self, numbers=numbers, texts=tuple(self.texts[row] for row in rows.tolist()))

    def with_empty_row(self) -> ClinicalColumn:
        """Return the column with one more patient, whose value is missing."""
        numbers = None if self.numbers is None else np.append(self.numbers, np.nan)
        return replace(self, numbers=numbers, texts=(*self.texts, ""))


@dataclass(frozen=True)
class LearnedColumn:
    """What a model learned of a column, with which other tables must agree.

    Attributes:
        kind: number or category.
        unit: of the numbers, "" where they had none; None: not known.
        categories: that it learned.
    """

    kind: Literal["number", "category"]
    unit: str | None = None
    categories: tuple[str, ...] = ()


def cleaned(values: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a column (n,), "" where missing; '-' is a value where another is '+'."""
    plain = [tidy(value) for value in values]
    signed = any(_POSITIVE.fullmatch(one) for one in plain)
    return tuple(one if signed and one == "-" else clean(one) for one in plain)


def require_one_spelling(name: str, texts: Sequence[str], place: RowPlace) -> None:
    """Refuse values that a reader would take for one, such as 'Control' and 'control'.

    Raises:
        RedDinoError: names the row of the second spelling.
    """
    seen: dict[str, str] = {}
    for row, text in enumerate(texts):
        first = seen.setdefault(spelling_key(text), text)
        if text and first != text:
            two = f"'{short(text)}' and '{short(first)}' are two spellings of one value"
            place.refuse(row, name, f"{two}; write it the same in all rows")


def read_column(
    name: str, values: Sequence[str], place: RowPlace, *, category: bool = False
) -> ClinicalColumn:
    """Infer the kind of a column from its texts.

    Numbers may share a unit ('12.5 g/dL') or have decimal commas, which the note states; what is ambiguous is
    refused. A column with one value, with dates, or whose texts mostly occur once is not used.

    Args:
        name: of the column.
        values: (n,) texts, as the file writes them.
        place: names the rows in errors.
        category: take numbers for categories.

    Raises:
        RedDinoError: names the first value that does not fit the others: text among numbers, two units,
            bounds such as '<5', or a comma that may separate thousands.
    """
    texts = cleaned(values)
    known = [text for text in texts if text]
    if len(set(known)) < 2:
        return ClinicalColumn(name, "unused", None, texts, "has one value" if known else "is empty")
    if all(_DATE.fullmatch(text) for text in known):
        return ClinicalColumn(name, "unused", None, texts, "holds dates")
    if not category:
        found = _numbers(name, texts, place)
        if found is not None:
            return found
    return _categories(name, texts, place)


def read_as(name: str, values: Sequence[str], place: RowPlace, learned: LearnedColumn) -> ClinicalColumn:
    """Read a column as a model learned it, however few its values are.

    Raises:
        RedDinoError: names the first value that is no number where numbers are wanted, is in another unit, or
            is a category that the model did not learn.
    """
    texts = cleaned(values)
    if learned.kind == "category":
        known = learned.categories
        texts = tuple("-" if tidy(value) == "-" and "-" in known else text
                      for value, text in zip(values, texts, strict=True))  # fmt: skip
        _require_learned(name, texts, place, known)
        return ClinicalColumn(name, "category", None, texts)
    column = _parsed(name, texts, place)
    if learned.unit is not None and column.unit.casefold() != learned.unit.casefold():
        row = int(np.argmax(~column.missing))
        own, wanted = (
            f"in '{short(unit)}'" if unit else "without a unit" for unit in (column.unit, learned.unit)
        )
        if texts[row]:
            place.refuse(row, name, f"is {own}, and the model learned it {wanted}; write it as it learned")
    return column


def _require_learned(name: str, texts: tuple[str, ...], place: RowPlace, known: Sequence[str]) -> None:
    """Refuse a category that a model did not learn: it would be read as none."""
    for row, text in enumerate(texts):
        if text and text not in known:
            listed = ", ".join(short(one) for one in known[:10])
            odd = f"'{short(text)}' is none of the categories that the model learned ({listed})"
            place.refuse(row, name, f"{odd}; write one of these or leave it empty")


def _categories(name: str, texts: tuple[str, ...], place: RowPlace) -> ClinicalColumn:
    known = [text for text in texts if text]
    distinct, counts = np.unique(known, return_counts=True)
    alone = float(counts[counts == 1].sum()) / len(known)
    if len(known) > 4 and alone > _MOSTLY_ALONE:
        return ClinicalColumn(name, "unused", None, texts, "its values mostly occur once, as names do")
    if len(distinct) > MOST_CATEGORIES:
        return ClinicalColumn(name, "unused", None, texts, f"has {len(distinct)} categories")
    require_one_spelling(name, texts, place)
    return ClinicalColumn(name, "category", None, texts)


def _numbers(name: str, texts: tuple[str, ...], place: RowPlace) -> ClinicalColumn | None:
    """Return the column as numbers, or None where fewer than half of its values are.

    Bounds and numbers with blanks count where others are plain numbers, so that they are refused by row.
    """
    known = [text for text in texts if text]
    numeric = sum(any(form.fullmatch(text) for form in (_NUMBER, _COMMA, _WITH_UNIT)) for text in known)
    odd = sum(any(form.fullmatch(text) for form in (_BOUND, _SPACED)) for text in known)
    if not numeric or (numeric + odd) * 2 < len(known):
        return None
    column = _parsed(name, texts, place, " (or name the column with --categories)")
    if column.numbers is not None and _is_running(column.numbers):
        return ClinicalColumn(name, "unused", None, texts, "numbers the rows")
    return column


def _parsed(name: str, texts: tuple[str, ...], place: RowPlace, way_out: str = "") -> ClinicalColumn:
    """Return the column as numbers, NaN where missing; `way_out` follows what helps against other texts."""
    known = [row for row, text in enumerate(texts) if text]
    for row in known:
        if _BOUND.fullmatch(texts[row]):
            bound = f"'{short(texts[row])}' is a bound, not a number"
            place.refuse(row, name, f"{bound}; write a number or leave it empty")
    units = {
        row: match
        for row in known
        if not _NUMBER.fullmatch(texts[row]) and (match := _WITH_UNIT.fullmatch(texts[row])) is not None
    }
    notes, values, unit = [], list(texts), ""
    if units:
        values, unit = _without_unit(name, values, units, known, place, way_out=way_out)
        notes.append(f"in {unit}")
    values, with_commas = _with_points(name, values, known, place)
    if with_commas:
        notes.append("decimal commas read as points")
    else:
        _refuse_thousands(name, values, known, place)
    numbers = np.full(len(texts), np.nan)
    for row in known:
        if not _NUMBER.fullmatch(values[row]):
            odd = f"'{short(texts[row])}' is not a number, as the others are"
            place.refuse(row, name, f"{odd}; correct it or leave it empty{way_out}")
        numbers[row] = float(values[row])
        if not np.isfinite(numbers[row]):
            place.refuse(row, name, f"'{short(texts[row])}' is too large")
    _refuse_missing_codes(name, values, numbers, place)
    notes += _doubtful_codes(numbers)
    return ClinicalColumn(name, "number", numbers, texts, ", ".join(notes), unit)


def _refuse_thousands(name: str, values: Sequence[str], known: Sequence[int], place: RowPlace) -> None:
    """Refuse '1.234' among larger whole numbers such as '950': its point may separate thousands."""
    pointed = [row for row in known if "." in values[row]]
    whole = [float(values[row]) for row in known if re.fullmatch(r"[+-]?\d{1,15}", values[row])]
    if not pointed or max(whole, default=0.0) < _LARGE:
        return
    if not all(_POINT_OR_THOUSAND.fullmatch(values[row]) for row in pointed):
        return
    if max(whole) > max(float(values[row]) for row in pointed):
        doubt = f"'{short(values[pointed[0]])}' may be thousands or a decimal point"
        place.refuse(pointed[0], name, f"{doubt}; write it without a point")


def _refuse_missing_codes(
    name: str, values: Sequence[str], numbers: NDArray[np.float64], place: RowPlace
) -> None:
    """Refuse '-999' where no other value is below 0, and '999' where it is ten times any other."""
    codes = [row for row, value in enumerate(values) if _MISSING_CODE.fullmatch(value)]
    if not codes and (nines := [row for row, value in enumerate(values) if _NINES.fullmatch(value)]):
        others = np.abs(np.delete(numbers, nines))
        if np.isfinite(others).any() and numbers[nines[0]] >= _BEYOND * np.nanmax(others):
            codes = nines
    if codes and not (np.delete(numbers, codes) < 0).any():
        doubt = f"'{short(values[codes[0]])}' may mean a missing value"
        place.refuse(codes[0], name, f"{doubt}; leave it empty")


def _doubtful_codes(numbers: NDArray[np.float64]) -> list[str]:
    """Return a note where -1 or -9 is the only value below 0; a scale such as -1, 0, 1 has few values."""
    known = numbers[np.isfinite(numbers)]
    below = np.unique(known[known < 0])
    if below.tolist() not in ([-1.0], [-9.0]) or len(np.unique(known)) <= _STEPS:
        return []
    count = int((known < 0).sum())
    return [
        f"{below[0]:.0f} is its only value below 0 ({counted(count, 'patient')}): empty it where it means "
        "missing"
    ]


def _without_unit(
    name: str,
    values: list[str],
    units: dict[int, re.Match[str]],
    known: Sequence[int],
    place: RowPlace,
    *,
    way_out: str,
) -> tuple[list[str], str]:
    """Return the values without their unit, which all must share."""
    first = next(iter(units.values()))[2]
    for row in known:
        match = units.get(row)
        if match is None:
            other = f"'{short(values[row])}' has no unit, where others are in '{short(first)}'"
            place.refuse(row, name, f"{other}; write the same unit in all rows, or none{way_out}")
        if match[2].casefold() != first.casefold():
            other = f"'{short(values[row])}' is in another unit than '{short(first)}'"
            place.refuse(row, name, f"{other}; convert the column to one unit{way_out}")
        values[row] = match[1]
    return values, first


def _with_points(
    name: str, values: list[str], known: Sequence[int], place: RowPlace
) -> tuple[list[str], bool]:
    """Return the values with decimal points, and whether some had commas."""
    commas = [row for row in known if "," in values[row]]
    if not commas:
        return values, False
    for row in known:
        if "." in values[row]:
            mixed = f"'{short(values[row])}' has a point, where others have a comma"
            place.refuse(row, name, f"{mixed}; use decimal points in all rows")
    if all(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", values[row]) for row in commas):
        doubt = f"'{short(values[commas[0]])}' may be thousands or a decimal comma"
        place.refuse(commas[0], name, f"{doubt}; write it without a comma")
    for row in commas:
        values[row] = values[row].replace(",", ".")
    return values, True


def _is_running(numbers: NDArray[np.float64]) -> bool:
    """Return whether the numbers count the rows, one by one."""
    return len(numbers) > 4 and bool(np.isfinite(numbers).all()) and bool((np.diff(numbers) == 1).all())


def require_some(columns: Sequence[ClinicalColumn], where: str) -> None:
    """Refuse a table without a column that can be used.

    Raises:
        RedDinoError: states why each is not used.
    """
    if any(column.kind != "unused" for column in columns):
        return
    why = "; ".join(f"'{short(column.name)}' {column.note}" for column in columns[:5])
    raise RedDinoError(f"no clinical column can be used: {where}{f' ({why})' if why else ''}")
