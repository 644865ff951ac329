"""Files that appear whole or not at all, whoever dies, and wherever a file system refuses something."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reddino.foundations.atomic import atomic_path, draft_folder, remove_partials, sync_folder, write_text
from reddino.foundations.errors import RedDinoError

#: Writes to the file it is given, reports that, and waits.
WRITER = """
import sys, time
from pathlib import Path
from reddino.foundations.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""

#: The errors of network and virtual file systems without fsync.
REFUSALS = [errno.EINVAL, errno.EACCES, errno.EPERM, errno.EBADF, errno.ENOTSUP, errno.ENOSYS]
FAULTS = [errno.EIO, errno.ENOSPC, errno.EDQUOT]


def writer(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.stdout.close()
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_path__of_a_killed_writer_is_removed_and_of_a_living_one_stays(tmp_path: Path) -> None:
    dead, living = writer(tmp_path / "dead"), writer(tmp_path / "living")
    try:
        dead.kill()
        dead.wait(30)
        assert len(names(tmp_path)) == 2
        remove_partials(tmp_path)
        assert [name.split(".")[1] for name in names(tmp_path)] == ["living"]
    finally:
        living.kill()
        living.wait(30)
    # The next process that writes there, whatever file, cleans up.
    subprocess.run(
        [sys.executable, "-c", WRITER.replace("time.sleep(60)", ""), str(tmp_path / "other")], check=True
    )
    assert names(tmp_path) == ["other"]


def test_remove_partials__takes_drafts_in_folders_below_and_spares_foreign_names(tmp_path: Path) -> None:
    old = [tmp_path / ".a.csv.123.partial", tmp_path / "b" / "c" / ".model.0123abcd.partial" / "model"]
    foreign = [tmp_path / "film.partial", tmp_path / ".film.partial", tmp_path / "b" / ".hidden"]
    for path in (*old, *foreign):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    remove_partials(tmp_path, below=True)
    assert all(path.exists() for path in foreign)
    assert names(tmp_path) == [".film.partial", "b", "film.partial"]
    assert names(tmp_path / "b" / "c") == []


def test_remove_partials__without_locks_waits_until_nobody_has_written_for_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reddino.foundations.locks.fcntl", None)
    old, new = tmp_path / ".x.01234567.partial", tmp_path / ".y.01234567.partial"
    for draft in (old, new):
        draft.mkdir()
        (draft / "x").write_text("half")
    for path in (old / "x", old):
        os.utime(path, (1, 1))
    remove_partials(tmp_path)
    assert names(tmp_path) == [new.name]


def test_atomic_path__leaves_the_old_file_and_no_draft_where_the_writer_fails(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "a") as partial:
        partial.write_text("new")
        raise KeyError
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_atomic_path__takes_the_longest_name_there_is(tmp_path: Path) -> None:
    write_text(tmp_path / ("ü" * 125 + ".json"), "x")
    assert (tmp_path / ("ü" * 125 + ".json")).read_text() == "x"


def test_atomic_path__replaces_no_folder_and_no_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(RedDinoError, match=f"{name} is a folder or a device"):
            write_text(tmp_path / name, "x")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def refusing(number: int, where: Callable[[int], bool]) -> Callable[[int], None]:
    fsync = os.fsync

    def refused(handle: int) -> None:
        if where(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    return refused


@pytest.mark.parametrize("where", [stat.S_ISDIR, stat.S_ISREG])
@pytest.mark.parametrize("number", REFUSALS)
def test_write__is_whole_where_the_file_system_has_no_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: Callable[[int], bool]
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number, where))
    write_text(tmp_path / "a", "text")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "text"


@pytest.mark.parametrize("number", FAULTS)
def test_write__fails_where_the_disk_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", refusing(number, stat.S_ISREG))
    with pytest.raises((OSError, RedDinoError), match=os.strerror(number)):
        write_text(tmp_path / "a", "new")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_sync_folder__passes_where_folders_cannot_be_opened_as_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    sync_folder(tmp_path)


def test_write__is_whole_where_the_file_system_has_no_modes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"


def test_draft_folder__of_a_process_killed_at_any_call_is_removed_by_the_next(tmp_path: Path) -> None:
    """Killed at the first, second, ... call that touches the disk, until one write comes to its end."""
    calls = ("mkdir", "open", "fsync", "replace", "unlink", "rmdir")
    for last in range(1, 100):
        process = os.fork()
        if process == 0:
            left = iter(range(1, last))
            for name in calls:
                setattr(os, name, dying(getattr(os, name), left))
            with draft_folder(tmp_path, "whole") as draft:
                write_text(draft / "b", "text")
                write_text(tmp_path / "a", "text")
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert code in (0, -signal.SIGKILL)
        remove_partials(tmp_path)
        assert names(tmp_path) in ([], ["a"])
        if code == 0:
            break
    assert 10 < last < 99
    assert names(tmp_path) == ["a"]


def dying(function: Callable[..., object], left: Iterator[object]) -> Callable[..., object]:
    """The function, which kills the process instead when no call is left."""

    def call(*args: object, **options: object) -> object:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    return call
