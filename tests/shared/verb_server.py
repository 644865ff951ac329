"""Commands in processes of their own that are to die, or to find the disk full: `python verb_server.py`.

Reads a request in JSON a line and forks a process for it, which spares it the imports; answers with how the
process ended and what it printed. `Verbs` is the tests' end of it.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

#: Calls by which files and folders come, go and last.
CALLS = ("mkdir", "open", "fsync", "replace", "rename", "unlink", "rmdir")
#: Stands before the number of calls at the end of the output.
COUNT = "\0calls "
#: Loaded before processes are forked, with all of this package: a process would load them for itself.
LIBRARIES = (
    "sklearn.linear_model",
    "sklearn.decomposition",
    "matplotlib.backends.backend_pdf",
    "timm.optim",
    "skimage.segmentation",
    "imagecodecs",
    "cyclopts",
)


@dataclass(frozen=True)
class Fault:
    """What befalls a command.

    Attributes:
        call: number of the call of `CALLS` at which it gets `signal`; 0: at none.
        signal: SIGKILL, or SIGTERM.
        size: bytes that no file may grow past; None: as large as it likes.
        deadly: a file that would grow past `size` kills the process inside its write.
    """

    call: int = 0
    signal: int = signal.SIGKILL
    size: int | None = None
    deadly: bool = False


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code, or minus the signal that killed it.
        output: what it printed.
        calls: of `CALLS` that it made; 0 where it was killed.
    """

    code: int
    output: str
    calls: int = 0


class Verbs:
    """Commands of `reddino`, one after the other."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )

    def run(self, tokens: Sequence[str], folder: Path, fault: Fault | None = None) -> Ended:
        """Run a command in `folder`."""
        request = {"tokens": list(tokens), "folder": str(folder), "fault": asdict(fault or Fault())}
        assert self.server.stdin is not None and self.server.stdout is not None
        print(json.dumps(request), file=self.server.stdin, flush=True)
        line = self.server.stdout.readline()
        assert line, "the process that starts the commands has died"
        return Ended(**json.loads(line))

    def close(self) -> None:
        self.server.kill()
        self.server.communicate()


def serve() -> None:
    import reddino

    for module in pkgutil.walk_packages(reddino.__path__, "reddino."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LIBRARIES:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            for place, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(writing, place)
                setattr(sys, name, os.fdopen(place, "w"))
            os._exit(perform(request["tokens"], Path(request["folder"]), Fault(**request["fault"])))
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            output = file.read().decode("utf-8", "replace")
        output, _, calls = output.partition(COUNT)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        print(json.dumps(asdict(Ended(code, output, int(calls or 0)))), file=answers, flush=True)


def perform(tokens: list[str], folder: Path, fault: Fault) -> int:
    """Run a command under a fault; its exit code."""
    from reddino.cli import main

    os.chdir(folder)
    sys.argv = ["reddino", *tokens]
    if fault.size is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if fault.deadly else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.size, fault.size))
    calls, here = count(1), os.getpid()
    for name in CALLS:
        setattr(os, name, _struck(getattr(os, name), calls, fault, here))
    try:
        code = main(tokens)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    print(f"{COUNT}{next(calls) - 1}", flush=True)
    return code


def _struck(function: Callable[..., Any], calls: count[int], fault: Fault, here: int) -> Callable[..., Any]:
    """The function; the call number `fault.call` of all sends its process the signal first."""

    def call(*args: Any, **options: Any) -> Any:
        if os.getpid() == here and next(calls) == fault.call:
            os.kill(here, fault.signal)
        return function(*args, **options)

    return call


if __name__ == "__main__":
    serve()
