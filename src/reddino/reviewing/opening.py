"""Open a review database: begin it, bring it into the newest form, or refuse it."""

from __future__ import annotations

from reddino.foundations.errors import RedDinoError
from reddino.foundations.version import __version__
from reddino.reviewing.cell_rows import (
    cells_digest,
    folder_facts,
    read_facts,
    refresh_cells,
    require_same_cells,
    write_facts,
)
from reddino.reviewing.connecting import Connector
from reddino.reviewing.event_rows import now
from reddino.reviewing.schema import NEWEST, facts, metadata, sa, upgrade
from reddino.smears.manifest import Manifest


def begin_or_check(connector: Connector, cells: Manifest) -> None:
    """Make the tables where there are none; else bring them into the newest form and compare the cells.

    Raises:
        RedDinoError: the database is about other cells, of a newer version, or of another program.
    """
    if connector.file is not None:
        connector.file.parent.mkdir(parents=True, exist_ok=True)
    _leave_others(connector)
    with connector.writing() as connection:
        if not sa.inspect(connection).get_table_names():
            metadata.create_all(connection)
            write_facts(connection, _first_facts(cells))
        _bring_up(connection, connector.shown)
        found = read_facts(connection)
        changed = require_same_cells(found, cells, connector.shown)
        changed |= folder_facts(cells, connector.file)
        write_facts(connection, {name: value for name, value in changed.items() if found.get(name) != value})
        refresh_cells(connection, cells)


def require_review(connector: Connector) -> int:
    """Return how many cells the table of a review has that is there.

    Raises:
        RedDinoError: there is no review.
    """
    if connector.file is not None and not connector.file.is_file():
        raise RedDinoError(f"there is no review database: {connector.shown}; `reddino review` makes one")
    _leave_others(connector)
    with connector.reading() as connection:
        if _version(connection, connector.shown) == NEWEST:
            return int(read_facts(connection)["rows"])
    with connector.writing() as connection:
        _bring_up(connection, connector.shown)
        return int(read_facts(connection)["rows"])


def _leave_others(connector: Connector) -> None:
    """Refuse the file of another program before anything in it is changed.

    Raises:
        RedDinoError: it has tables, and they are not those of a review, or of a newer version.
    """
    if connector.file is not None and connector.file.is_file():
        with connector.reading() as connection:
            if sa.inspect(connection).get_table_names():
                _version(connection, connector.shown)
    connector.take()


def _version(connection: sa.Connection, shown: str) -> int:
    """Return the version of the tables.

    Raises:
        RedDinoError: they are not those of a review, or of a newer version.
    """
    inspector = sa.inspect(connection)
    columns = (
        {one["name"] for one in inspector.get_columns(facts.name)} if inspector.has_table(facts.name) else ()
    )
    found = read_facts(connection) if {"name", "value"} <= set(columns) else {}
    if not all(str(found.get(name, "")).isdecimal() for name in ("schema", "rows")):
        raise RedDinoError(f"not a review database: {shown}; it has no table 'facts' of one")
    version = int(found["schema"])
    if version > NEWEST:
        raise RedDinoError(
            f"the review database is of a newer RedDino: {shown}; its form is {version}, and this "
            f"RedDino reads up to {NEWEST}"
        )
    return version


def _bring_up(connection: sa.Connection, shown: str) -> None:
    if (version := _version(connection, shown)) < NEWEST:
        upgrade(connection, version)


def _first_facts(cells: Manifest) -> dict[str, str]:
    return {
        "schema": str(NEWEST),
        "begun": now(),
        "version": __version__,
        "rows": str(len(cells)),
        "cells": cells_digest(cells, len(cells)),
    }
