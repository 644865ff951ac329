"""Feed every reader of RedDino with damaged and hostile files: `make fuzz`.

An input must be read or refused in one sentence (`RedDinoError`). A traceback, a crash, more than ten
seconds, more than 2 GB of memory or anything executed is a finding: its input is kept, and the command ends
with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_bundle import unpacked
from fuzz_worker import keep

#: Wall-clock seconds without a new input after which a process is taken to hang in compiled code.
STUCK_SECONDS = 60
STARTING_SECONDS = 180
FINDINGS = ("traceback", "hang", "memory", "executed", "crash")


@dataclass
class Report:
    """What the inputs of one target ended in, over all its processes."""

    counts: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, state: Path) -> None:
        """Take over what a process counted."""
        if state.is_file():
            content = json.loads(state.read_text())
            self.counts.update(content["counts"])
            self.keys.update(content["keys"])


def fuzz_target(name: str, seconds: float, crashes: Path, seed: int) -> Report:
    """Run a target for some seconds, in a new process whenever one dies or hangs."""
    report, ends = Report(), time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 1 or not report.counts:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
            fault = _watch(name, left, seed, crashes / name, Path(work))
            report.add(Path(work) / "state.json")
            if fault:
                _take_over(fault, Path(work), crashes / name, report)
            elif time.monotonic() < ends - 5 and not (Path(work) / "state.json").is_file():
                break  # it cannot even start
        seed += 1
        if fault and not report.counts.keys() - {"crash", "hang"} and time.monotonic() > ends:
            break
    return report


def _watch(name: str, seconds: float, seed: int, crashes: Path, work: Path) -> str:
    """Run one process to its end; "" where that is as it should be, else hang or crash."""
    script = Path(__file__).with_name("fuzz_worker.py")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(work),
        "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(script.parent)))),
    }
    (work / "sandbox").mkdir()
    with (work / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(script), name, str(crashes), str(work), str(seconds), str(seed)],
            stdout=output,
            stderr=output,
            env=environment,
        )
    latest = started = time.monotonic()
    seen = -1.0
    while process.poll() is None:
        time.sleep(0.2)
        current = work / "current"
        stamp = current.stat().st_mtime if current.exists() else -1.0
        now = time.monotonic()
        if stamp != seen:
            seen, latest = stamp, now
        patience = STUCK_SECONDS if seen > 0 else STARTING_SECONDS
        if now - latest > patience or now - started > seconds + STARTING_SECONDS:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return "hang" if now - latest > patience else ""
    return "crash" if process.returncode else ""


def _take_over(fault: str, work: Path, crashes: Path, report: Report) -> None:
    """Keep the input that a process died of."""
    current = work / "current"
    bundle = unpacked(current.read_bytes()) if current.exists() else {}
    told = (work / "output").read_text("utf-8", "replace")[-4000:]
    key = f"{fault} {sorted(bundle)} {len(report.keys)}"
    report.counts[fault] += 1
    report.keys[key] += 1
    keep(crashes, bundle, fault, key, told)


def repeat(folder: Path, name: str) -> None:
    """Read a kept input once more, with its traceback."""
    from fuzz_targets import TARGETS

    kept = folder / "input" if (folder / "input").is_dir() else folder
    with tempfile.TemporaryDirectory(prefix="fuzz-") as copy:
        shutil.copytree(kept, Path(copy) / "input")
        os.chdir(Path(copy) / "input")
        print(TARGETS[name].prepare()(Path(copy) / "input"))


def main() -> int:
    """Fuzz all targets, or those named, and print what they ended in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="names; all if none is given")
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--crashes", type=Path, default=Path("fuzz-findings"), help="folder for kept inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=Path, help="a kept input of the one target named: read it once more")
    given = parser.parse_args()
    from fuzz_targets import TARGETS

    names = given.targets or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"no target is called {unknown[0]}; there are: {', '.join(TARGETS)}")
    if given.repeat:
        repeat(given.repeat.resolve(), names[0])
        return 0
    crashes = given.crashes.resolve()
    found = {}
    for number, name in enumerate(names):
        found[name] = fuzz_target(name, given.seconds / len(names), crashes, given.seed + 1000 * number)
        print(_line(name, found[name]), flush=True)
    different = sum(len(report.keys) for report in found.values())
    empty = [name for name, report in found.items() if not report.counts["accepted"]]
    inputs = sum(report.counts.total() for report in found.values())
    where = f", kept in {crashes}" if different else ""
    print(f"{inputs} inputs, {different} different findings{where}")
    if empty:
        print(f"nothing was accepted, not even the seeds: {', '.join(empty)}")
    return 1 if different or empty else 0


def _line(name: str, report: Report) -> str:
    counts = report.counts
    faults = ", ".join(f"{counts[kind]} {kind}" for kind in FINDINGS if counts[kind]) or "no finding"
    right = f"{counts['accepted']:7} accepted {counts['refused']:7} refused"
    return f"{name:20} {right}   {faults} ({len(report.keys)})"


if __name__ == "__main__":
    sys.exit(main())
