"""Search: the cells of a table that are most like another cell, a picture, or the cells of another table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reddino.api.arguments import numbers_in_range
from reddino.api.sole_writer import sole_writer
from reddino.embedding.comparable import require_comparable_meta
from reddino.embedding.conditions import read_conditions
from reddino.embedding.table_on_disk import TableOnDisk, open_table
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import provenance
from reddino.networks.model_names import with_architecture
from reddino.searching.choices import Same
from reddino.searching.finding import SearchOptions, find_nearest
from reddino.searching.hits import Hits, write_hits
from reddino.searching.page import cut_pictures, write_page, write_sheets
from reddino.searching.picture import picture_query
from reddino.searching.queries import Place, Queries, find_row, read_like, row_queries, table_queries


@numbers_in_range
@sole_writer(files=("out",))
def search(
    table: str | Path,
    like: str | Path | int,
    out: str | Path | None = None,
    *,
    at: Place | None = None,
    top: int = 20,
    where: Sequence[str] = (),
    exclude_same: Same | None = None,
    images: str | Path | None = None,
    sheet: bool = False,
    exact: bool = False,
    index: str | Path | None = None,
    model: str | None = None,
    architecture: str | None = None,
    device: str = "auto",
    keep_border: bool = False,
    seed: int = 0,
) -> Hits:
    """Find the cells of an embedding table that are most like a query, nearest first.

    Distances are cosine distances between vectors. Every row is compared, up to a million rows; past that, an
    index of faiss (extra `search`) is built once next to the table, and how much of the exact answer it finds
    is measured.

    Args:
        table: folder of an embedding table.
        like: the number of a row (from 0), or a cell as `PATH@X,Y` with the path, x and y of a row; a
            picture's file, which is embedded with the table's own model, view and preprocessing; or the
            folder of another table that was embedded the same way, each row of which is a query.
        out: file for the hits, .csv or .parquet; None writes none.
        at: x, y in pixels of the cell that is meant in a picture of several.
        top: hits of each query. The query itself is none.
        where: conditions that hits must meet, as `filter_table` takes them.
        exclude_same: leave out hits of the query's own `field` (and its copies), `slide` or `patient`.
        images: the manifest that was embedded, or the folder that its paths start from: writes a page of
            pictures next to `out`, as .html.
        sheet: write a picture for each query next to `out` too, as .png.
        exact: compare with every row, however many there are.
        index: folder of the index, where the table's folder is not to hold it; it is then used at any size.
        model: where the table's model is now, if a picture is the query and it was moved.
        architecture: of timm, such as resnet50, where `model` is the state dict of such a network.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        keep_border: cells that the border of their image cuts may be hits; past it lies a mirror image.
        seed: of the sample that an index learns from and is measured with.

    Raises:
        RedDinoError: no such cell, a picture of several cells without `at`, tables that are not comparable,
            or an index that needs the extra `search`.
    """
    _require_sensible(out, images, sheet=sheet, exact=exact, index=index)
    conditions = read_conditions([where] if isinstance(where, str) else where)
    opened = open_table(table)
    moved = None if model is None else with_architecture(model, architecture)
    queries, named = _queries(opened, like, at, model=moved, device=device)
    wanted = SearchOptions(top, conditions, exclude_same, exact, index, seed, keep_border)
    hits = find_nearest(opened, queries, wanted, named=named)
    if out is not None:
        write_hits(hits, Path(out))
        if images is not None:
            shown = cut_pictures(opened, queries, hits, images)
            about = _about(opened, hits, wanted)
            write_page(shown, hits, Path(out).with_suffix(".html"), title=opened.folder.name, about=about)
            if sheet:
                write_sheets(shown, Path(out).with_suffix(".png"))
    return hits


def _require_sensible(
    out: str | Path | None,
    images: str | Path | None,
    *,
    sheet: bool,
    exact: bool,
    index: str | Path | None,
) -> None:
    if images is not None and out is None:
        raise RedDinoError("pages lie next to the file of the hits: give --out too")
    if sheet and images is None:
        raise RedDinoError("a sheet shows pictures: give --images too")
    if exact and index is not None:
        raise RedDinoError("an exact search needs no index: leave one of --exact and --index out")


def _queries(
    table: TableOnDisk, like: str | Path | int, at: Place | None, *, model: str | None, device: str
) -> tuple[Queries, bool]:
    """Return the queries, and whether hits name theirs."""
    named = read_like(like, table)
    if named.picture is not None:
        return picture_query(table, named.picture, at, model=model, device=device), False
    if at is not None or model is not None:
        raise RedDinoError(
            f"'{like}' is not a picture's file, so that --at and --model would do nothing: leave them out"
        )
    if named.table is not None:
        other = open_table(named.table)
        require_comparable_meta(table.meta, other.meta)
        return table_queries(table, other), True
    row = named.row if named.path is None else find_row(table, named.path, named.place)
    return row_queries(table, np.array([row], np.int64)), False


def _about(table: TableOnDisk, hits: Hits, wanted: SearchOptions) -> dict[str, Any]:
    meta = table.meta
    origin = provenance(data=str(meta.get("data")), model=str(meta.get("weights_hash")))
    how = "every row was compared"
    if not hits.exact and hits.recall is not None:
        how = f"by an index, which finds {100 * hits.recall:.1f} % of the 20 nearest of its sample"
    return {
        "table": str(table.folder),
        "rows": f"{len(table):,}",
        "rows searched": f"{hits.searched:,}",
        "search": how,
        "conditions": " and ".join(map(str, wanted.conditions)),
        "cut by the border": f"{hits.cut:,} cells left out" if hits.cut else "",
        "excluded": f"the query's own {wanted.exclude_same}" if wanted.exclude_same else "the query itself",
        "model": f"{meta['model']} ({meta['weights_hash']})",
        "command": origin["command"],
        "RedDino": origin["version"],
    }
