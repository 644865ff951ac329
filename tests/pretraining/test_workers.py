"""Worker processes: in order, and neither an error, a death nor a Ctrl-C goes by unnoticed or hangs."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.workers import Arrays, ArraySpec, shared_work

SPEC: ArraySpec = {"key": ((5,), np.int64), "worker": ((5,), np.int64)}

pytestmark = pytest.mark.timeout(60)


def fill(key: int, positions: range, batch: Arrays) -> None:
    time.sleep(0.01 * (key % 3))
    for position in positions:
        batch["key"][position] = key
        batch["worker"][position] = os.getpid()


def run(workers: int, keys: range, ahead: int = 2, function: Any = fill) -> Iterator[Arrays]:
    return shared_work(function, SPEC, keys, 5, workers=workers, ahead=ahead)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", [0, 1, 2, 9])
@pytest.mark.parametrize("ahead", [1, 3])
def test_batches__come_in_order_and_complete(workers: int, ahead: int) -> None:
    got = [batch["key"].tolist() for batch in run(workers, range(3, 30, 3), ahead)]
    assert got == [[key] * 5 for key in range(3, 30, 3)]


def test_workers__share_each_batch_and_are_gone_afterwards() -> None:
    batches = list(run(2, range(4)))
    pids = set(batches[0]["worker"].tolist())
    assert len(pids) == 2 and os.getpid() not in pids
    assert not any(alive(pid) for pid in pids)


def test_workers__are_gone_when_the_iterator_is_dropped() -> None:
    work = run(2, range(10**9))
    pids = set(next(work)["worker"].tolist())
    assert all(alive(pid) for pid in pids)
    del work
    assert not any(alive(pid) for pid in pids)


def test_failure__surfaces_with_its_text() -> None:
    def fail(key: int, positions: range, batch: Arrays) -> None:
        if key == 2 and 4 in positions:
            raise ValueError("the fourth smear is upside down")

    work = run(2, range(10), function=fail)
    next(work)
    next(work)
    with pytest.raises(RuntimeError, match="ValueError: the fourth smear is upside down"):
        next(work)


def test_failure__for_the_person_stays_one() -> None:
    def fail(key: int, positions: range, batch: Arrays) -> None:
        raise RedDinoError("The smear is missing.")

    with pytest.raises(RedDinoError, match="The smear is missing"):
        next(run(2, range(10), function=fail))


def test_killed_worker__is_reported() -> None:
    work = run(2, range(10**9), ahead=1)
    victim = int(next(work)["worker"][0])
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(RedDinoError, match="SIGKILL"):
        for _ in range(5):
            next(work)
    assert not any(process.pid == victim for process in mp.active_children())


SCRIPT = """
import os, signal, sys, time
import numpy as np
from reddino.pretraining.data.workers import shared_work
def fill(key, positions, batch):
    time.sleep(0.05)
    for position in positions:
        batch["pid"][position] = os.getpid()
work = shared_work(fill, {"pid": ((2,), np.int64)}, range(10**9), 2, workers=2, ahead=2)
print(*next(work)["pid"], flush=True)
if sys.argv[1] == "exit":
    sys.exit(0)
if sys.argv[1] == "term":
    signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
for batch in work:
    print("batch", flush=True)
"""


def start(mode: str) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


def wait_until_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def test_exit__does_not_wait_for_workers() -> None:
    process, pids = start("exit")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and errors == ""
    assert wait_until_gone(pids)


def test_ctrl_c__leaves_one_traceback_the_run_s_own() -> None:
    process, pids = start("run")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors
    assert wait_until_gone(pids)


def test_sigterm_to_the_group__is_for_the_run_to_answer() -> None:
    process, pids = start("term")
    assert process.stdout is not None
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGTERM)
    while process.stdout.readline().strip() != "asked":
        pass
    for _ in range(10):
        assert process.stdout.readline().strip() == "batch"
    process.kill()
    process.communicate(timeout=20)
    assert wait_until_gone(pids)


def test_killed_run__takes_its_workers_along() -> None:
    process, pids = start("run")
    process.kill()
    process.communicate(timeout=20)
    assert wait_until_gone(pids)
