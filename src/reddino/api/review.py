"""Review: label the cells of a table in a page that finds the ones worth labelling."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from reddino.embedding.border import cells_at_border
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.replaced_pictures import replaced_pictures
from reddino.embedding.table_on_disk import open_table
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage
from reddino.foundations.stores.urls import is_url
from reddino.reviewing.database import ReviewDatabase, default_database
from reddino.reviewing.grouping import warn_of_parted
from reddino.reviewing.pool import Pool
from reddino.reviewing.reader_name import default_reader
from reddino.reviewing.web.options import ReviewOptions
from reddino.reviewing.web.pictures import CellPictures
from reddino.reviewing.web.serving import listen, serve
from reddino.reviewing.web.session import ReviewSession
from reddino.smears.manifest import Manifest, root_of

log = logging.getLogger(__name__)


def review(
    table: str | Path,
    images: str | Path,
    *,
    database: str | Path | None = None,
    reader: str | None = None,
    blind: bool = False,
    classes: Sequence[str] = (),
    goal: int = 300,
    refit_after: int = 20,
    group_by: str | None = None,
    join_sources: Sequence[str] = (),
    um_per_px: float | None = None,
    keep_border: bool = False,
    tune_model: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    host_names: Sequence[str] = (),
    token: bool = False,
    picture_folders: Sequence[str | Path] = (),
    listening: Callable[[str], None] = lambda _address: None,
) -> None:
    """Serve a page in which readers label the cells of a table, until the process receives a signal to stop.

    Args:
        table: folder of an embedding table with a row for each cell.
        images: the manifest that was embedded, or the folder that its paths start from.
        database: file, or URL of PostgreSQL; None: `TABLE.review.sqlite` next to the table, which must lie on
            this machine.
        reader: name that a browser begins with; None: `default_reader()`.
        blind: readers see their own labels alone, and suggestions learned from these.
        classes: names to begin with, or files with a name a line; those that are there already stay.
        goal: labels that the page's progress is measured against.
        refit_after: labels after which the classifier is fitted again.
        group_by: column of the groups that are held out for the score; None: image, slide or patient.
        join_sources: columns whose values mean the same under every source.
        um_per_px: size of a pixel in micrometres, where the table has no column of that name.
        keep_border: offer cells that the border of their picture cuts too; `fit` leaves them out.
        tune_model: what is fine-tuned on demand: a model folder or a name; None: `reddino-tiny`.
        host: address to listen on; other than loopback, browsers need the token that the address has.
        port: 0 takes a free one.
        host_names: further names by which browsers call this server.
        token: require a token on loopback too, where others use the same machine.
        picture_folders: further folders that pictures may lie in; else all lie below the manifest's.
        listening: called with the address once it answers.

    Raises:
        RedDinoError: no such table or images, a database of another table, or an address that is taken.
    """
    if goal < 1 or refit_after < 1:
        raise RedDinoError("the goal and the labels between fits are counted from 1: give a positive number")
    if um_per_px is not None and not (math.isfinite(um_per_px) and um_per_px > 0):
        raise RedDinoError(f"{um_per_px} is no size of a pixel: give micrometres, such as 0.1")
    folder = Path(table)
    where = database if database is not None else default_database(folder)
    stored = open_table(folder)
    read = stored.without_vectors()
    if "token_row" in read.table.column_names:
        raise RedDinoError(f"{folder} has a row for each patch: review a table with a row for each cell")
    root = root_of(images)
    pictures = CellPictures(read, root, [Path(one) for one in picture_folders])
    others = replaced_pictures(folder, read, root)
    if others:
        log.warning(
            "pictures were replaced since they were embedded (%d, the first is %s): embed again, or what "
            "readers see is not what the vectors are of",
            len(others),
            others[0],
        )
    cut = cells_at_border(read.table)
    if cut.any() and not cut.all() and not keep_border:
        log.warning(
            "the border of their picture cuts %d of %d cells: they are not offered, since `fit` leaves them "
            "out; --keep-border (keep_border) offers them",
            int(cut.sum()),
            len(cut),
        )
    bound = listen(host, port, names=host_names, with_token=token)
    opened = ReviewDatabase.open(where, Manifest(read.manifest().table, root))
    name = opened.add_reader(reader if reader is not None else default_reader())
    for one in _names(classes):
        opened.add_class(one, reader=name)
    with stage("preparing the cells"):
        pool = Pool.of_table(stored, group_by=group_by, join_sources=join_sources)
        warn_of_parted(read, pool.groups, group_by)
        options = ReviewOptions(
            folder.name,
            name,
            blind,
            goal,
            refit_after,
            math.nan if um_per_px is None else um_per_px,
            keep_border,
            (Path.cwd() if is_url(folder) else folder.parent) / f"{folder.name}.review.tuned",
            _tune_options(read, tune_model, group_by, join_sources, keep_border),
        )
        session = ReviewSession(read, pool, opened, pictures, options)
    try:
        serve(session, bound, lambda: listening(bound.address))
    finally:
        session.close()


def _tune_options(
    table: Embeddings,
    model: str | None,
    group_by: str | None,
    join_sources: Sequence[str],
    keep_border: bool,
) -> tuple[str, ...]:
    """Return the options of `fit` that make it cut and group the cells as the table does."""
    view = table.meta.get("view", {})
    found = [] if model is None else ["--model", model]
    if {"side", "unit"} <= set(view):
        found += ["--side", str(view["side"]), "--unit", str(view["unit"])]
    if "stain" in view:
        found += ["--stain", str(view["stain"])]
    if group_by is not None:
        found += ["--group-by", group_by]
    if join_sources:
        found += ["--join-sources", *join_sources]
    return (*found, *(["--keep-border"] if keep_border else []))


def _names(classes: Sequence[str]) -> list[str]:
    """Return names of classes, those of a file in its place."""
    found: list[str] = []
    for one in classes:
        file = Path(one)
        if file.suffix == ".txt" and not file.is_file():
            raise RedDinoError(f"there is no file of classes: {one}; it has a name a line")
        lines = _lines(file) if file.suffix == ".txt" else [one]
        found += [line.strip() for line in lines if line.strip()]
    return list(dict.fromkeys(found))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RedDinoError(f"{file} is not UTF-8 text; save it with that encoding") from error
