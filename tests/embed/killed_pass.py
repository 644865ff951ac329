"""A pass in a process of its own, which can be told to die at a certain place, as if by kill -9.

Called with: the folder, the number of fields, seconds a batch, where to die, how often that place is passed
before.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from smear_fields import VIEW, Projection, make_fields

from reddino.embed import embedding_pass, table_writer
from reddino.embed.embedding_pass import EmbedReport, embed_manifest
from reddino.smears.failures import Failures

CELLS, PART_ROWS, BATCH = 7, 7, 3


def run_pass(folder: Path, fields: int, out: str, delay: float = 0.0) -> EmbedReport:
    """The pass that is killed, and the one that is not."""
    manifest = make_fields(folder / "fields", fields, CELLS)
    (folder / "fields" / "field05.png").write_bytes(b"not an image")
    encoder = Projection(delay=delay)
    print("begins", flush=True)
    return embed_manifest(
        manifest, encoder, folder / out, view=VIEW, part_rows=PART_ROWS, batch_size=BATCH, threads=2
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(place: str, passes: int) -> None:
    """Arrange for death at a place, after it was passed `passes` times."""
    passed = 0

    def dies_now() -> bool:
        nonlocal passed
        passed += 1
        return passed > passes

    def after(function: Callable[..., Any], last: Callable[..., None]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            if dies_now():
                last(*arguments)
                die()
            return result

        return wrapped

    def cut_in_half(writer: Any) -> None:
        os.truncate(writer.where, Path(writer.where).stat().st_size // 2)

    def nothing(*_: Any) -> None:
        pass

    if place == "half a part":
        parquet = pq.ParquetWriter
        parquet.close = after(parquet.close, cut_in_half)
    elif place == "first bytes of a part":
        table_writer.TableWriter.part = after(table_writer.TableWriter.part, nothing)
    elif place == "after the rename":
        # The new name is there, but nothing else has happened: not even the folder was flushed.
        Path.replace = after(Path.replace, nothing)
    elif place == "before the rename":
        replace = Path.replace

        def replaced(path: Path, target: Path) -> Path:
            if dies_now():
                die()
            return replace(path, target)

        Path.replace = replaced
    elif place == "before the list of failures":
        embedding_pass._list_failures = lambda *_: die()
    elif place == "inside the list of failures":

        def written_in_part(_: Failures, path: Path) -> None:
            path.with_name(".failures.csv.1.partial").write_text("path,rea")
            die()

        Failures.write = written_in_part
    elif place:
        raise ValueError(place)


if __name__ == "__main__":
    die_at(sys.argv[4], int(sys.argv[5]))
    run_pass(Path(sys.argv[1]), int(sys.argv[2]), "t", delay=float(sys.argv[3]))
