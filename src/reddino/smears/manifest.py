"""The manifest: a table of a collection of smear images, one row per image or cell."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.stores.urls import is_url, url_of
from reddino.smears import manifest_file
from reddino.smears.contents import column_digests
from reddino.smears.findings import Finding, joined
from reddino.smears.groups import joined_groups
from reddino.smears.manifest_columns import COLUMNS, NUMBER_COLUMNS, conform
from reddino.smears.row_places import RowPlace, RowPlaces
from reddino.smears.shards import file_size, file_sizes, split_member
from reddino.smears.slides.names import SlidePart, split_slide
from reddino.smears.slides.numbers import number_types, with_types
from reddino.smears.spelling import tidy
from reddino.smears.stored_pictures import picture_states, picture_url

__all__ = ["COLUMNS", "Manifest", "join_manifests", "read_manifest", "with_groups", "write_manifest"]


class NoColumnError(RedDinoError, KeyError):
    """A column that the manifest lacks, or that holds another kind of value."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show it in quotes


@dataclass(frozen=True)
class Manifest:
    """A table of images and cells, and the folder that their paths are relative to.

    The table is brought into form on construction: every column of `COLUMNS` is present (text as strings,
    coordinates and diameters as float64, null = missing) and comes first; further columns follow as strings.

    Attributes:
        table: n rows; see docs/design.md for the columns.
        root: folder that `path` is relative to.
        findings: what was odd when the table was read, such as blanks around values.
        places: where its rows stand in the files from which they were read; None for a table without files.

    Raises:
        RedDinoError: a value breaks the rules of the manifest; names row and column.
    """

    table: pa.Table
    root: Path
    findings: tuple[Finding, ...] = field(default=(), compare=False)
    places: RowPlaces | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        table, found = conform(self.table, RowPlace("the manifest"))
        known = {(finding.kind, finding.message) for finding in self.findings}
        new = [finding for finding in found if (finding.kind, finding.message) not in known]
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "findings", joined((self.findings, new)))
        object.__setattr__(self, "root", Path(self.root))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def strings(self, name: str) -> list[str]:
        """Return a text column (or one that was carried along) as n strings; "" = missing."""
        if name in NUMBER_COLUMNS:
            raise NoColumnError(f"column '{name}' of the manifest holds numbers, not text")
        column = self._column(name)
        if pa.types.is_nested(column.type):
            raise NoColumnError(f"column '{name}' of the manifest holds {column.type}, not text")
        if not pa.types.is_string(column.type):  # numbers of slides, in packs and tables
            column = column.cast(pa.string())
        return cast(list[str], pc.fill_null(column, "").to_pylist())

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a number column as (n,) float64; NaN = missing."""
        if name not in NUMBER_COLUMNS:
            raise NoColumnError(f"column '{name}' of the manifest holds text, not numbers")
        filled: Any = pc.fill_null(self._column(name), float("nan"))
        return np.array(filled.to_numpy(), dtype=np.float64)

    def _column(self, name: str) -> Any:
        if name not in self.table.column_names:
            raise NoColumnError(
                f"the manifest has no column '{name}', only: {', '.join(self.table.column_names)}"
            )
        return self.table.column(name)

    def paths(self) -> list[Path]:
        """Return the absolute path of each row's image; rows of one image share one object."""
        unique, codes = self.images()
        root = Path.cwd() / self.root
        absolute = [root / path for path in unique]
        return [absolute[code] for code in codes.tolist()]

    def place(self, row: int) -> str:
        """Return where a row stands, with its image, for messages: `cells.csv, line 17 (3.png)`."""
        where = f"row {row + 1}" if self.places is None else self.places.of(row)
        return f"{where} ({self._column('path')[row].as_py()})"

    def images(self) -> tuple[list[str], NDArray[np.int64]]:
        """Return the distinct images in order of appearance, and for each row which of them it belongs to.

        Returns:
            m paths as they stand in the table, and (n,) indices into them.
        """
        encoded = self._column("path").combine_chunks().dictionary_encode()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)

    def is_cell(self) -> NDArray[np.bool_]:
        """Return (n,) True where the row is a cell, False where it is a whole image."""
        return ~np.isnan(self.numbers("x"))

    def centres(self) -> NDArray[np.float64]:
        """Return the centre of each cell, (n, 2) x, y in pixels: the middle of its box, or its point.

        Rows of whole images have NaN.
        """
        half = np.stack([self.numbers("w"), self.numbers("h")], axis=1) / 2
        corner = np.stack([self.numbers("x"), self.numbers("y")], axis=1)
        return corner + np.nan_to_num(half)

    def fold_groups(self, across: Collection[str] = (), copies: Mapping[str, str] | None = None) -> list[str]:
        """Return the name of each row's group (n,): rows of one group stay on one side of a split.

        Rows that share an image, a `group`, a `slide` or a `patient` of one source are one group, also by way
        of other rows; 'slide 1' of two sources is two groups. Rectangles of one microscope file are one
        image.

        Args:
            across: those of `patient`, `slide` and `group` that mean the same under every source.
            copies: by path of an image, a name that all images have that show the same picture.
        """
        paths = self.strings("path")
        columns = {name: self.strings(name) for name in ("patient", "slide", "group")}
        # Regions of one slide may overlap, and are of one slide even where no column names it.
        columns["path"] = [_whole((copies or {}).get(path, path)) for path in paths]
        return joined_groups(self.strings("source"), columns, (*across, "path"))

    def select(self, rows: ArrayLike) -> Manifest:
        """Return the rows chosen by a boolean mask (n,) or by indices, in the order given."""
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise ValueError(f"the mask has shape {chosen.shape}, the manifest {len(self)} rows")
            return self._with(self.table.filter(pa.array(chosen)), chosen)
        indices = chosen.astype(np.int64)
        return self._with(self.table.take(indices), indices)

    def _with(self, table: pa.Table, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Manifest:
        places = None if self.places is None else self.places.select(rows)
        return _checked(table, self.root, self.findings, places)

    def with_column(
        self, name: str, values: Sequence[Any] | NDArray[Any] | pa.Array[Any] | pa.ChunkedArray[Any]
    ) -> Manifest:
        """Return the same rows with the column `name` set to n `values`, replacing one of that name."""
        column: Any = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        if len(column) != len(self):
            raise ValueError(f"{len(column)} values for {len(self)} rows in column '{name}'")
        if name in self.table.column_names:
            index = self.table.column_names.index(name)
            table = self.table.set_column(index, name, column)
        else:
            table = self.table.append_column(name, column)
        return Manifest(table, self.root, self.findings, self.places)

    def missing_files(self) -> list[str]:
        """Return the paths, as they stand in the table, of images that do not exist."""
        unique, _ = self.images()
        there = picture_states(self.root / path for path in unique)
        return [path for path in unique if self.root / path not in there and not _is_there(self.root / path)]

    def fingerprint(self) -> str:
        """Return 16 hex digits over the content of all columns and the size of each image file.

        The same for CSV and Parquet, wherever the collection lies; other rows, values or sizes change it.
        Whether pictures of one size are still the same is for those to note who read them
        (`reddino.smears.contents`).
        """
        unique, _ = self.images()
        sizes = np.array(file_sizes([self.root / path for path in unique]), dtype=np.int64)
        columns = column_digests(self.table)
        return hash_bytes(*(f"{name}\0{columns[name]}\0".encode() for name in columns), sizes.tobytes())


def _whole(path: str) -> str:
    """Return the file or scene of which a path names a rectangle; any other path as it is."""
    part = split_slide(path) if "::" in path else None
    return path if part is None or part.rectangle is None else SlidePart(part.file, part.scene).as_posix()


def _checked(
    table: pa.Table, root: Path, findings: tuple[Finding, ...], places: RowPlaces | None
) -> Manifest:
    """Return a manifest over a table that was checked before, without a second check."""
    manifest = object.__new__(Manifest)
    for name, value in (("table", table), ("root", root), ("findings", findings), ("places", places)):
        object.__setattr__(manifest, name, value)
    return manifest


def _is_there(path: Path) -> bool:
    try:
        plain = split_member(path) is None and split_slide(path) is None and picture_url(path) is None
        return path.is_file() if plain else file_size(path) >= 0
    except OSError:  # a name that is too long for the file system
        return False


def read_manifest(path: str | Path, *, check_files: bool = False) -> Manifest:
    """Read a manifest from a CSV or Parquet file.

    Args:
        path: file that ends in `.csv` or `.parquet`; its folder becomes the root.
        check_files: also check that every image exists.

    Raises:
        RedDinoError: names file, row (for CSV the line as an editor counts it) and column of the first fault.
    """
    path = Path(path)
    table, place = manifest_file.read_table(path)
    table, found = conform(table, place)
    if table.num_rows == 0:
        raise RedDinoError(f"{path} lists no images: it needs at least one row below the column names")
    places = RowPlaces.one_file(place, table.num_rows)
    manifest = _with_files_that_exist(_checked(table, path.parent, found, places), place)
    if check_files:
        _require_files(manifest, place)
    return manifest


def root_of(images: str | Path) -> Path:
    """Return the folder that paths start from, given it or the manifest of the pictures.

    Raises:
        RedDinoError: neither such a folder nor a manifest that can be read.
    """
    given = Path(images)
    folder = is_url(given) and given.suffix.lower() not in manifest_file.FORMATS
    return given if folder or given.is_dir() else read_manifest(given).root


def _with_files_that_exist(manifest: Manifest, place: RowPlace) -> Manifest:
    """Respell paths whose file does not exist as written, but does under a spelling that reads the same.

    Such are blanks at the ends, accents of another Unicode form, and the backslashes of Windows.
    """
    unique, codes = manifest.images()
    respelt = {number: _as_on_disk(path, manifest.root) for number, path in enumerate(unique)}
    changed = {number: path for number, path in respelt.items() if path != unique[number]}
    if not changed:
        return manifest
    rows = np.flatnonzero(np.isin(codes, list(changed)))
    message = f"column 'path': the file of {unique[codes[rows[0]]]!r} is called {changed[codes[rows[0]]]!r}"
    found = Finding("paths respelt", message, len(rows), place.of(int(rows[0])), harmless=True)
    column = _by_row([respelt[number] for number in range(len(unique))], codes)
    index = manifest.table.column_names.index("path")
    table = manifest.table.set_column(index, "path", column)
    return _checked(table, manifest.root, (*manifest.findings, found), manifest.places)


def _as_on_disk(path: str, root: Path) -> str:
    """Return a path as its file is called; as it is written where that exists, or nothing near."""
    plain = path.isascii() and path == path.strip() and "\\" not in path
    if plain or _is_there(root / path):
        return path
    slashed = path.replace("\\", "/")
    spellings = dict.fromkeys(
        form for text in (path, slashed, tidy(path), tidy(slashed)) for form in (text, _nfc(text), _nfd(text))
    )
    return next((text for text in spellings if text and _is_there(root / text)), path)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def _require_files(manifest: Manifest, place: RowPlace) -> None:
    missing = manifest.missing_files()
    if missing:
        row = manifest.strings("path").index(missing[0])
        more = f" ({len(missing)} image files are missing in all)" if len(missing) > 1 else ""
        raise RedDinoError(
            f"{place.of(row)}, column 'path': the image '{missing[0]}' does not exist{more}; "
            "paths are relative to the folder of the manifest"
        )


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write a manifest as CSV or Parquet (by suffix), whole or not at all.

    Paths become relative to the folder it is written to. In Parquet, numbers of slides are numbers.
    """
    path = Path(path)
    manifest_file.require_known_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = _moved(manifest, path.parent).table
    if path.suffix.lower() == ".parquet":
        table = with_types(table, number_types(table, exact=True))
    manifest_file.write_table(table, path)


def _moved(manifest: Manifest, root: Path) -> Manifest:
    """Return the same images, with paths relative to `root`."""
    old, new = _real(manifest.root), _real(root)
    if old == new:
        return Manifest(manifest.table, root, manifest.findings, manifest.places)
    unique, codes = manifest.images()
    moved = [_relative(Path(old, path), new) for path in unique]
    column = _by_row(moved, codes)
    index = manifest.table.column_names.index("path")
    table = manifest.table.set_column(index, "path", column)
    return Manifest(table, root, manifest.findings, manifest.places)


def _real(folder: Path) -> str:
    """Return the real folder: '..' after a symbolic link would else lead elsewhere; of a URL, the URL."""
    return url_of(folder) or os.path.realpath(folder)


def _relative(path: Path, root: str) -> str:
    """Return a path as it is named in `root`; whole, where it is behind a URL and not below `root`."""
    url = picture_url(path)
    if url is not None:
        return url.removeprefix(root.rstrip("/") + "/")
    return path.as_posix() if is_url(root) else Path(os.path.relpath(path, root)).as_posix()


def _by_row(values: Sequence[str | None], codes: NDArray[np.int64]) -> Any:
    """Return a text column that holds, for each row, the value of its image."""
    indices: Any = pa.array(codes)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string())).cast(pa.string())


def join_manifests(manifests: Sequence[Manifest]) -> Manifest:
    """Put manifests below each other; paths become relative to the deepest folder that holds them all."""
    if not manifests:
        raise RedDinoError("there is no manifest to join; give at least one")
    roots = [_real(manifest.root) for manifest in manifests]
    # A picture behind a URL is named by it where the others are on this machine.
    root = Path(os.path.commonpath([one for one in roots if not is_url(one)] or roots))
    tables = [_moved(manifest, root).table for manifest in manifests]
    table = pa.concat_tables(tables, promote_options="default")
    places = RowPlaces.joined([one.places or RowPlaces.one_file(None, len(one)) for one in manifests])
    return Manifest(table, root, joined(manifest.findings for manifest in manifests), places)


def with_groups(manifest: Manifest, csv: str | Path) -> Manifest:
    """Fill `group` from a table with the columns `group` and `path` (relative to that table's folder).

    Images that the table does not list keep the group they have; listed images that the manifest lacks are
    ignored.

    Raises:
        RedDinoError: the table lacks a column or a value, or lists no image of the manifest.
    """
    listed = _moved(read_manifest(csv), manifest.root)
    groups: dict[str, str] = {}
    for row, (path, group) in enumerate(zip(listed.strings("path"), listed.strings("group"), strict=True)):
        if groups.setdefault(path, group) != group:
            place = listed.place(row)
            raise RedDinoError(f"{place}: is in the groups '{groups[path]}' and '{group}'; leave one out")
    if "" in groups.values():
        raise RedDinoError(
            f"{csv}: an image without a group; the table needs the columns 'group' and 'path', both filled"
        )
    unique, codes = manifest.images()
    found = [groups.get(Path(os.path.normpath(path)).as_posix()) for path in unique]
    if not any(found):
        raise RedDinoError(
            f"{csv} lists no image of the manifest: its paths must be relative to its own folder"
        )
    filled: Any = pc.coalesce(_by_row(found, codes), manifest.table.column("group"))
    return manifest.with_column("group", filled)
