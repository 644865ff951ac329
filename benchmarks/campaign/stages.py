"""Run the stages one after the other, each in a process of its own that cannot harm or delay the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from campaign.budget import GRACE, STAGES, Budget, Stage
from campaign.record import Record
from campaign.summary import write_summary

Command = Callable[[Stage, float], Sequence[str]]


def run_stages(
    budget: Budget, command: Command, out: Path, work: Path, stages: Sequence[Stage] = STAGES
) -> bool:
    """Run every stage for as long as its budget lets it, and write the summary after each.

    Args:
        budget: of all of them.
        command: what starts a stage that may work so many seconds.
        out: where its JSON file comes.
        work: where its log comes.
        stages: in order.

    Returns:
        Whether all of them ended by themselves and well.
    """
    well = True
    for stage in stages:
        seconds = budget.of(stage)
        started = time.monotonic()
        how, log = _run_one(command(stage, seconds), seconds, work / f"{stage.name}.log")
        took = round(time.monotonic() - started, 1)
        well &= how == "finished"
        record = Record(out, stage.name)
        record.update(ended=how, took_s=took, **({} if how == "finished" else {"log": log}))
        print(f"{stage.name}: {how}, {took} s", flush=True)
        for draft in out.glob("*.new"):  # of a stage that was killed while it wrote
            draft.unlink()
        write_summary(out)
    return well


def _run_one(command: Sequence[str], seconds: float, log: Path) -> tuple[str, str]:
    """How a stage ended, in words, and the end of what it printed."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds + GRACE)
        # Whatever it started, workers and tests, ends with it; the group is the stage's own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        killed = process.wait() == -signal.SIGKILL
    said = log.read_text("utf-8", "replace")[-3000:]
    if killed:
        return "was cut off", said
    if process.returncode == 0:
        return "finished", said
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    return f"failed (exit code {process.returncode}; last line: {last.strip()[:200]})", said


def python(script: Path, *arguments: str) -> list[str]:
    """A command that runs this interpreter."""
    return [sys.executable, str(script), *arguments]
