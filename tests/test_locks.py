"""Locks on folders: one holder at a time, and none that is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reddino.errors import RedDinoError
from reddino.locks import only_one

#: Holds the file it is given and forks a child that lives on. The child says who it is: only when `fork` has
#: returned in it has it let go of what the parent holds.
HOLDER = """
import os, sys, time
from pathlib import Path
from reddino.locks import only_one
with only_one(Path(sys.argv[1]), "busy"):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_only_one__keeps_a_second_out_and_lets_the_next_in(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "lock"):
        with only_one(path, "busy"), pytest.raises(RedDinoError, match="busy"), only_one(path, "busy"):
            raise AssertionError("a second one was let in")
        with only_one(path, "busy"):
            pass


def test_only_one__is_let_go_by_a_killed_process_whose_child_lives_on(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(RedDinoError, match="busy"), only_one(lock, "busy"):
            raise AssertionError("a second process was let in")
        holder.kill()
        holder.wait(30)
        os.kill(child, 0)  # it is there
        with only_one(lock, "busy"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()
