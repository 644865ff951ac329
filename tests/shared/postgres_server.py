"""A PostgreSQL server of the tests' own, on a port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


def _as_its_user() -> list[str]:
    """What to put before a command, since PostgreSQL does not run as root; skips where it cannot be done."""
    if os.getuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


class PostgresServer:
    """A running server, with as many places for a review as are asked for."""

    def __init__(self, folder: Path, port: int) -> None:
        self._address = f"host={folder} port={port} user=reviewer dbname=postgres"
        self._url = f"postgresql://reviewer@/postgres?host={folder}&port={port}&options=-csearch_path%3D"

    def empty_place(self) -> str:
        """The URL of a new schema, which costs less than a new database."""
        import psycopg

        name = f"review_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return self._url + name


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Start a server and stop it; skips the test where PostgreSQL is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    before = _as_its_user()
    # Not below pytest's folder, which only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="reddino-postgres-"))
    if before:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    data, control = folder / "data", [*before, str(programs / "pg_ctl"), "-D", str(folder / "data")]
    options = f"-p {port} -k {folder} -c listen_addresses= -c shared_buffers=16MB -c max_connections=40"
    try:
        init = [str(programs / "initdb"), "-D", str(data), "-U", "reviewer", "-A", "trust", "--no-sync"]
        subprocess.run([*before, *init], check=True, capture_output=True, cwd="/")
        start = [*control, "-w", "-l", str(folder / "log"), "-o", options, "start"]
        subprocess.run(start, check=True, cwd="/", stdout=subprocess.DEVNULL)
        yield PostgresServer(folder, port)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd="/")
        shutil.rmtree(folder, ignore_errors=True)
