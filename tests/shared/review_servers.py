"""Servers of a review's page, to be killed: forked, so that they answer without having to import first."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from review_writers import PROCESSES

from reddino.api.review import review


def serve(folder: Path, database: str, address: Connection) -> None:
    """Serve the table in a folder, and send the address once it answers."""
    review(
        folder / "table",
        folder / "images",
        database=database,
        reader="ada",
        classes=("red", "blue"),
        refit_after=5,
        listening=address.send,
    )


def started(folder: Path, database: str) -> tuple[Any, str]:
    """Start a server; return its process and the address that it listens on."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=serve, args=(folder, database, there), daemon=True)
    process.start()
    there.close()
    assert here.poll(120)
    return process, here.recv()
