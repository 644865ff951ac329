"""One input, run under guard: what it ended in, and whether anything of it was executed."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_bundle import Bundle, write_bundle
from fuzz_targets import Read
from fuzz_values import WITNESS

from reddino.foundations.errors import RedDinoError

#: Of one input: seconds of processor time, and bytes on top of what the program takes by itself.
MOST_SECONDS = 10
MOST_BYTES = 2 * 1024**3

_EXECUTING = frozenset(
    (
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "subprocess.Popen",
        "pty.spawn",
        "socket.connect",
        "socket.getaddrinfo",
        "urllib.Request",
        "ctypes.dlopen",
    )
)
_DANGEROUS = frozenset(
    ("os", "posix", "nt", "subprocess", "builtins.exec", "builtins.eval", "builtins.open", "runpy")
)


class TooLong(BaseException):
    """An input that takes more than `MOST_SECONDS`; no `except Exception` stops it."""


@dataclass(frozen=True)
class Outcome:
    """What an input ended in.

    Attributes:
        kind: accepted, refused, traceback, hang, memory or executed.
        key: what tells findings apart: where it happened.
        report: what a person needs to mend it.
    """

    kind: str
    key: str = ""
    report: str = ""

    @property
    def is_finding(self) -> bool:
        """Whether the reader is at fault."""
        return self.kind not in ("accepted", "refused")


class Guard:
    """Runs inputs in a folder of its own, one at a time.

    Args:
        sandbox: a folder that may be emptied.
    """

    def __init__(self, sandbox: Path) -> None:
        self._sandbox = sandbox
        self._suspicious: list[str] = []
        self._watching = False
        sys.addaudithook(self._hear)
        signal.signal(signal.SIGPROF, _interrupt)
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)

    def limit_memory(self) -> None:
        """From now on the process may take `MOST_BYTES` more than it has."""
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MOST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def run(self, read: Read, bundle: Bundle) -> Outcome:
        """Lay the files out, have them read, and look at how that ended."""
        folder = self._sandbox / "input"
        write_bundle(bundle, folder)
        os.chdir(folder)
        self._suspicious = []
        began = time.process_time()
        try:
            self._watching = True
            signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS, 1)
            outcome = _read(read, folder)
        except TooLong:
            outcome = Outcome("hang", "hang", f"more than {MOST_SECONDS} s of processor time")
        finally:
            self._watching = False
            signal.setitimer(signal.ITIMER_PROF, 0)
        if time.process_time() - began > MOST_SECONDS:
            outcome = Outcome("hang", f"hang {outcome.key}", outcome.report or "too long")
        witnesses = list(self._sandbox.rglob(WITNESS))
        if witnesses or self._suspicious:
            told = "; ".join(self._suspicious) or "the witness was left"
            outcome = Outcome("executed", f"executed {told.split('(')[0]}", told)
        os.chdir(self._sandbox)
        shutil.rmtree(folder, ignore_errors=True)
        return outcome

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in _EXECUTING:
            self._suspicious.append(f"{event}({str(arguments)[:200]})")
        elif event == "pickle.find_class":
            module, name = arguments
            if module in _DANGEROUS or f"{module}.{name}" in _DANGEROUS:
                self._suspicious.append(f"{event}({module}.{name})")
        elif (
            event == "open"
            and isinstance(arguments[0], str)
            and set(arguments[1] or "") & set("wax+")
            and not str(Path(arguments[0]).absolute()).startswith(
                (str(self._sandbox), "/dev/", "/proc/", "/tmp/")
            )
        ):
            self._suspicious.append(f"{event}({arguments[0]})")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise TooLong


def _read(read: Read, folder: Path) -> Outcome:
    try:
        read(folder)
        return Outcome("accepted")
    except RedDinoError as error:
        if _for_memory(error):
            return Outcome("memory", f"memory {_place(error)}", "".join(traceback.format_exception(error)))
        sentence = str(error)
        if "\n" in sentence.strip() or not sentence.strip():
            return Outcome(
                "traceback", f"no sentence {_place(error)}", f"not one sentence: {sentence[:2000]!r}"
            )
        return Outcome("refused")
    except MemoryError as error:
        return Outcome("memory", f"memory {_place(error)}", "".join(traceback.format_exception(error)))
    except TooLong:
        raise
    except (
        BaseException
    ) as error:  # which is what is looked for, exceptions that pass by `except Exception` too
        kind = "memory" if _for_memory(error) else "traceback"
        return Outcome(
            kind, f"{type(error).__name__} {_place(error)}", "".join(traceback.format_exception(error))
        )


def _for_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it came of, is that memory ran out.

    A size of 2**60 that a parser refuses at once comes as a bare MemoryError: caught, that is no fault.
    """
    caught = isinstance(error, RedDinoError)
    while error is not None:
        if "allocate" in str(error) or (isinstance(error, MemoryError) and not caught):
            return True
        error = error.__cause__
    return False


def _place(error: BaseException) -> str:
    """The last line of RedDino that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/reddino/" in frame.filename] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "nowhere"
