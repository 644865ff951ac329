"""The columns of a manifest: which there are, and what their values must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.urls import SECRET
from reddino.smears.findings import Finding
from reddino.smears.formats.focus import ALL_PLANES
from reddino.smears.manifest_values import Column, read_numbers, read_texts
from reddino.smears.row_places import RowPlace
from reddino.smears.spelling import name_key

__all__ = ["COLUMNS", "ID_COLUMNS", "LEVEL_COLUMNS", "NUMBER_COLUMNS", "READING_COLUMNS", "conform"]

COLUMNS = ("path", "source", "slide", "patient", "group", "x", "y", "w", "h", "label", "cell_diameter")
#: How a picture is read, where it is no ordinary one: bits that count in its 16-bit samples, its focus plane
#: (from 1; -1: the sharpest parts of all), the channel that is taken as grey, and the samples that become
#: black and white. A manifest has them only where they are given or were found.
LEVEL_COLUMNS = ("black_level", "white_level")
READING_COLUMNS = ("bit_depth", "plane", "grey_channel", *LEVEL_COLUMNS)
NUMBER_COLUMNS = ("x", "y", "w", "h", "cell_diameter", *READING_COLUMNS)
ID_COLUMNS = ("source", "slide", "patient", "group")

#: More columns than any table of cells with its measurements has.
MAX_COLUMNS = 10_000
#: In pixels: a place and a box that are in no picture, and a diameter that no red cell has.
MAX_PLACE, MAX_SIDE, MAX_DIAMETER = 100_000_000, 1_000_000, 5_000


def conform(table: pa.Table, place: RowPlace) -> tuple[pa.Table, tuple[Finding, ...]]:
    """Bring a table into the form of a manifest.

    It then has all columns with their types, tidy ids and labels, and null for what is missing; what breaks a
    rule is refused.

    Returns:
        The table, and what was changed in its values.

    Raises:
        RedDinoError: names the row and the column of the first fault.
    """
    names = table.column_names
    require_names(names, place.name)
    found: list[Finding] = []
    given = dict(zip(names, table.columns, strict=True))
    columns: dict[str, Column] = {}
    for name in (*COLUMNS, *(name for name in names if name not in COLUMNS)):
        if name not in given:
            kind = pa.float64() if name in NUMBER_COLUMNS else pa.string()
            columns[name] = pa.chunked_array([pa.nulls(table.num_rows, kind)])
        elif name in NUMBER_COLUMNS:
            columns[name] = read_numbers(given[name], name, place, found)
        else:
            role = name if name in COLUMNS else "extra"
            columns[name] = read_texts(given[name], name, place, found, role=role)
    _check_rules(columns, given, place)
    return pa.table(columns), tuple(found)


def require_names(names: Sequence[str], file: str) -> None:
    """Refuse column names that a manifest cannot have.

    Raises:
        RedDinoError: too many, two of one name, one that is nearly a known one, or no `path`.
    """
    if len(names) > MAX_COLUMNS:
        raise RedDinoError(
            f"{file} has {len(names)} columns, more than the {MAX_COLUMNS} that are read; leave some out"
        )
    counts = Counter(names)
    for name, count in counts.items():
        if count > 1:
            raise RedDinoError(f"{file} has two columns named '{name}'; rename or remove one")
    known = {name_key(name): name for name in (*COLUMNS, *READING_COLUMNS)}
    for name in names:
        key = name_key(name)
        meant = known.get(key) or known.get(key.removesuffix("s") if len(key) > 2 else "")
        if name == meant or meant is None:
            continue
        if meant not in counts:
            raise RedDinoError(f"{file}: column '{name}' is not '{meant}'; rename it")
        if key == name_key(meant):
            raise RedDinoError(f"{file} has the columns '{meant}' and '{name}'; rename or remove one")
    if "path" not in counts:
        raise RedDinoError(
            f"{file} has no column 'path', only: {_listed(names)}; call the column of the image files 'path'"
        )


def _listed(names: Sequence[str], most: int = 20) -> str:
    """Return a list of names for an error, the first of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(repr, names[:most])) or "none") + more


def _check_rules(columns: Mapping[str, Column], raw: Mapping[str, Column], place: RowPlace) -> None:
    """Refuse what no reader of a manifest could make sense of; `raw` has the values as they were written."""
    numbers = [name for name in NUMBER_COLUMNS if name in columns]
    given = {name: np.asarray(pc.is_valid(columns[name])) for name in ("path", *numbers)}
    number = {name: np.asarray(pc.fill_null(columns[name], np.nan)) for name in numbers}
    limits = {"x": MAX_PLACE, "y": MAX_PLACE, "w": MAX_SIDE, "h": MAX_SIDE}
    rules: list[tuple[str, NDArray[np.bool_], str]] = [
        ("path", ~given["path"], "is empty; every row names an image"),
        (
            "path",
            _holds_secret(columns["path"]) & given["path"],
            "is a URL with a user, a password or a query such as a signature, which would be written to "
            "tables; give the plain URL: credentials are taken from the environment",
        ),
        ("x", given["y"] & ~given["x"], "is empty although y is given"),
        ("y", given["x"] & ~given["y"], "is empty although x is given"),
        ("w", given["h"] & ~given["w"], "is empty although h is given"),
        ("h", given["w"] & ~given["h"], "is empty although w is given"),
        (
            "x",
            given["w"] & ~given["x"],
            "is empty although the box has a width: x and y are its top-left corner",
        ),
        ("w", number["w"] < 0, "is negative"),
        ("h", number["h"] < 0, "is negative"),
        *(
            (name, np.abs(number[name]) >= limit, f"is beyond any picture ({limit} pixels): correct it")
            for name, limit in limits.items()
        ),
        ("cell_diameter", number["cell_diameter"] <= 0, "must be above 0 pixels (empty where unknown)"),
        (
            "cell_diameter",
            number["cell_diameter"] > MAX_DIAMETER,
            f"is more than {MAX_DIAMETER} pixels, larger than any red cell in a picture: correct it, or "
            "leave it empty where it is not known",
        ),
        *_reading_rules(number),
    ]
    for column, broken, fault in rules:
        if broken.any():
            row = int(np.argmax(broken))
            word = raw[column][row].as_py() if column in raw and not given[column][row] else None
            place.refuse(row, column, f"{word!r} is not a number: it {fault}" if word else fault)


def _holds_secret(paths: Column) -> NDArray[np.bool_]:
    """Return (n,) True where a path is a URL that `reddino.foundations.stores.urls` refuses."""
    urls: Any = pc.match_substring(paths, ":/")
    if not pc.any(urls).as_py():
        return np.zeros(len(paths), np.bool_)
    secret: Any = pc.match_substring_regex(paths, SECRET)
    return np.asarray(pc.fill_null(secret, False))


def _reading_rules(number: Mapping[str, NDArray[np.float64]]) -> Iterator[tuple[str, NDArray[np.bool_], str]]:
    """Check the columns on how a picture is read, where a manifest has them."""
    bounds = (("bit_depth", 8, 32), ("plane", 1, 100_000), ("grey_channel", 1, 1000))
    levels = (("black_level", 0, 2**32 - 2), ("white_level", 1, 2**32 - 1))
    for name, lowest, highest in (*bounds, *levels):
        if name in number:
            value = np.nan_to_num(number[name], nan=lowest)
            broken = (value < lowest) | (value > highest) | (value % 1 != 0)
            stacked = ", or -1 for the sharpest parts of all" if name == "plane" else ""
            if stacked:
                broken &= value != ALL_PLANES
            yield name, broken, f"must be a whole number from {lowest} to {highest}{stacked}"
    black, white = (number.get(name, np.full_like(number["x"], np.nan)) for name, *_ in levels)
    alone = "must be given together with black_level, or left empty"
    yield "white_level", np.isnan(black) != np.isnan(white), alone
    yield "white_level", np.nan_to_num(white - black, nan=1.0) <= 0, "must be above its black_level"
