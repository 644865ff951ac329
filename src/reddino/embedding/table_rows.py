"""The rows of a table (views, fields or patch tokens) and the columns next to their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reddino.embedding.choices import Per
from reddino.embedding.view_encoder import Vectors
from reddino.foundations.errors import RedDinoError
from reddino.smears.column_names import AT_BORDER, require_free
from reddino.smears.manifest import Manifest
from reddino.smears.slides.numbers import as_types, number_types, with_types
from reddino.views.placing import FOUND_COLUMNS, Squares

TOKENS = "tokens"

# A pyarrow column. The published type stubs list too few of the argument types that pyarrow's functions take.
Column: TypeAlias = Any

# What describes a cell of the manifest, and not a patch of the image that it lies in.
CELL_COLUMNS = ("x", "y", "w", "h", "label")
PLACE_COLUMNS = ("view_x", "view_y", "view_side")


@dataclass(frozen=True)
class TableRows:
    """Rows of a table: the squares they come from (n,), vectors (n, d), and columns of their own (n,)."""

    squares: Squares
    vectors: Vectors
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


class Pooler(Protocol):
    """Turns the network's output for the squares of one part, batch after batch, into rows.

    Attributes:
        extra: further columns of its rows, next to those of the manifest and the view, with their types.
        placed: whether a row stands for one square, and not for a whole field.
    """

    extra: ClassVar[Mapping[str, pa.DataType]]
    placed: ClassVar[bool]

    def add(self, squares: Squares, output: Vectors) -> Iterator[TableRows]:
        """Yield the rows that squares (n,) and the network's output for them complete."""
        ...

    def end(self) -> Iterator[TableRows]:
        """Yield the rows that the end of the part completes."""
        ...


class PerView:
    """One row per view."""

    extra: ClassVar[Mapping[str, pa.DataType]] = {}
    placed: ClassVar[bool] = True

    def add(self, squares: Squares, output: Vectors) -> Iterator[TableRows]:
        """Yield squares (n,) with their vectors (n, d), as they are."""
        yield TableRows(squares, output)

    def end(self) -> Iterator[TableRows]:
        """Yield nothing: every view had its row at once."""
        return iter(())


class PerToken:
    """One row per patch token, with its line and column in the grid of its view, from 0 at the top left."""

    extra: ClassVar[Mapping[str, pa.DataType]] = {"token_row": pa.int32(), "token_col": pa.int32()}
    placed: ClassVar[bool] = True

    def add(self, squares: Squares, output: Vectors) -> Iterator[TableRows]:
        """Yield the tokens (n, t, d) of squares (n,) as n * t rows, those of a view one after the other."""
        views, tokens, dim = output.shape
        line, column = np.divmod(np.tile(np.arange(tokens, dtype=np.int32), views), isqrt(tokens))
        yield TableRows(
            np.repeat(squares, tokens),
            output.reshape(views * tokens, dim),
            {"token_row": line, "token_col": column},
        )

    def end(self) -> Iterator[TableRows]:
        """Yield nothing: every token had its row at once."""
        return iter(())


class PerField:
    """One row per field (image): the mean over its views, and how many they were.

    Sums are kept by image in float64 and added in the order of the views, whatever batches they come in.
    """

    extra: ClassVar[Mapping[str, pa.DataType]] = {"views": pa.int64()}
    placed: ClassVar[bool] = False

    def __init__(self) -> None:
        self._first: Squares | None = None
        self._sum = np.zeros(0)
        self._count = 0

    def add(self, squares: Squares, output: Vectors) -> Iterator[TableRows]:
        """Add the vectors (n, d) of squares (n,); yield the mean of each field that another one follows."""
        borders = np.flatnonzero(np.diff(squares["image"])) + 1
        for mine, vectors in zip(np.split(squares, borders), np.split(output, borders), strict=True):
            if self._first is not None and self._first["image"][0] != mine["image"][0]:
                yield from self.end()
            if self._first is None:
                self._first, self._sum, self._count = mine[:1], np.zeros(vectors.shape[1]), 0
            # One vector after the other: numpy's own sum may add in another order for other lengths.
            for vector in vectors:
                self._sum += vector
            self._count += len(vectors)

    def end(self) -> Iterator[TableRows]:
        """Yield the mean of the last field, if there was any."""
        if self._first is not None:
            mean = (self._sum / self._count).astype(np.float32)[None]
            yield TableRows(self._first, mean, {"views": np.array([self._count])})
        self._first = None


def choose_pooler(pooling: str, per: Per) -> type[Pooler]:
    """Return how rows are made.

    Raises:
        RedDinoError: the two do not go together.
    """
    if pooling == TOKENS and per == "field":
        raise RedDinoError(
            "patch tokens have a row each: for a mean over the tokens of a field choose pooling mean"
        )
    if pooling == TOKENS:
        return PerToken
    return PerField if per == "field" else PerView


class RowColumns:
    """The columns of rows: the manifest's, and where the view lies.

    Args:
        manifest: that the squares were planned on.
        pooler: that makes the rows.
        extra: further columns of the rows, next to those of the pooler, with their types.
        cells: whether views are cut around cells, which have a column on whether the border cuts them.

    Raises:
        RedDinoError: the manifest has a column of a name that the table needs.
    """

    def __init__(
        self,
        manifest: Manifest,
        pooler: type[Pooler],
        extra: Mapping[str, pa.DataType] | None = None,
        *,
        cells: bool = False,
    ) -> None:
        self._extra = {**pooler.extra, **(extra or {})}
        names = manifest.table.column_names
        self._borders = cells and pooler.placed
        found = cells and not manifest.is_cell().any()
        taken = {"embedding", *PLACE_COLUMNS, *self._extra, *([AT_BORDER] if found else [])}
        require_free(names, taken, "an embedding table")
        # What the manifest holds of its cells is in the squares; of patches and fields it holds nothing.
        if AT_BORDER in names and (cells or manifest.is_cell().any()):
            manifest = Manifest(manifest.table.drop_columns([AT_BORDER]), manifest.root)
        # One chunk a column, so that taking rows does not search through hundreds of them.
        self._manifest = Manifest(manifest.table.combine_chunks(), manifest.root)
        # By all rows, so that all parts have the same.
        self._types = number_types(self._manifest.table)
        self._pooler = pooler

    @property
    def schema(self) -> pa.Schema:
        """Of the columns that `of` returns."""
        places = [pa.field(name, pa.float64()) for name in PLACE_COLUMNS]
        extra = [pa.field(name, kind) for name, kind in self._extra.items()]
        border = [pa.field(AT_BORDER, pa.bool_())] if self._borders else []
        described = as_types(self._manifest.table.schema, self._types)
        return pa.schema([*described, *places, *border, *extra])

    def of(self, rows: TableRows) -> pa.Table:
        """Return the columns (n rows).

        A view that is not cut around the cell of its row is not described by it: it has no box or label.
        """
        squares = rows.squares
        described = self._manifest.select(squares["row"])
        table = _without_foreign_cells(described, squares, self._pooler.placed)
        for name in FOUND_COLUMNS if self._pooler.placed else ("cell_diameter",):
            table = _fill_found(table, name, squares[name])
        for name, values in zip(PLACE_COLUMNS, ("cx", "cy", "side"), strict=True):
            given = squares[values] if self._pooler.placed else np.full(len(squares), np.nan)
            table = table.append_column(name, _numbers(given))
        if self._borders:
            table = table.append_column(AT_BORDER, _flags(squares[AT_BORDER]))
        for name, kind in self._extra.items():
            table = table.append_column(name, pa.array(rows.extra[name], kind))
        return with_types(table, self._types)


def _without_foreign_cells(described: Manifest, squares: Squares, placed: bool) -> pa.Table:
    """Empty the cell columns of rows whose cell is not what the vector shows."""
    table = described.table
    centres = described.centres()
    elsewhere = described.is_cell()
    if placed:
        elsewhere &= (centres[:, 0] != squares["cx"]) | (centres[:, 1] != squares["cy"])
    if elsewhere.any():
        for name in CELL_COLUMNS:
            column: Column = table.column(name)
            kept = pc.if_else(pa.array(elsewhere), pa.scalar(None, column.type), column)
            table = table.set_column(table.column_names.index(name), name, kept)
    return table


def _fill_found(table: pa.Table, name: str, found: npt.NDArray[np.float64]) -> pa.Table:
    """Put in what was measured of cells that were found; NaN leaves the manifest's own value."""
    if np.isnan(found).all():
        return table
    filled: Column = pc.coalesce(_numbers(found), table.column(name))
    return table.set_column(table.column_names.index(name), name, filled)


def _numbers(values: npt.NDArray[np.float64]) -> Column:
    """Return float64 with null for NaN, as in a manifest."""
    return pa.array(np.ascontiguousarray(values), pa.float64(), from_pandas=True)


def _flags(values: npt.NDArray[np.float64]) -> Column:
    """Return booleans of 0 and 1, with null for NaN."""
    return pa.array(values > 0, pa.bool_(), mask=np.isnan(values))
