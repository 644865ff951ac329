"""SIGTERM and SIGHUP end a command as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reddino.cli.terminal import INTERRUPTED, exit_code_of
from reddino.foundations.signals import stopped_by_signals

#: A command that writes a file, forks a worker, which says who it is, and waits.
COMMAND = """
import os, sys, time
from pathlib import Path
from reddino.foundations.atomic import atomic_path
from reddino.cli.terminal import exit_code_of

def command():
    with atomic_path(Path(sys.argv[1])) as partial:
        partial.write_text("half")
        try:
            if os.fork() == 0:
                print(os.getpid(), flush=True)
                time.sleep(60)
                os._exit(0)
            time.sleep(60)
        finally:
            if len(sys.argv) > 2:
                print("cleaning", flush=True)
                time.sleep(60)

sys.exit(exit_code_of(command))
"""


def start(path: Path, *options: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal__ends_a_command_in_a_sentence_without_leftovers(
    tmp_path: Path, number: signal.Signals
) -> None:
    process, worker = start(tmp_path / "a")
    process.send_signal(number)
    # In a worker the signal keeps its default; Python's own handler takes Ctrl-C.
    os.kill(worker, signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (INTERRUPTED, "reddino: stopped.\n")
    assert list(tmp_path.iterdir()) == []


def test_signal__that_comes_twice_ends_at_once(tmp_path: Path) -> None:
    process, worker = start(tmp_path / "a", "slowly")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None and process.stdout.readline() == "cleaning\n"
    process.send_signal(signal.SIGTERM)
    os.kill(worker, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM


def test_signal__reaches_a_worker_with_its_default(tmp_path: Path) -> None:
    def command() -> int:
        worker = os.fork()
        if worker == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])

    assert exit_code_of(command) == -signal.SIGTERM


def test_signal__that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers__are_put_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(KeyboardInterrupt), stopped_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert [signal.getsignal(number) for number in numbers] == before
