"""All rows of a large table on a map that was fitted on a sample of them, written a row group at a time."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reddino.embedding.border import cells_at_border
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.table_on_disk import Block, TableOnDisk
from reddino.embedding.view_encoder import Vectors
from reddino.figures.outliers import SourceScale
from reddino.figures.projection import Points
from reddino.foundations.atomic import atomic_path
from reddino.foundations.parquet import parquet_writer
from reddino.foundations.stages import stage
from reddino.smears.column_names import log_renamed, written_names

log = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]

#: Vectors that are placed at once.
AT_ONCE = 16_384
#: Columns of the map, and of whether it was fitted on a row.
X, Y, OUTLIER, FITTED = "map_x", "map_y", "outlier", "map_fitted"


@dataclass(frozen=True)
class FittedMap:
    """A map of a sample, which places further vectors.

    Attributes:
        rows: (m,) of the sample in the table, sorted.
        xy: (m, 2) their points.
        scores: (m,) their outlier scores.
        place: returns the points of further vectors.
        scales: by source, what outlier scores are measured by.
        keep_border: whether cells that a border cuts have a score.
    """

    rows: Indices
    xy: Points
    scores: npt.NDArray[np.float64]
    place: Callable[[Vectors], Points]
    scales: Mapping[str, SourceScale]
    keep_border: bool


def save_all_rows(table: TableOnDisk, fitted: FittedMap, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write the columns of all rows with map_x, map_y, outlier and map_fitted; memory holds a row group.

    Rows of the sample keep their points and scores; the others are placed on the same map, and measured by
    the sample of their source. Batches are those of the table's row groups, so that the same table and seed
    give the same file.

    Raises:
        RedDinoError: vectors are not finite.
    """
    names = written_names(table.schema.names, (X, Y, OUTLIER, FITTED))
    log_renamed(names, "since the map's own columns have these names")
    notes = {"reddino": json.dumps({"embedding": dict(table.meta), "provenance": dict(provenance)})}
    with atomic_path(path) as partial, stage("placing all rows on the map") as advance:
        writer: pq.ParquetWriter | None = None
        lost, unmeasured = 0, 0
        try:
            for block in table.blocks(table.schema.names, vectors=True):
                written = block.columns.rename_columns(list(names.values()))
                placed = _placed(block, fitted, table.meta)
                lost += int((~np.isfinite(placed[X] + placed[Y])).sum())
                unmeasured += _unmeasured(block, fitted)
                for name, values in placed.items():
                    written = written.append_column(name, pa.array(values))
                written = written.replace_schema_metadata(notes)
                writer = writer or parquet_writer(partial, written.schema)
                writer.write_table(written)
                advance(block.start + len(block), len(table))
        finally:
            if writer is not None:
                writer.close()
    if lost:
        log.warning("UMAP found no finite place for %d of %d rows of '%s'", lost, len(table), path)
    if unmeasured:
        log.warning(
            "%d of %d rows of '%s' have no outlier score: the sample has fewer than two whole cells of their "
            "source",
            unmeasured,
            len(table),
            path,
        )


def _unmeasured(block: Block, fitted: FittedMap) -> int:
    """Count the whole cells of a block whose source has no scale."""
    whole = np.ones(len(block), np.bool_) if fitted.keep_border else ~cells_at_border(block.columns)
    sources = np.asarray(Embeddings(block.vectors, block.columns, {}).strings("source"), dtype=np.str_)
    return int((whole & ~np.isin(sources, sorted(fitted.scales))).sum())


def _placed(block: Block, fitted: FittedMap, meta: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a block that the map adds."""
    emb = Embeddings(block.vectors.astype(np.float32, copy=False), block.columns, meta)
    require_finite(emb)
    xy, scores = np.empty((len(emb), 2)), np.full(len(emb), np.nan)
    first, last = np.searchsorted(fitted.rows, [block.start, block.start + len(block)])
    own = fitted.rows[first:last] - block.start
    xy[own], scores[own] = fitted.xy[first:last], fitted.scores[first:last]
    known = np.zeros(len(emb), np.bool_)
    known[own] = True
    rest = np.flatnonzero(~known)
    for part in np.split(rest, range(AT_ONCE, len(rest), AT_ONCE)):
        if len(part):
            xy[part] = fitted.place(emb.vectors[part])
    measured = ~known if fitted.keep_border else ~known & ~cells_at_border(block.columns)
    sources = np.asarray(emb.strings("source"), dtype=np.str_)
    for source in np.unique(sources[measured]).tolist():
        scale = fitted.scales.get(source)
        rows = np.flatnonzero(measured & (sources == source))
        if scale is not None:
            scores[rows] = scale.scores(emb.vectors[rows])
    return {
        X: xy[:, 0].astype(np.float32),
        Y: xy[:, 1].astype(np.float32),
        OUTLIER: scores.astype(np.float32),
        FITTED: known,
    }
