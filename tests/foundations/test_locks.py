"""Locks on folders: one holder at a time, and none that is dead."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import claimed, holding, only_one, require_free

#: Holds the file it is given and forks a child that lives on. The child says who it is: only when `fork` has
#: returned in it has it let go of what the parent holds.
HOLDER = """
import os, sys, time
from pathlib import Path
from reddino.foundations.locks import claimed, holding, only_one, require_free
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


#: Claims the result it is given for a command, puts a file into it, and waits.
CLAIMER = """
import sys, time
from pathlib import Path
from reddino.foundations.locks import claimed
out, command, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with claimed(out, command, folder=kind == "folder"):
    (out / "result" if kind == "folder" else out).write_text("whole")
    print("claimed", flush=True)
    time.sleep(60)
"""


def claimer(out: Path, kind: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIMER, str(out), "fit --seed 1", kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "claimed\n"
    process.stdout.close()
    return process


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_claimed__refuses_a_second_process_and_lets_the_next_clean_up(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "new" / "out"
    first = claimer(out, kind)
    try:
        with (
            pytest.raises(RedDinoError, match=f"another process is writing to {out} at this moment"),
            claimed(out, "fit --seed 2", folder=kind == "folder"),
        ):
            raise AssertionError("a second process was let in")
    finally:
        first.kill()
        first.wait(30)
    lock = out / ".reddino.lock" if kind == "folder" else out.parent / ".out.lock"
    assert lock.exists()
    with claimed(out, "fit --seed 1", folder=kind == "folder"):
        assert lock.exists()
    assert [path.name for path in lock.parent.iterdir()] == ["result" if kind == "folder" else "out"]


def test_require_free__lets_only_the_same_command_write_again_what_it_was_killed_on(tmp_path: Path) -> None:
    out, mark = tmp_path / "out", tmp_path / "out" / "result"
    first = claimer(out, "folder")
    first.kill()
    first.wait(30)
    with claimed(out, "fit --seed 1", folder=True):
        require_free(mark, "taken")
        assert not mark.exists()
        mark.write_text("whole, again")
    # It came to its end this time.
    with claimed(out, "fit --seed 1", folder=True), pytest.raises(RedDinoError, match="taken"):
        require_free(mark, "taken")
    second = claimer(out, "folder")
    second.kill()
    second.wait(30)
    with claimed(out, "fit --seed 2", folder=True), pytest.raises(RedDinoError, match="taken"):
        require_free(mark, "taken")
    assert mark.read_text() == "whole"


def test_claimed__leaves_no_folder_behind_that_was_made_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), claimed(tmp_path / "a" / "b", "fit", folder=True):
        raise KeyError
    with pytest.raises(KeyError), claimed(tmp_path / "c" / "d.csv", "cells", folder=False):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_claimed__refuses_a_file_where_a_folder_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out, folder in ((tmp_path / "file", True), (tmp_path / "file" / "out.csv", False)):
        with pytest.raises(RedDinoError, match="file is a file"), claimed(out, "fit", folder=folder):
            raise AssertionError("it was let in")
    assert (tmp_path / "file").read_text() == "x"


def test_holding__takes_the_next_lock_where_one_was_deleted_while_it_waited(tmp_path: Path) -> None:
    with holding(tmp_path / "lock") as first:
        (tmp_path / "lock").unlink()
        with holding(tmp_path / "lock") as second:
            assert first and second


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_claimed__lets_everybody_in_where_the_file_system_has_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("reddino.foundations.locks.fcntl.flock", refused)
    with claimed(tmp_path / "out", "fit", folder=True):
        (tmp_path / "out" / "a").write_text("x")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
