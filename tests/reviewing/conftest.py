"""Databases for reviews: each test that takes `database_url` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
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


@pytest.fixture(scope="session")
def forks() -> None:
    """Start the process that writers are forked from, where it finds what it has to import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
