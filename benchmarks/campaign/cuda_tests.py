"""The stage that runs the tests marked `cuda`; each is written down as soon as it has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from campaign.machine import machine
from campaign.record import Record

ROOT = Path(__file__).resolve().parents[2]
#: What matters most first, what takes longest last: time may be over before all of them have run.
ORDER = ("step", "runs", "processes", "embed", "compile")


def run(record: Record, seconds: float, *, device: str, work: Path, **_: Any) -> None:
    """Run them for at most `seconds`."""
    end = time.monotonic() + seconds
    report, log = work / "cuda_tests.jsonl", work / "cuda_tests_pytest.log"
    report.unlink(missing_ok=True)
    files = [f"tests/cuda/test_cuda_{part}.py" for part in ORDER]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    if device == "cpu":  # only to try the campaign out, and translating takes minutes there
        command += ["-k", "not compiled"]
    environment = {**os.environ, "REDDINO_CUDA_TESTS_ON": device, "REDDINO_CUDA_REPORT": str(report)}
    record.update(machine=machine(device))
    with log.open("wb") as output:
        tests = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        while tests.poll() is None and time.monotonic() < end:
            time.sleep(0.5)
            record.update(**read_report(report))
        finished = tests.poll() is not None
        if not finished:
            tests.kill()
            tests.wait()
    found = read_report(report)
    record.update(**found, all_ran=finished and tests.returncode in (0, 1))
    if finished and not found["tests"]:
        raise RuntimeError(f"no test ran: {log.read_text('utf-8', 'replace')[-800:]}")


def read_report(path: Path) -> dict[str, Any]:
    """How many tests passed, failed and were skipped, and each of them."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    tests = [json.loads(line) for line in lines if line.endswith("}")]
    counts = {how: sum(test["outcome"] == how for test in tests) for how in ("passed", "failed", "skipped")}
    return {**counts, "tests": tests}
