"""The kinds of the cells that a classifier is applied to: red cells, and what is none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.classification.planned_views import batches, plan
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.kinds import INPUT, KINDS, SIDE, CellKinds, KindReader, holds_kinds
from reddino.foundations.errors import RedDinoError
from reddino.rbc.diameters import missing_diameters
from reddino.smears.column_names import KIND, KIND_PROBABILITY
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import READING_COLUMNS
from reddino.views.spec import ViewSpec

Real = npt.NDArray[np.float64]

#: Of the views from which kinds are read.
VIEW = ViewSpec(kind="cells", side=SIDE, unit="diameters", output=INPUT)

#: Names of classes that are a kind of their own.
_CLASS_WORDS = {
    "white cell": re.compile(
        r"\bwbcs?\b|\bwhite (blood )?cell|leu[ck]ocyt|lymphocyt|monocyt|(neutr|eosin|bas)ophils?\b|"
        r"granulocyt",
        re.IGNORECASE,
    ),
    "platelet": re.compile(r"\bplts?\b|platelet|thrombocyt", re.IGNORECASE),
    "clump": re.compile(r"clump|aggregat|\bcluster|doublet|rouleau", re.IGNORECASE),
    "artefact": re.compile(r"art[ei]fact|debris|dirt|\bjunk", re.IGNORECASE),
}


def kinds_among(classes: Iterable[str]) -> set[str]:
    """Return the kinds that a classifier predicts by classes of its own, by the names of its classes."""
    return {kind for kind, words in _CLASS_WORDS.items() if any(map(words.search, classes))}


def kinds_of_vectors(emb: Embeddings, reader: KindReader, *, found: bool = False) -> CellKinds | None:
    """Return the kinds of the rows of a table, from its own columns or from its vectors.

    None where neither is possible: it has no such columns, and vectors of another network or other views.

    Args:
        emb: the table.
        reader: of kinds.
        found: whether its cells were found by segmentation, though it does not note that itself.
    """
    if holds_kinds(emb.table):
        return CellKinds(tuple(emb.strings(KIND)), emb.numbers(KIND_PROBABILITY))
    view = emb.meta.get("view", {})
    same = (view.get("kind"), view.get("side"), view.get("unit")) == ("cells", SIDE, "diameters")
    plain = (
        same and not view.get("mask_centre") and "stain" not in view and emb.meta.get("per", "view") == "view"
    )
    made = (str(emb.meta["weights_hash"]), str(emb.meta["pooling"]), emb.meta["preprocessing"])
    if not plain or not reader.head.takes(*made):
        return None
    return reader.head.read(emb.vectors, _sides(emb, found))


def kinds_of_cells(
    emb: Embeddings, manifest: Manifest, reader: KindReader, *, found: bool
) -> CellKinds | None:
    """Return the kinds of the cells of smears that were embedded; None where the views are not of cells.

    Where the vectors are of another network than the head's, or of other views, the cells are cut and
    embedded again: the time of reddino-tiny on top.

    Args:
        emb: of the cells, by any network.
        manifest: of which they are; its folder holds the pictures.
        reader: of kinds.
        found: whether they were found by segmentation, so that their boxes are those of whole pieces.
    """
    if emb.meta["view"]["kind"] != "cells" or emb.meta["view"].get("mask_centre"):
        return None
    return kinds_of_vectors(emb, reader, found=found) or _read_again(emb, manifest, reader, found)


def _sides(emb: Embeddings, found: bool) -> Real | None:
    """Return the width and height (n, 2) of found cells in diameters; None of cells that the user listed."""
    if not (found or emb.meta.get("cells") == "found"):
        return None
    return np.stack([emb.numbers("w"), emb.numbers("h")], axis=1) / emb.numbers("cell_diameter")[:, None]


def _read_again(emb: Embeddings, manifest: Manifest, reader: KindReader, found: bool) -> CellKinds | None:
    """Cut the cells of a table at the head's scale and read what they are."""
    view, table = emb.meta["view"], emb.table
    known = emb.numbers("cell_diameter")
    if view["unit"] == "diameters":
        known = emb.numbers("view_side") / float(view["side"])
    columns: dict[str, Any] = {name: table.column(name) for name in ("path", "source")}
    columns |= {name: table.column(name) for name in READING_COLUMNS if name in table.column_names}
    columns |= {"x": table.column("view_x"), "y": table.column("view_y")}
    columns["cell_diameter"] = pa.array(known, pa.float64(), from_pandas=True)
    cells = Manifest(pa.table(columns), manifest.root)
    unread = Failures()  # each of them was read before, or stands among the failures already
    try:
        planned = plan(cells, VIEW, missing_diameters(cells), unread)
    except RedDinoError:
        return None  # no red cell could be measured, so that their scale is not known
    read = np.full((len(emb), len(KINDS)), 1 / len(KINDS))
    for numbers, images in batches(planned, 64, unread):
        rows = planned.squares["row"][numbers]
        read[rows] = reader.head.probabilities(reader.network.embed(images, "cls"))
    return reader.head.decide(read, _sides(emb, found))
