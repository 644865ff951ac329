"""Search: the cells of a table that are most like another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import reddino
from reddino.cli.options import Several, place_given
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line, show_log
from reddino.foundations.counting import counted
from reddino.searching.choices import Same


@app.command
def search(
    table: Path,
    /,
    *,
    like: str,
    out: Path,
    at: str | None = None,
    top: int = 20,
    where: Annotated[Sequence[str], Several] = (),
    exclude_same: Same | None = None,
    images: Path | None = None,
    sheet: Annotated[bool, Parameter(negative=())] = False,
    exact: Annotated[bool, Parameter(negative=())] = False,
    index: Path | None = None,
    model: str | None = None,
    architecture: str | None = None,
    device: str = "auto",
    keep_border: Annotated[bool, Parameter(negative=())] = False,
    seed: int = 0,
) -> None:
    """Find the cells of an embedding table that are most like a query, by cosine distance, nearest first.

    Args:
        table: folder of an embedding table.
        like: a picture's file; the folder of another table, each row of which is a query; the number of a
            row, from 0; or a cell of the table as PATH@X,Y.
        out: file for the hits, .csv or .parquet.
        at: X,Y in pixels of the cell that is meant in a picture of several.
        top: hits of each query, which is none itself.
        where: conditions that hits must meet, each in quotes: "source!=chula", "label=", "cell_diameter<40".
        exclude_same: leave out hits of the query's own field, slide or patient.
        images: the manifest that was embedded, or the folder its paths start from: writes a page of pictures
            next to the hits, as .html.
        sheet: write a picture for each query next to the hits too, as .png.
        exact: compare with every row, however many there are.
        index: folder of the index; in the table's, and for large tables alone, if not given.
        model: where the table's model is now, if a picture is the query and it was moved.
        architecture: of timm, such as resnet50, where --model is the state dict of such a network.
        device: auto, cpu, cuda or cuda:N.
        keep_border: cells that the border of their image cuts may be hits.
        seed: of the sample that an index learns from and is measured with.
    """
    show_log()
    hits = reddino.search(
        table,
        like,
        out,
        at=None if at is None else place_given(at),
        top=top,
        where=where,
        exclude_same=exclude_same,
        images=images,
        sheet=sheet,
        exact=exact,
        index=index,
        model=model,
        architecture=architecture,
        device=device,
        keep_border=keep_border,
        seed=seed,
    )
    queries = len(hits.queries)
    if len(hits) < queries * top:
        complain(f"{queries * top - len(hits):,} hits fewer than were requested: no more rows may be hits.")
    how = "every row was compared"
    if hits.recall is not None:
        how = f"by the index, which finds {100 * hits.recall:.1f} % of the 20 nearest of its sample"
    of = "" if queries == 1 else f" of {counted(queries, 'query').replace('querys', 'queries')}"
    print_line(f"{out}: {counted(len(hits), 'hit')}{of} among {counted(hits.searched, 'row')}; {how}")
    if hits.cut:
        print_line(f"{counted(hits.cut, 'cell')} left out, cut by the border of their image (--keep-border)")
