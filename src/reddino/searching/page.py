"""A page and sheets of queries with their hits: pictures cut as the network saw them, and captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.embedding.view_encoder import Images
from reddino.figures.canvas import contact_sheet, save_figure
from reddino.figures.lettering import Numbers
from reddino.figures.page.document import Document, facts, paragraph, picture, table
from reddino.figures.row_pictures import Pictures
from reddino.foundations.atomic import write_text
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import short
from reddino.searching.hits import DISTANCE, QUERY, ROW, Hits
from reddino.searching.queries import Queries
from reddino.smears.failures import Failures

#: Queries that are shown, pixels of a picture, pictures side by side, and letters above one.
MOST, SIDE, ACROSS, LETTERS = 40, 96, 7, 22
#: Columns that a page lists of each hit.
LISTED = ("source", "slide", "patient", "label", "path", "x", "y")

ABOUT = (
    "Distances are cosine distances (1 - cos) between the vectors of the table: 0 is the same direction. "
    "That cells "
    "are near means that the network computes much the same of them. It does not mean that they are of one "
    "class, and "
    "cells of one slide are near each other since they share stain, light and focus: exclude the same slide "
    "or "
    "patient to see what else is like the query."
)


@dataclass(frozen=True)
class Shown:
    """Pictures of queries and hits.

    Attributes:
        names: of the queries that are shown.
        queries: (q, side, side, 3).
        hits: by query, (k, side, side, 3).
        rows: by query, its hits.
        left_out: queries that are not shown.
        failures: pictures that cannot be read.
    """

    names: list[str]
    queries: Images
    hits: list[Images]
    rows: list[pa.Table]
    left_out: int
    failures: Failures

    def sheet(self, query: int) -> Figure:
        """Draw a query and its hits side by side."""
        hits = self.rows[query]
        titles = [f"query\n{_short(self.names[query])}"]
        labels = _texts(hits, "label")
        places = [a or b for a, b in zip(_texts(hits, "slide"), _texts(hits, "source"), strict=True)]
        for distance, label, place in zip(hits.column(DISTANCE).to_pylist(), labels, places, strict=True):
            named = " ".join(part for part in (_short(label), f"{distance:.3f}") if part)
            titles.append(f"{named}\n{_short(place)}")
        return contact_sheet([self.queries[query], *self.hits[query]], titles, ACROSS)


def cut_pictures(searched: TableOnDisk, queries: Queries, hits: Hits, images: str | Path) -> Shown:
    """Cut the pictures of hits, and of the first `MOST` queries.

    Args:
        searched: the table.
        queries: of the search.
        hits: of these.
        images: the manifest that was embedded, or the folder that its paths start from.

    Raises:
        RedDinoError: none of the pictures is there.
    """
    names = list(dict.fromkeys(hits.queries))[:MOST]
    blocks = [_of_query(hits, name) for name in names]
    rows = np.concatenate([block.column(ROW).to_numpy() for block in blocks]) if blocks else np.empty(0)
    if not len(rows):
        raise RedDinoError("the search found no row, of which nothing can be shown: leave --images out")
    places = _placed(searched.take(rows.astype(np.int64)))
    pictures = Pictures.of(places, images)
    cut = pictures.cut(np.arange(len(places)), SIDE)
    parts = np.split(cut, np.cumsum([len(block) for block in blocks])[:-1])
    own = _query_pictures(queries, names, pictures)
    return Shown(names, own, list(parts), blocks, len(set(hits.queries)) - len(names), pictures.failures)


def write_page(shown: Shown, hits: Hits, path: Path, *, title: str, about: Mapping[str, Any]) -> None:
    """Write queries and hits as one HTML file that needs nothing else."""
    queries = len(set(hits.queries))
    whose = "1 query" if queries == 1 else f"{queries:,} queries"
    document = Document(f"Cells like these: {title}", f"{counted(len(hits), 'hit')} of {whose}")
    for query, name in enumerate(shown.names):
        block = shown.rows[query]
        columns = [column for column in LISTED if column in block.column_names]
        listed = [
            [f"{distance:.4f}", *values]
            for distance, *values in zip(
                block.column(DISTANCE).to_pylist(),
                *(_texts(block, column) for column in columns),
                strict=True,
            )
        ]
        caption = f"{name}, and its {len(block)} nearest (cosine distance)"
        document.add(
            short(name, 60),
            picture(shown.sheet(query), caption, document.numbers),
            table(("distance", *columns), listed, (0,)),
        )
    if shown.left_out:
        document.add("Not shown", paragraph(f"{shown.left_out} more queries are in the file of the hits."))
    if shown.failures.count:
        document.add("Pictures that could not be read", paragraph(shown.failures.summary()))
    document.add("About", paragraph(ABOUT), facts(about))
    write_text(path, document.html())


def write_sheets(shown: Shown, path: Path) -> list[Path]:
    """Write a picture for each query: NAME.png, or NAME-1.png, NAME-2.png, ... of several."""
    numbers, written = Numbers(), []
    for query in range(len(shown.names)):
        one = path if len(shown.names) == 1 else path.with_name(f"{path.stem}-{query + 1}{path.suffix}")
        save_figure(shown.sheet(query), one, numbers=numbers)
        written.append(one)
    return written


def _of_query(hits: Hits, name: str) -> pa.Table:
    if QUERY not in hits.table.column_names or len(set(hits.queries)) == 1:
        return hits.table
    mask = np.array([value == name for value in hits.table.column(QUERY).to_pylist()], np.bool_)
    return hits.table.filter(pa.array(mask))


def _query_pictures(queries: Queries, names: Sequence[str], pictures: Pictures) -> Images:
    """Return the pictures (q, side, side, 3) of queries: below the hits' folder, or a file of their own."""
    if queries.shown is not None:
        own = Pictures(_placed(queries.shown), Path(), pictures.failures)
        return own.cut(np.arange(len(queries.shown)), SIDE)
    numbers = [queries.names.index(name) for name in names]
    if queries.of is None or queries.rows is None:
        raise ValueError("a query is a picture, or of a table")
    own = Pictures(_placed(queries.of.take(queries.rows[numbers])), pictures.root, pictures.failures)
    return own.cut(np.arange(len(numbers)), SIDE)


def _placed(columns: pa.Table) -> Embeddings:
    """Return rows as `Pictures` takes them: a table without vectors."""
    return Embeddings(np.empty((len(columns), 0), np.float32), columns, {})


def _texts(block: pa.Table, name: str) -> list[str]:
    if name not in block.column_names:
        return [""] * len(block)
    values = block.column(name).to_pylist()
    return [
        "" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in values
    ]


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"...{text[3 - LETTERS :]}"
