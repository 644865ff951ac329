"""Databases for reviews: each test that takes `database_url` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that the session's tests share."""
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a review may begin: a file that is not there yet, or an empty schema."""
    if request.param == "sqlite":
        return str(tmp_path / "review.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.empty_place()
