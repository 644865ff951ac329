"""kill -9 at any moment, and the same call again: nothing twice, nothing missing, no vector changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np
import pytest
from killed_pass import CELLS, run_pass

from reddino.embedding.part_files import finished_parts
from reddino.embedding.table import read_embeddings

#: Fields of the pass that is killed over and over, and of those killed at a certain place. One of them
#: cannot be read, so that its part has the next field as well.
MANY, FEW = 48, 8
KILLS = 10


class Passes:
    """Passes in processes of their own, one at a time."""

    def __init__(self) -> None:
        script = Path(__file__).parents[1] / "shared" / "killed_pass.py"
        self.server = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ended = Queue[int]()

    def start(self, folder: Path, fields: int, delay: float, place: str = "", passes: int = 0) -> int:
        """Start one that has begun when this returns; its process."""
        settings = {"folder": str(folder), "fields": fields, "delay": delay, "place": place, "passes": passes}
        assert self.server.stdin is not None
        print(json.dumps(settings), file=self.server.stdin, flush=True)
        lines = {self._line(), self._line()}
        assert "begins\n" in lines
        Thread(target=lambda: self.ended.put(int(self._line())), daemon=True).start()
        (process,) = lines - {"begins\n"}
        return int(process)

    def exit_code(self) -> int:
        """How it ended; minus the signal that killed it."""
        return self.ended.get(timeout=60)

    def _line(self) -> str:
        assert self.server.stdout is not None
        return self.server.stdout.readline()


@pytest.fixture(scope="module")
def passes() -> Iterator[Passes]:
    started = Passes()
    yield started
    started.server.kill()
    started.server.communicate()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in finished_parts(folder).values()}


def require_the_same(folder: Path, fields: int, kept: dict[str, bytes]) -> None:
    """Go on with the pass, which must leave what is there alone, and end as one that nobody disturbed."""
    report = run_pass(folder, fields, "t")
    assert contents(folder / "t").items() >= kept.items()
    assert (report.rows, report.failed) == ((fields - 1) * CELLS, 1)
    assert run_pass(folder, fields, "whole").resumed == 0
    undisturbed, after = read_embeddings(folder / "whole"), read_embeddings(folder / "t")
    assert after.table.equals(undisturbed.table)
    assert np.array_equal(after.vectors, undisturbed.vectors)
    assert "field05.png" in (folder / "t" / "failures.csv").read_text()
    assert not list((folder / "t").glob(".*"))


@pytest.mark.kills
def test_killed_pass__at_ten_random_moments_ends_as_the_undisturbed_one(
    tmp_path: Path, passes: Passes
) -> None:
    draw = np.random.default_rng()
    landed, progress = 0, []
    kept: dict[str, bytes] = {}
    for _ in range(KILLS):
        process = passes.start(tmp_path, MANY, 0.02)
        # After so many further parts, on whatever machine, and then anywhere in the work on the next one.
        wanted = len(kept) + int(draw.integers(0, 4))
        while len(finished_parts(tmp_path / "t")) < wanted and passes.ended.empty():
            time.sleep(0.002)
        time.sleep(float(draw.random()) * 0.1)
        if passes.ended.empty():
            os.kill(process, signal.SIGKILL)
        code = passes.exit_code()
        now = contents(tmp_path / "t")
        assert now.items() >= kept.items()
        kept = now
        progress.append(len(kept))
        landed += code == -signal.SIGKILL and len(kept) < MANY - 1
    print(f"{landed} of {KILLS} kills struck a pass at work; parts of {MANY - 1} after each: {progress}")
    assert landed >= KILLS // 2
    assert progress[-1] > 0
    require_the_same(tmp_path, MANY, kept)


@pytest.mark.parametrize(
    ("place", "passed", "parts"),
    [
        ("first bytes of a part", 4, 4),
        ("half a part", 4, 4),
        ("before the rename", 5, 4),
        ("after the rename", 5, 5),
        ("before the list of failures", 0, FEW - 1),
        ("inside the list of failures", 0, FEW - 1),
    ],
)
@pytest.mark.kills
def test_killed_pass__inside_a_write_ends_as_the_undisturbed_one(
    tmp_path: Path, passes: Passes, place: str, passed: int, parts: int
) -> None:
    passes.start(tmp_path, FEW, 0.0, place, passed)
    assert passes.exit_code() == -signal.SIGKILL
    kept = contents(tmp_path / "t")
    assert len(kept) == parts
    if place in ("first bytes of a part", "half a part", "before the rename", "inside the list of failures"):
        assert len(list((tmp_path / "t").glob(".*.partial"))) == 1
    assert not (tmp_path / "t" / "failures.csv").exists()
    require_the_same(tmp_path, FEW, kept)
