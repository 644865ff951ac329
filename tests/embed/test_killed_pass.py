"""kill -9 at any moment, and the same call again: nothing twice, nothing missing, no vector changed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from killed_pass import CELLS, run_pass

from reddino.embed.table import finished_parts, read_embeddings

#: Fields of the pass that is killed over and over, and of those killed at a certain place. One of them
#: cannot be read, so that its part has the next field as well.
MANY, FEW = 48, 8
KILLS = 10


def start(folder: Path, fields: int, delay: float, place: str = "", passes: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("killed_pass.py"))]
    arguments = [str(folder), str(fields), str(delay), place, str(passes)]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)


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
def test_killed_pass__at_ten_random_moments_ends_as_the_undisturbed_one(tmp_path: Path) -> None:
    draw = np.random.default_rng()
    landed, progress = 0, []
    kept: dict[str, bytes] = {}
    for _ in range(KILLS):
        process = start(tmp_path, MANY, 0.02)
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        # After so many further parts, on whatever machine, and then anywhere in the work on the next one.
        wanted = len(kept) + int(draw.integers(0, 4))
        while len(finished_parts(tmp_path / "t")) < wanted and process.poll() is None:
            time.sleep(0.002)
        time.sleep(float(draw.random()) * 0.1)
        process.kill()
        process.wait(60)
        process.stdout.close()
        now = contents(tmp_path / "t")
        assert now.items() >= kept.items()
        kept = now
        progress.append(len(kept))
        landed += process.returncode == -signal.SIGKILL and len(kept) < MANY - 1
    print(f"{landed} of {KILLS} kills struck a pass at work; parts of {MANY - 1} after each: {progress}")
    assert landed >= KILLS // 2
    assert progress[-1] > 0
    require_the_same(tmp_path, MANY, kept)


@pytest.mark.parametrize(
    ("place", "passes", "parts"),
    [
        ("first bytes of a part", 4, 4),
        ("half a part", 4, 4),
        ("before the rename", 4, 4),
        ("after the rename", 4, 5),
        ("before the list of failures", 0, FEW - 1),
        ("inside the list of failures", 0, FEW - 1),
    ],
)
@pytest.mark.kills
def test_killed_pass__inside_a_write_ends_as_the_undisturbed_one(
    tmp_path: Path, place: str, passes: int, parts: int
) -> None:
    process = start(tmp_path, FEW, 0.0, place, passes)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    kept = contents(tmp_path / "t")
    assert len(kept) == parts
    if place in ("first bytes of a part", "half a part", "before the rename", "inside the list of failures"):
        assert len(list((tmp_path / "t").glob(".*.partial"))) == 1
    assert not (tmp_path / "t" / "failures.csv").exists()
    require_the_same(tmp_path, FEW, kept)
