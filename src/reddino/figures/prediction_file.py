"""Predictions that `reddino predict` wrote: its cells, and how they lie to what was learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.kinds import holds_kinds, without_kinds
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import original_table
from reddino.foundations.structured import read_json
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
    renamed,
)

Flags = npt.NDArray[np.bool_]

#: What stands for the pooling of vectors that are class probabilities.
PROBABILITIES = "class probabilities"
#: What of the predictions a table of the same cells takes along.
TAKEN = (PREDICTED, PROBABILITY, NOVELTY, ABSTAINED, KIND, KIND_PROBABILITY, AT_BORDER)
SUFFIXES = (".parquet", ".csv")
#: Columns of a CSV that are text whatever they hold, such as slide 007.
TEXTS = ("path", "source", "slide", "patient", "group", "label", PREDICTED, "kind")
#: By which a probability may miss 0 or 1.
_ROUNDING = 1e-3
#: Kinds that count among the classes: red cells, and what is not surely anything else.
RED = ("", "red cell", "unknown")


@dataclass(frozen=True)
class PredictionFile:
    """The cells of a file of `reddino predict`.

    Attributes:
        path: of the file.
        table: one row per cell.
        classes: in the order of the columns `p_<class>`, else by name.
        domain: (source, slide or picture) -> verdict and sentence; "" for a whole source.
        note: what could not be compared with the classifier's cells; "" where all were.
        found: whether the cells were found by segmentation; those that a user listed all count, of any kind.
        keep_border: whether cells that the border of their image cuts count too.
        held_out: what the classifier's own held-out cells came to: `cells`, `balanced_accuracy`, `evidence`,
            `classes` (with `recall`, `recall_interval`), `never_found`.
        pictures: by path, 16 hex digits over the bytes of the picture, of those that the note names.
        origin: the whole note; empty where it is not next to the file.
    """

    path: Path
    table: pa.Table
    classes: tuple[str, ...]
    domain: Mapping[tuple[str, str], tuple[str, str]]
    note: str = ""
    found: bool = True
    keep_border: bool = False
    held_out: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict, repr=False)
    origin: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def strings(self, column: str) -> list[str]:
        """Return a column as text, "" where missing or where there is no such column."""
        if column not in self.table.column_names:
            return [""] * len(self)
        return ["" if value is None else str(value) for value in self.table.column(column).to_pylist()]

    def flags(self, column: str) -> Flags:
        """Return a column of yes and no, False where missing or where there is no such column."""
        return np.array([value.casefold() in ("true", "1") for value in self.strings(column)], dtype=np.bool_)

    def counted(self) -> Flags:
        """Return which cells count among the classes: red cells, whole, and with an answer."""
        return np.asarray(~self.cut() & ~self.other() & ~self.flags("abstained"))

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """Return a column of numbers, NaN where missing, no number, or where there is no such column."""
        if column not in self.table.column_names:
            return np.full(len(self), np.nan)
        try:
            values = self.table.column(column).cast(pa.float64())
        except pa.ArrowException:
            return np.full(len(self), np.nan)
        return np.array([np.nan if value is None else value for value in values.to_pylist()], np.float64)

    def cut(self) -> Flags:
        """Return which cells the border of their image cuts, and count for nothing."""
        if COUNTED in self.table.column_names:
            return self.flags("at_border") & ~self.flags(COUNTED)
        return np.zeros(len(self), np.bool_) if self.keep_border else self.flags("at_border")

    def other(self) -> Flags:
        """Return which cells are surely no red cell, and count for no class."""
        if COUNTED in self.table.column_names:
            return ~self.flags(COUNTED) & ~self.flags("at_border")
        return np.array([self.found and kind not in RED for kind in self.strings("kind")], dtype=np.bool_)

    def as_embeddings(self) -> Embeddings:
        """Return the cells with their class probabilities in place of vectors, for a map of them.

        Raises:
            RedDinoError: the file lacks probabilities or places.
        """
        names = [f"{PREFIX}{name}" for name in self.classes]
        lacking = [
            name for name in (*names, "view_x", "view_y", "source") if name not in self.table.column_names
        ]
        if lacking:
            raise RedDinoError(f"{self.path} lacks the columns {', '.join(lacking[:3])}: predict again")
        vectors = np.stack([self.table.column(name).to_numpy() for name in names], axis=1).astype(np.float32)
        table = self.table.drop_columns(names)
        for name in ("path", "slide", "patient", "label"):
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(len(self), pa.string()))
        meta = {"model": f"{len(self.classes)} class probabilities", "pooling": PROBABILITIES}
        return Embeddings(vectors, table, {**meta, "dim": len(names)})


def read_prediction_file(path: str | Path) -> PredictionFile:
    """Read the cells that `reddino predict --out` wrote, and what stands next to them.

    Args:
        path: the file, .parquet or .csv; or a folder with one such file.

    Raises:
        RedDinoError: no such file, or one of something else.
    """
    file = _file(Path(path))
    table = _read(file)
    if PREDICTED not in table.column_names or "path" not in table.column_names:
        raise RedDinoError(
            f"{file} is no file of `reddino predict`: it lacks the columns 'path' and '{PREDICTED}'"
        )
    listed = _classes(table.column_names)
    found = {value for value in table.column(PREDICTED).to_pylist() if value}
    classes = tuple(listed) if found <= set(listed) else tuple(sorted(found))
    if PROBABILITY in table.column_names:
        table = _with_numbers(file, table, [PROBABILITY, *(f"{PREFIX}{name}" for name in listed)])
    origin = _origin(file, table)
    units, note = _domain(origin)
    if not origin:
        note = f"the note of these predictions is not next to them ({file.with_suffix('.json').name})"
    segmented = origin.get("found_by_segmentation") is not False
    kept = origin.get("cells_at_the_border_counted") is True
    classifier = origin.get("classifier")
    held_out = classifier.get("held_out") if isinstance(classifier, dict) else None
    tested = held_out if isinstance(held_out, dict) else {}
    noted = origin.get("pictures")
    pictures = {str(name): str(digest) for name, digest in noted.items()} if isinstance(noted, dict) else {}
    return PredictionFile(file, table, classes, units, note, segmented, kept, tested, pictures, origin)


def with_predictions(
    table: Embeddings, file: PredictionFile, pictures: Mapping[str, str] | None = None
) -> tuple[Embeddings, tuple[str, ...]]:
    """Return a table with the predictions of its cells as columns, and notes on what does not fit.

    A cell is found by its image, whose bytes must be the same, and the pixel of its centre; of several there,
    each takes the prediction of its turn.

    Args:
        table: of the cells.
        file: predictions of them.
        pictures: by path, 16 hex digits over the bytes of the table's pictures, as
            `reddino.embedding.growth.picture_digests` returns them; None: not known.

    Raises:
        RedDinoError: not one cell of the table is among the predictions, or they are of other pictures.
    """
    if "view_x" not in table.table.column_names or "view_x" not in file.table.column_names:
        raise RedDinoError(f"{file.path} and the table name no places of cells, so they cannot be joined")
    place: dict[tuple[str, int, int], list[int]] = {}
    for row, key in enumerate(_keys(file.strings("path"), file.table)):
        place.setdefault(key, []).append(row)
    turn: Counter[tuple[str, int, int]] = Counter()
    rows: list[int | None] = []
    for key in _keys(table.strings("path"), table.table):
        there = place.get(key)
        rows.append(None if there is None else there[min(turn[key], len(there) - 1)])
        turn[key] += 1
    matched = sum(row is not None for row in rows)
    if not matched:
        raise RedDinoError(
            f"no cell of the table is among the predictions of {file.path}: embed and predict one manifest"
        )
    taken = [name for name in TAKEN if name in file.table.column_names]
    notes = _require_same_pictures(table, file, pictures or {})
    columns = _without(table.table, taken)
    index = pa.array(rows, pa.int64())
    for name in taken:
        columns = columns.append_column(name, file.table.column(name).take(index))
    if matched < len(table):
        notes.append(f"{len(table) - matched} of {len(table)} cells have no prediction")
    return replace(table, table=columns), tuple(notes)


def _require_same_pictures(table: Embeddings, file: PredictionFile, pictures: Mapping[str, str]) -> list[str]:
    """Refuse predictions of other pictures of the same names; return a note where that cannot be checked.

    Raises:
        RedDinoError: names the first such picture.
    """
    shared = sorted(set(table.strings("path")) & set(file.strings("path")))
    known = [name for name in shared if name in pictures and name in file.pictures]
    other = [name for name in known if pictures[name] != file.pictures[name]]
    if other:
        raise RedDinoError(
            f"{file.path} is of other pictures than the table: {len(other)} of {len(shared)} have the same "
            f"name and another content, such as '{other[0]}'; predict and embed the same files"
        )
    if len(known) == len(shared):
        return []
    who = "predictions" if any(name not in file.pictures for name in shared) else "tables"
    return [
        f"{who} of an earlier version hold no fingerprint of {len(shared) - len(known)} of {len(shared)} "
        "pictures, which were matched by name and by the places of cells alone"
    ]


def _without(table: pa.Table, taken: Sequence[str]) -> pa.Table:
    """Return a table without what predictions replace; the user's own columns of these names get others."""
    if KIND in taken and holds_kinds(table):
        table = without_kinds(table)
    if AT_BORDER in taken and AT_BORDER in table.column_names:
        table = table.drop_columns([AT_BORDER])
    return renamed(table, taken, "since the columns of the predictions have these names")


def _file(path: Path) -> Path:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
        cells = [file for file in files if any(_slides(file).with_suffix(end).is_file() for end in SUFFIXES)]
        if len(cells) != 1:
            raise RedDinoError(
                f"{path} holds {len(cells)} files of `reddino predict`: name the file of the cells"
            )
        return cells[0]
    if path.suffix not in SUFFIXES or not path.is_file():
        raise RedDinoError(f"{path} is no file of `reddino predict --out`: give its .parquet or .csv")
    return path


def _slides(file: Path) -> Path:
    return file.with_name(f"{file.stem}.slides{file.suffix}")


def _read(file: Path) -> pa.Table:
    try:
        if file.suffix == ".parquet":
            return pq.read_table(file)
        texts = dict.fromkeys(TEXTS, pa.string())
        options = pa_csv.ConvertOptions(strings_can_be_null=True, null_values=[""], column_types=texts)
        return original_table(pa_csv.read_csv(file, convert_options=options))
    except (pa.ArrowException, OSError) as error:
        raise RedDinoError(f"{file} cannot be read: {str(error).splitlines()[0][:160]}") from error


def _with_numbers(file: Path, table: pa.Table, probabilities: Sequence[str]) -> pa.Table:
    """Return the table with places and probabilities as numbers.

    Raises:
        RedDinoError: names the row of a value that is none.
    """
    for name in ("view_x", "view_y", *probabilities):
        if name not in table.column_names:
            continue
        try:
            values = table.column(name).cast(pa.float64())
        except pa.ArrowException:
            raise RedDinoError(
                f"{file}, column '{name}': does not hold numbers alone: predict again"
            ) from None
        number = values.to_numpy()
        if name in probabilities and ((number < -_ROUNDING) | (number > 1 + _ROUNDING)).any():
            row = int(np.argmax((number < -_ROUNDING) | (number > 1 + _ROUNDING)))
            raise RedDinoError(
                f"{file}, row {row + 1}, column '{name}': {number[row]:g} is no probability: predict again"
            )
        table = table.set_column(table.column_names.index(name), name, values)
    return table


def _classes(columns: Sequence[str]) -> list[str]:
    """Return the classes by the columns after `probability`; those of the manifest come before it."""
    after = columns[columns.index(PROBABILITY) :] if PROBABILITY in columns else columns
    return [name[len(PREFIX) :] for name in after if name.startswith(PREFIX)]


def _origin(file: Path, table: pa.Table) -> dict[str, Any]:
    """Return the note that stands next to the cells; empty where it does not, or is that of other cells."""
    path = file.with_suffix(".json")
    content: dict[str, Any] = read_json(path, nan=True) if path.is_file() else {}
    named = content.get("file", file.name)
    return content if named == file.name and content.get("cells", len(table)) == len(table) else {}


def _domain(origin: Mapping[str, Any]) -> tuple[dict[tuple[str, str], tuple[str, str]], str]:
    """Return the verdicts of slides and sources that a note holds, and what could not be compared."""
    found = origin.get("domain")
    if not isinstance(found, dict):
        return {}, ""
    listed = [found.get(name) for name in ("units", "pictures")]
    units = [unit for some in listed if isinstance(some, list) for unit in some]
    return _units(units), str(found.get("note") or "")


def _units(units: Sequence[Any]) -> dict[tuple[str, str], tuple[str, str]]:
    kept = [unit for unit in units if isinstance(unit, dict) and isinstance(unit.get("verdict"), str)]
    return {
        (str(unit.get("source") or ""), str(unit.get("slide") or unit.get("picture") or "")): (
            unit["verdict"],
            str(unit.get("sentence") or ""),
        )
        for unit in kept
    }


def _keys(paths: Sequence[str], table: pa.Table) -> list[tuple[str, int, int]]:
    """Return image and pixel of each row; rows without a place stand for their image."""
    places = []
    for name in ("view_x", "view_y"):
        column = table.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
        places.append(np.where(np.isnan(column), -1, np.rint(column)).astype(np.int64).tolist())
    return list(zip(paths, *places, strict=True))
