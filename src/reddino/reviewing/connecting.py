"""Connections to a review database: SQLite in a file, or PostgreSQL by URL; one writer at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.urls import require_local
from reddino.reviewing.schema import sa

#: Of PostgreSQL's advisory locks, the one that writers of a review hold.
WRITERS_LOCK = 0x7265_7669
#: Seconds that a writer waits for others.
PATIENCE = 30.0


class Connector:
    """Open connections to one database.

    Attributes:
        shown: file, or URL without its password, for messages.
        file: of SQLite; None for PostgreSQL.
    """

    def __init__(self, where: str | Path) -> None:
        """Prepare connections without opening one.

        Raises:
            RedDinoError: the URL cannot be read, or names another kind of database.
        """
        url = _url(where)
        self.file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        self.shown = str(self.file) if self.file else url.render_as_string(hide_password=True)
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=self.file is None)
        except ImportError as error:
            raise RedDinoError(
                f"PostgreSQL needs the package psycopg: {self.shown}; install it with "
                "`pip install 'reddino[postgres]'`"
            ) from error
        self._ours = False
        if self.file:
            sa.event.listen(self._engine, "connect", self._prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that only reads."""
        with self._reported(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection that alone writes; what it wrote is on the disk when the block is left.

        Raises:
            RedDinoError: the database cannot be reached or written; then nothing of the block was.
        """
        with self._reported(), self._engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                if self.file is None:
                    connection.execute(sa.text("SET LOCAL synchronous_commit TO on"))
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITERS_LOCK)))
                yield connection

    def take(self) -> None:
        """Count the database as a review's from now on; until then, opening a file leaves it as it is."""
        if not self._ours:
            self._ours = True
            self._engine.dispose()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _prepare_sqlite(self, connection: Any, _record: object) -> None:
        """Make each commit durable, let readers and a writer work at once, leave BEGIN to `_begin_sqlite`."""
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")
        if self._ours:
            _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            reason = " ".join(str(error.orig).split())
            if self.file is not None and self.file.is_file() and "unable to open" in reason:
                reason += ": SQLite writes next to it, even to read; copy it to a folder that can be written"
            raise RedDinoError(f"the review database cannot be used: {self.shown}; {reason}") from error


def _url(where: str | Path) -> sa.URL:
    text = str(where)
    require_local(text)
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise RedDinoError("the URL of the database cannot be read; give postgresql://user@host/name") from (
            error
        )
    kind = url.get_backend_name()
    if kind == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and url.database and url.database != ":memory:":
        return sa.URL.create("sqlite", database=url.database)
    shown = url.render_as_string(hide_password=True)
    raise RedDinoError(
        f"a review is kept in a file of SQLite or by PostgreSQL: {shown}; give a path, or postgresql://user@host/name"
    )


def _write_ahead(connection: Any) -> None:
    """Keep what is written in a log next to the file; the file itself records this from then on."""
    until = time.monotonic() + PATIENCE
    while True:
        try:  # While another process makes the same change, SQLite refuses at once instead of waiting.
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    # A transaction that reads first and writes later could find that another has written in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
