"""Pretraining runs in processes of their own, to be killed: `python killed_run.py`.

Reads a line of settings in JSON after the other and forks a process for each, which spares them the imports;
prints the process's number, and how it ended when it has. Settings: `images`, `folder`, `overrides`, and
`die_in`, the function in call number `die_at` of which the process kills itself (`torch.save` does so after
half of the bytes). The run's outcome is written to `outcome.json` beside its folder.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import timm  # noqa: F401 - takes seconds, which each process would spend
import torch
from micro_run import run_micro

from reddino.pretraining import train as loop
from reddino.smears.manifest import read_manifest

_save = torch.save


def write_half(content: object, path: Path) -> None:
    buffer = io.BytesIO()
    _save(content, buffer)
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])


def dying(function: Callable[..., Any], die_at: int, last_words: Callable[..., None]) -> Callable[..., Any]:
    """`function`, but for its call number `die_at`, which does `last_words` and dies."""
    calls = count(1)

    def call(*args: Any, **options: Any) -> Any:
        if next(calls) == die_at:
            last_words(*args, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    return call


def run(images: str, folder: str, overrides: list[str], die_in: str = "", die_at: int = 0) -> None:
    if die_in == "torch.save":
        torch.save = dying(torch.save, die_at, write_half)
    elif die_in:
        setattr(loop, die_in, dying(getattr(loop, die_in), die_at, lambda *_, **__: None))
    outcome = run_micro(read_manifest(Path(images)), Path(folder), overrides)
    content = {"steps": outcome.steps, "finished": outcome.finished}
    Path(folder).with_name("outcome.json").write_text(json.dumps(content))


def serve() -> None:
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            run(**json.loads(line))
            sys.exit()
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
