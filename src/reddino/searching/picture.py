"""A picture as a query: embedded with a table's own model, view and preprocessing, as `predict` embeds."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reddino.classification.planned_views import PlannedViews, embedded, plan
from reddino.classification.predict import find_marked
from reddino.embedding.comparable import in_short
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.growth import picture_digests
from reddino.embedding.open_encoder import open_encoder
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.embedding.view_encoder import ViewEncoder, preprocessing
from reddino.foundations.errors import RedDinoError
from reddino.searching.exact import unit_vectors
from reddino.searching.queries import Place, Queries, described, rows_at
from reddino.smears.contents import read_content
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data
from reddino.views.scales import view_diameters
from reddino.views.spec import ViewSpec, make_view

log = logging.getLogger(__name__)


def picture_query(
    table: TableOnDisk, picture: Path, place: Place | None, *, model: str | None, device: str
) -> Queries:
    """Return a picture, or a cell of one, as a query.

    The table's views decide what is embedded: whole pictures (no place), cells (the one at the place, or the
    only
    one that is found), or squares (the one that holds the place). Of tables with a row for each field, it is
    the mean over the picture's views.

    Args:
        table: whose model, view and preprocessing are used.
        picture: the file.
        place: x, y of a cell in it, in pixels; None: no place is given.
        model: where the table's model is now, if it is no longer where the table was made.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.

    Raises:
        RedDinoError: a picture of several cells and no place, another model, or a table of patch tokens.
    """
    meta = table.meta
    _require_embeddable(meta)
    view = make_view(**meta["view"])
    _require_place(view, place, per_field=meta.get("per") == "field", picture=picture)
    encoder = _open(meta, model, device)
    failures = Failures()
    opened = open_data(picture, failures)
    if len(opened) != 1 or opened.is_cell().any():
        raise RedDinoError(
            f"'{picture}' is no single picture: embed it to a table, and search for that table"
        )
    whole = meta.get("per") == "field"
    planned = _planned(opened, view, None if whole else place, failures, find=_found(meta, view))
    read = embedded(planned, encoder, str(meta["pooling"]), failures=failures)
    if whole:
        vector, centre, side = read.vectors.mean(axis=0, keepdims=True), None, math.nan
    else:
        row = _chosen(planned, read, view, place, picture)
        vector = read.vectors[row : row + 1]
        centre = None if view.kind == "image" else _centre(read, row)
        side = float(read.numbers("view_side")[row])
    return _query(table, picture, vector, centre, side)


def _require_embeddable(meta: dict[str, Any]) -> None:
    if meta["pooling"] == "tokens":
        raise RedDinoError(
            "the table has a row for each patch token, and a picture many: name a row of the table"
        )
    if meta["view"].get("kind") == "random":
        raise RedDinoError(
            "the table's views lie at random places, and a picture has many: name a row of the table"
        )


def _require_place(view: ViewSpec, place: Place | None, *, per_field: bool, picture: Path) -> None:
    if place is not None and (view.kind == "image" or per_field):
        what = "whole pictures" if view.kind == "image" else "fields"
        raise RedDinoError(f"the table is of {what}, in which '{picture.name}' has no place: leave --at out")


def _open(meta: dict[str, Any], model: str | None, device: str) -> ViewEncoder:
    """Open the model of a table.

    Raises:
        RedDinoError: it is another, or prepares its views otherwise.
    """
    name = model or str(meta.get("opens_as") or meta["model"])
    prepared = meta["preprocessing"]
    encoder = open_encoder(
        name,
        image_size=int(prepared["input_size"]),
        device=device,
        precision="fp32",
        channel_order=prepared.get("channel_order") or None,
    )
    if encoder.weights_hash != meta["weights_hash"]:
        raise RedDinoError(
            f"the table was embedded with weights {meta['weights_hash']} ('{meta['model']}'), and '{name}' "
            "has "
            f"{encoder.weights_hash}: give --model its own"
        )
    own, other = dict(prepared), preprocessing(encoder)
    if json.dumps(own, sort_keys=True) != json.dumps(other, sort_keys=True):
        raise RedDinoError(
            f"'{name}' prepares its views otherwise ({in_short(other, own)}) than the table has it "
            f"({in_short(own, other)}): use the version of RedDino that made it"
        )
    return encoder


def _found(meta: dict[str, Any], view: ViewSpec) -> bool:
    return view.kind == "cells" and (meta.get("per") != "field" or meta.get("cells") == "found")


def _planned(
    opened: Manifest, view: ViewSpec, place: Place | None, failures: Failures, *, find: bool
) -> PlannedViews:
    """Plan the views of a picture: that of the cell at a place, of all cells found in it, or all others."""
    if view.kind == "cells" and place is not None:
        # All that is known of the picture, such as its bit depth, stays.
        columns = {name: opened.table.column(name) for name in opened.table.column_names}
        placed = {"x": pa.array([place[0]]), "y": pa.array([place[1]])}
        opened = Manifest(pa.table({**columns, **placed}), opened.root)
    elif find and not opened.is_cell().any():
        opened = find_marked(opened, view.scale, failures)
    return plan(opened, view, view_diameters(opened, view), failures)


def _chosen(
    planned: PlannedViews, read: Embeddings, view: ViewSpec, place: Place | None, picture: Path
) -> int:
    """Return the row of what the query is.

    Raises:
        RedDinoError: there are several, and no place selects one; or none is there.
    """
    if view.kind == "patches" and place is not None:
        x, y, side = (read.numbers(name) for name in ("view_x", "view_y", "view_side"))
        within = (np.abs(x - place[0]) <= side / 2) & (np.abs(y - place[1]) <= side / 2)
        if not within.any():
            raise RedDinoError(
                f"no square of '{picture}' holds {place[0]:g},{place[1]:g}: give another place"
            )
        return int(np.argmax(within))
    if len(planned) == 1 and len(read) == 1:
        if view.kind == "cells" and place is None:
            log.warning("'%s' shows one cell, at %.1f,%.1f: it is the query", picture, *_centre(read, 0))
        return 0
    what = "cells" if view.kind == "cells" else "squares"
    raise RedDinoError(f"'{picture}' shows {len(planned)} {what}: name one with --at X,Y (pixels)")


def _centre(read: Embeddings, row: int) -> Place:
    return float(read.numbers("view_x")[row]), float(read.numbers("view_y")[row])


def _query(table: TableOnDisk, picture: Path, vector: Any, centre: Place | None, side: float) -> Queries:
    """Return the query of a vector (1, d); what the table holds of the same picture is known of it."""
    name = str(picture) if centre is None else f"{picture}@{centre[0]:g},{centre[1]:g}"
    now = read_content(picture)
    digests = picture_digests(table.folder) if now is not None else {}
    same = {path for path, digest in digests.items() if now is not None and digest == now.digest}
    rows = rows_at(table, same, None) if same else np.empty(0, np.int64)
    columns = described(table, rows[:1]) if len(rows) else {}
    own = {0: rows_at(table, same, centre)} if len(rows) else {}
    x, y = centre or (math.nan, math.nan)
    # A row without a side stands for its whole picture.
    place = {"view_x": [x], "view_y": [y], "view_side": [side if centre else math.nan]}
    shown = pa.table({"path": [str(picture.absolute())], **place})
    return Queries((name,), unit_vectors(vector), columns, own, shown=shown)
