"""Review: label the cells of a table in a page that finds the ones worth labelling."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import reddino
from reddino.cli.options import Several, joined_sources
from reddino.cli.program import app
from reddino.cli.terminal import print_line
from reddino.reviewing.reader_name import default_reader

review_app = App(
    name="review",
    help="Label the cells of a table in a page that finds the ones worth labelling.",
    help_format="plaintext",
)
app.command(review_app)


@review_app.default
def review(
    table: Path,
    /,
    *,
    images: Path,
    port: int = 5056,
    browser: Annotated[bool, Parameter(negative="--no-browser")] = True,
    database: str | None = None,
    reader: str | None = None,
    blind: Annotated[bool, Parameter(negative=())] = False,
    classes: Annotated[Sequence[str], Several] = (),
    goal: int = 300,
    refit_after: int = 20,
    group_by: str | None = None,
    join_sources: Annotated[Sequence[str] | None, Several] = None,
    um_per_px: float | None = None,
    keep_border: Annotated[bool, Parameter(negative=())] = False,
    tune_model: str | None = None,
    host: str = "127.0.0.1",
    host_names: Annotated[Sequence[str], Several] = (),
    token: Annotated[bool, Parameter(negative=())] = False,
    picture_folder: Annotated[Sequence[Path], Several] = (),
) -> None:
    """Label the cells of a table in a page that finds the ones worth labelling, until Ctrl-C.

    Args:
        table: folder of an embedding table with a row for each cell.
        images: the manifest that was embedded, or the folder its paths start from.
        port: 0 takes a free one.
        browser: open the page in a browser.
        database: file, or URL such as postgresql+psycopg://user@host/name; TABLE.review.sqlite if not given.
        reader: your name; the user's (`reader` for root), if not given. It can be changed in the page.
        blind: readers see their own labels alone, and suggestions learned from these.
        classes: names to begin with, or a .txt file with a name a line. They can be changed in the page.
        goal: labels that the progress is measured against.
        refit_after: labels after which the classifier is fitted again.
        group_by: column of the groups held out for the score; image, slide or patient, if not given.
        join_sources: columns whose values mean the same in every source.
        um_per_px: size of a pixel in micrometres, for the scale bar; the column um_per_px goes before.
        keep_border: offer cells that the border of their picture cuts too; `fit` leaves them out.
        tune_model: fine-tuned on demand in the page: a model folder, or a name of `reddino models`;
            reddino-tiny, if not given.
        host: address to listen on. All but loopback need the token in the address that is printed.
        host_names: further names by which browsers call this machine.
        token: require a token on loopback too, where others use this machine.
        picture_folder: further folders that pictures may lie in; all lie below the manifest's, if not given.
    """
    name = reader if reader is not None else default_reader()

    def listening(address: str) -> None:
        print_line(f"review of {table.name}: {address} (Ctrl-C ends it; every label is kept as it is given)")
        print_line(f"labels are recorded as those of {name}: --reader, or D in the page, changes that")
        if browser:
            webbrowser.open(address)

    reddino.review(
        table,
        images,
        database=database,
        reader=name,
        blind=blind,
        classes=classes,
        goal=goal,
        refit_after=refit_after,
        group_by=group_by,
        join_sources=joined_sources(join_sources),
        um_per_px=um_per_px,
        keep_border=keep_border,
        tune_model=tune_model,
        host=host,
        port=port,
        host_names=host_names,
        token=token,
        picture_folders=picture_folder,
        listening=listening,
    )
