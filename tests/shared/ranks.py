"""Runs of several processes on this machine: `python ranks.py`, and the tests' end of it.

Reads a line of settings in JSON after the other and forks the processes of a run, as torchrun would start
them, but without importing torch again. Settings: `count`, `images`, `folder`, `overrides`, and `die`: [rank,
function of a module of the package, number of the call] at which that process kills itself. Prints the
numbers of the processes, and how they ended when all have. Each writes `<folder>-outcome-<rank>.json`, and
the first one the gradients of every step before clipping to `<folder>-gradients.pt`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

#: What a run loads when it needs it, and takes seconds to load.
LIBRARIES = ("timm", "torch._dynamo", "torch.distributed.fsdp", "torch.distributed.checkpoint.state_dict")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def run(settings: dict[str, Any], rank: int) -> None:
    import torch
    from killed_run import dying
    from micro_run import run_micro

    from reddino.foundations.errors import RedDinoError
    from reddino.pretraining import dinov2
    from reddino.pretraining.distillation import cache
    from reddino.pretraining.distributed.processes import joined
    from reddino.pretraining.distributed.tensors import whole_tensor
    from reddino.pretraining.run.folder import only_trainer
    from reddino.smears.manifest import read_manifest

    cache.PART = 2  # of six cells, so that there is something to share
    folder, gradients = Path(settings["folder"]), []
    take_step = dinov2.take_step

    def record(networks: Any, *arguments: Any) -> bool:
        named = networks.student.named_parameters()
        gradients.append({name: whole_tensor(p.grad).clone() for name, p in named if p.grad is not None})
        return take_step(networks, *arguments)

    patch.object(dinov2, "take_step", record).start()
    victim, name, call = settings.get("die") or (None, "", 0)
    if victim == rank:
        module, _, function = name.rpartition(".")
        patched = import_module(f"reddino.pretraining.{module}")
        setattr(patched, function, dying(getattr(patched, function), call, lambda *_, **__: None))
    outcome: dict[str, Any] = {}
    try:
        with joined("cpu") as processes, only_trainer(folder, processes):
            scored = {"online_score": lambda teacher: {"online": float(teacher.dim)}} if rank == 0 else {}
            ended = run_micro(
                read_manifest(Path(settings["images"])),
                folder,
                settings["overrides"],
                processes=processes,
                **scored,
            )
        outcome = {"steps": ended.steps, "finished": ended.finished}
    except RedDinoError as error:
        outcome = {"error": str(error)}
    folder.with_name(f"{folder.name}-outcome-{rank}.json").write_text(json.dumps(outcome))
    if rank == 0:
        torch.save(gradients, folder.with_name(f"{folder.name}-gradients.pt"))


def serve() -> None:
    # Imported once, before processes are forked.
    for name in ("micro_run", *LIBRARIES):
        import_module(name)
    for line in sys.stdin:
        settings = json.loads(line)
        count, port = settings["count"], free_port()
        started = []
        for rank in range(count):
            process = os.fork()
            if process == 0:
                if count > 1:
                    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
                    os.environ |= {name: str(value) for name, value in names.items()}
                    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                os.dup2(2, 1)  # torch may write to the pipe of the answers
                run(settings, rank)
                sys.stderr.flush()
                os._exit(0)
            started.append(process)
        print(json.dumps(started), flush=True)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in started]), flush=True)


class Ranks:
    """The tests' end: one run at a time."""

    def __init__(self, images: Path) -> None:
        self.images = images
        self.server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.processes: list[int] = []

    def begin(self, count: int, folder: Path, overrides: Sequence[str], **settings: Any) -> None:
        content = {"count": count, "images": str(self.images), "folder": str(folder), **settings}
        assert self.server.stdin is not None
        print(json.dumps({**content, "overrides": list(overrides)}), file=self.server.stdin, flush=True)
        self.processes = self._answer()

    def signal(self, rank: int, number: signal.Signals) -> None:
        os.kill(self.processes[rank], number)

    def exit_codes(self) -> list[int]:
        """How the processes ended; minus the signal that killed one."""
        return self._answer()

    def run(self, count: int, folder: Path, overrides: Sequence[str], **settings: Any) -> Path:
        """A run to its end; its folder."""
        self.begin(count, folder, overrides, **settings)
        codes = self.exit_codes()
        assert codes == [0] * count, codes
        for rank in range(count):
            assert outcome(folder, rank).get("finished"), outcome(folder, rank)
        return folder

    def _answer(self) -> list[int]:
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        assert line, "the process that starts the runs has died"
        numbers: list[int] = json.loads(line)
        return numbers


def outcome(folder: Path, rank: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(folder.with_name(f"{folder.name}-outcome-{rank}.json").read_text())
    return content


if __name__ == "__main__":
    serve()
