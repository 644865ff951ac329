"""An overview of an embedding table: its map, its outliers, its pictures, and the figures of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.figure import Figure

from reddino.embedding.border import cells_at_border
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.view_encoder import Images
from reddino.figures.atlas_data import write_atlas_data
from reddino.figures.choices import Method
from reddino.figures.clusters import cluster_names
from reddino.figures.map_sample import MapSample
from reddino.figures.maps import maps_figure
from reddino.figures.outliers import SourceScale, fit_outliers
from reddino.figures.placed_rows import FittedMap
from reddino.figures.prediction_file import PROBABILITIES, PredictionFile, with_predictions
from reddino.figures.projection import Points, layout
from reddino.figures.row_pictures import Pictures
from reddino.figures.sheets import (
    Indices,
    classes_figure,
    find_neighbourhoods,
    neighbours_figure,
    outliers_figure,
    typical_queries,
)
from reddino.foundations.atomic import atomic_path
from reddino.foundations.counting import counted
from reddino.foundations.parquet import write_parquet
from reddino.foundations.stages import stage
from reddino.foundations.visible import short
from reddino.smears.column_names import PREDICTED, renamed

#: Side in pixels of the pictures on sheets.
PICTURE = 96
#: Columns that are panels of the map: title -> the columns to take, the first with several values.
PANELS: Mapping[str, tuple[str, ...]] = {
    "by class": ("label",),
    "by patient": ("patient", "slide"),
    "by source": ("source",),
}
#: The column of groups of similar cells.
GROUP = "group of similar cells"
#: Panels of columns that stand in for labels.
PANEL_OF = {GROUP: "by group of similar cells (no classes)", "predicted": "by predicted class"}
NAMES = {"umap": "UMAP", "pca": "first two principal components"}


@dataclass(frozen=True)
class Overview:
    """A table with its figures.

    Attributes:
        table: rows and vectors.
        xy: (n, 2) the map.
        scores: (n,) outlier scores, see `outlier_scores`.
        pictures: where the rows' pictures are; None if the images are not at hand.
        method: how the map was made.
        seed: that map and choices follow from.
        label: column of the classes.
        notes: for the reader of the figures, such as how many vectors are equal.
        predictions: of these cells, by a classifier; None where none were given.
        whole: (n,) rows that sheets and outliers are of: all but cells that the border of their image cuts;
            None: all.
        sample: of which the rows are, where they were drawn from a larger table.
        fitted: the map, which places the other rows of that table.
    """

    table: Embeddings
    xy: Points
    scores: Points
    pictures: Pictures | None
    method: Method
    seed: int
    label: str
    notes: tuple[str, ...] = ()
    predictions: PredictionFile | None = None
    whole: npt.NDArray[np.bool_] | None = None
    sample: MapSample | None = None
    fitted: FittedMap | None = None

    @classmethod
    def of(
        cls,
        table: Embeddings,
        *,
        images: str | Path | None = None,
        method: Method = "umap",
        seed: int = 0,
        label: str = "label",
        predictions: PredictionFile | None = None,
        digests: Mapping[str, str] | None = None,
        keep_border: bool = False,
        sample: MapSample | None = None,
    ) -> Overview:
        """Lay out the map and score outliers.

        Args:
            table: an embedding table.
            images: the manifest that was embedded, or the folder that its paths start from.
            method: `umap`, or `pca` where a second must do.
            seed: of the map, and of what is drawn at random.
            label: column of the classes.
            predictions: of the same cells, whose classes and verdicts become columns.
            digests: of the table's pictures, as for `with_predictions`.
            keep_border: let cells that the border of their image cuts be outliers, neighbours and examples.
            sample: that the rows of the table are; None: the table is whole.

        Raises:
            RedDinoError: no such column, predictions of other cells, the images are not there, or vectors are
                not finite.
        """
        require_finite(table)
        table.strings(label)
        unmatched: tuple[str, ...] = ()
        if predictions is not None and table.meta.get("pooling") != PROBABILITIES:
            table, unmatched = with_predictions(table, predictions, digests)
        pictures = Pictures.of(table, images) if images is not None else None
        made = layout(table.vectors, method, seed)
        with stage("scoring outliers"):
            scores, whole, scales = _outliers(table, seed, keep_border)
        notes = (*made.notes, *unmatched, *_cut_note(whole))
        fitted = None
        if sample is not None:
            notes = (sample.note(), *notes)
            every = keep_border or bool(cells_at_border(table.table).all())
            fitted = FittedMap(sample.rows, made.xy, scores, made.place, scales, every)
        return cls(
            table,
            made.xy,
            scores,
            pictures,
            made.method,
            seed,
            label,
            notes,
            predictions,
            whole,
            sample,
            fitted,
        )

    @cached_property
    def groups(self) -> list[str]:
        """Names (n,) of groups of similar cells, for tables that neither labels nor predictions divide."""
        return cluster_names(self.table.vectors, self.seed)

    @property
    def has_vectors(self) -> bool:
        """Whether vectors of a network were given; of class probabilities no neighbours are shown."""
        return self.table.meta.get("pooling") != PROBABILITIES

    @property
    def shown(self) -> tuple[str, list[str]]:
        """Name and values (n,) of the column that figures go by: labels, else predictions, else groups."""
        for column in (self.label, PREDICTED):
            if column in self.table.table.column_names and any(values := self.table.strings(column)):
                return column, values
        return GROUP, self.groups

    @property
    def title(self) -> str:
        """Model, rows and method in one line."""
        views = f"{len(self.table)} views"
        if self.sample is not None:
            views += f", drawn from {self.sample.of}"
        return f"{short(str(self.table.meta['model']), 60)}: {NAMES[self.method]} of {views}"

    def panels(self) -> dict[str, list[str]]:
        """Return panel title -> labels, of the columns that hold at least two values."""
        found = {}
        for title, columns in PANELS.items():
            for column in (self.label,) if columns == ("label",) else columns:
                values = self.table.strings(column) if column in self.table.table.column_names else []
                if len(set(values) - {""}) > 1:
                    found[title if column == columns[0] else f"by {column}"] = values
                    break
        column, values = self.shown
        if column != self.label and len(set(values) - {""}) > 1:
            found = {PANEL_OF[column]: values, **found}
        elif PREDICTED in self.table.table.column_names and len(set(self.table.strings(PREDICTED))) > 1:
            found = {**found, PANEL_OF[PREDICTED]: self.table.strings(PREDICTED)}
        return found or {"one source, one class": [""] * len(self.table)}

    def maps(self) -> Figure:
        """Draw the map by class, by patient (or slide) and by source."""
        with stage("drawing the map"):
            return maps_figure(self.xy, self.panels(), self.title)

    def sheets(self) -> dict[str, Figure]:
        """Draw sheets of pictures by name: classes (or groups of similar cells), outliers and neighbours.

        Cells that the border of their image cuts are on none of them.
        """
        if self.pictures is None:
            return {}
        whole = np.arange(len(self.table)) if self.whole is None else np.flatnonzero(self.whole)
        part = self.table.select(whole)
        column, values = self.shown
        if column == PREDICTED:
            values = self.counted_classes(outside=False)
        labels, sources = [values[row] for row in whole.tolist()], part.strings("source")

        def cut(rows: Indices) -> Images:
            return self.cut(whole[rows])

        sheets = {}
        if any(labels):
            name = "groups" if column == GROUP else "classes"
            with stage(f"drawing the sheet of {name}"):
                title = f"mean picture of a {'group' if column == GROUP else 'class'}"
                sheets[name] = classes_figure(part.vectors, labels, cut, seed=self.seed, title=title)
        if not self.has_vectors:
            return sheets
        with stage("drawing the sheet of outliers"):
            sheets["outliers"] = outliers_figure(self.scores[whole], sources, labels, cut)
        with stage("finding neighbours"):
            queries = typical_queries(part.vectors, labels, sources)
            found = find_neighbourhoods(part.vectors, sources, part.strings("path"), queries)
        with stage("drawing the sheet of neighbours"):
            sheets["neighbours"] = neighbours_figure(found, cut, labels, sources)
        return sheets

    def counted_classes(self, *, outside: bool = True) -> list[str]:
        """Return the predicted class (n,) of each cell that counts for one; "" for those left out.

        Args:
            outside: keep the cells of smears that lie outside of what the classifier learned from.
        """
        given, table = self.predictions, self.table.table
        file = PredictionFile(Path(), table, (), {}) if given is None else replace(given, table=table)
        rows = zip(file.strings(PREDICTED), file.counted().tolist(), self.verdicts(), strict=True)
        return [
            name if counts and (outside or verdict != "outside") else "" for name, counts, verdict in rows
        ]

    def verdicts(self) -> list[str]:
        """Return the verdict (n,) on each cell's slide (or image, or else source); "" where there is none."""
        known = {} if self.predictions is None else self.predictions.domain
        keys = zip(*(self.table.strings(name) for name in ("source", "slide", "path")), strict=True)
        return [
            (known.get((source, slide or path)) or known.get((source, "")) or ("",))[0]
            for source, slide, path in keys
        ]

    def cut(self, rows: Indices, side: int = PICTURE) -> Images:
        """Return pictures (m, side, side, 3) of rows (m,)."""
        if self.pictures is None:
            raise ValueError("this overview has no pictures")
        return self.pictures.cut(rows, side)

    def columns(self) -> pa.Table:
        """Return the table's columns without vectors, and map_x, map_y and outlier.

        A column of the table that has one of these names gets another, which is logged.
        """
        added = {"map_x": self.xy[:, 0], "map_y": self.xy[:, 1], "outlier": self.scores}
        table = renamed(self.table.table, added, "since the map's own columns have these names")
        for name, values in added.items():
            table = table.append_column(name, pa.array(values.astype(np.float32)))
        return table

    def save_columns(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Write `columns` as Parquet, with where they come from in the metadata."""
        notes = {"reddino": json.dumps({"embedding": dict(self.table.meta), "provenance": dict(provenance)})}
        with atomic_path(path) as partial:
            write_parquet(self.columns().replace_schema_metadata(notes), partial)

    def save_atlas_data(self, path: Path) -> None:
        """Write what Embedding Atlas reads; see `reddino.figures.atlas_data.write_atlas_data`."""
        write_atlas_data(self.columns(), path, self.cut if self.pictures is not None else None)


def _outliers(
    table: Embeddings, seed: int, keep_border: bool
) -> tuple[Points, npt.NDArray[np.bool_], Mapping[str, SourceScale]]:
    """Return outlier scores (n,), of which rows (n,), and what they are measured by.

    Scores are nan for cells that the border cuts.

    Half of these are mirror images. Where the border cuts all, all have a score.
    """
    cut = cells_at_border(table.table)
    whole = np.ones(len(table), np.bool_) if keep_border or cut.all() else ~cut
    scores = np.full(len(table), np.nan)
    scales: Mapping[str, SourceScale] = {}
    if table.meta.get("pooling") != PROBABILITIES:
        part = table.select(whole)
        scores[whole], scales = fit_outliers(part.vectors, part.strings("source"), seed=seed)
    return scores, whole, scales


def _cut_note(whole: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """Return a note on the cells that the border cuts; none where there is none."""
    cut = int((~whole).sum())
    if not cut:
        return ()
    return (f"{counted(cut, 'cell')} cut by the border of their image: on the map, but on no sheet",)
