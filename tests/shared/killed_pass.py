"""Passes in processes of their own, to be killed: `python killed_pass.py`.

Reads a line of settings in JSON after the other and forks a process for each, which spares it the imports;
prints the process's number, `begins` when it does, and how it ended. Settings: `folder`, `fields` (their
number), `delay` (seconds a batch), and where it dies as if by kill -9: `place`, after it was passed `passes`
times.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
from smear_fields import VIEW, Projection, make_fields

from reddino.embedding import embedding_pass, table_writer
from reddino.embedding.embedding_pass import EmbedReport, embed_manifest
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
        patch.object(pq.ParquetWriter, "close", after(pq.ParquetWriter.close, cut_in_half)).start()
    elif place == "first bytes of a part":
        writer = table_writer.TableWriter
        patch.object(writer, "part", after(writer.part, nothing)).start()
    elif place == "after the rename":
        # The new name is there, but nothing else has happened: not even the folder was flushed.
        patch.object(Path, "replace", after(Path.replace, nothing)).start()
    elif place == "before the rename":
        replace = Path.replace

        def replaced(path: Path, target: Path) -> Path:
            if dies_now():
                die()
            return replace(path, target)

        patch.object(Path, "replace", replaced).start()
    elif place == "before the list of failures":
        patch.object(embedding_pass, "_list_failures", lambda *_: die()).start()
    elif place == "inside the list of failures":

        def written_in_part(_: Failures, path: Path) -> None:
            path.with_name(".failures.csv.1.partial").write_text("path,rea")
            die()

        patch.object(Failures, "write", written_in_part).start()
    elif place:
        raise ValueError(place)


def serve() -> None:
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            given = json.loads(line)
            die_at(given["place"], given["passes"])
            run_pass(Path(given["folder"]), given["fields"], "t", delay=given["delay"])
            os._exit(0)
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
