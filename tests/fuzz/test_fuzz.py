"""Damaged and hostile files: the harness sees what they do, and a few of each kind are tried here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_bundle import packed, read_bundle, unpacked, write_bundle

HERE = Path(__file__).parent
#: Inputs of each target: enough to meet what a change breaks, few enough for seconds.
INPUTS = 12
#: Readers that hold; `make fuzz` feeds all of them.
HOLDING = (
    "pictures",
    "slides",
    "manifest-csv",
    "manifest-parquet",
    "tar",
    "coco",
    "voc",
    "yolo",
    "chula",
    "elsafty",
    "weights-safetensors",
    "weights-pth",
    "checkpoint",
    *("model-folder", "classifier", "embedding-table", "pack", "run-folder", "recipe", "tasks", "scores"),
)


def python(code: str, *arguments: str, work: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own: a guard's hooks stay for the life of a process."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": _path(),
        "TMPDIR": str(work),
    }
    return subprocess.run(
        [sys.executable, *((code,) if code.endswith(".py") else ("-c", code)), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )


def _path() -> str:
    return os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_bundle__comes_back_from_bytes_and_from_a_folder(tmp_path: Path) -> None:
    bundle = {"a.csv": b"path\n", "d/e.json": b"{}", "empty": b""}
    assert unpacked(packed(bundle)) == bundle
    write_bundle(bundle, tmp_path / "in")
    assert read_bundle(tmp_path / "in") == bundle


def test_bundle__leaves_out_names_that_lead_elsewhere() -> None:
    assert unpacked(packed({"../a": b"1", "/a": b"2", "b": b"3"})) == {"b": b"3"}


READS = {
    "accepted": "lambda folder: len((folder / 'a').read_bytes())",
    "refused": "lambda folder: fail(RedDinoError('a: wrong'))",
    "traceback": "lambda folder: fail(ValueError('a'))",
    "traceback (a BaseException)": "lambda folder: fail(BaseException('a'))",
    "traceback (two lines)": "lambda folder: fail(RedDinoError('a\\nb'))",
    "hang": "lambda folder: spin()",
    "memory": "lambda folder: bytearray(3 * 1024**3)",
    "executed": "lambda folder: os.system(f'touch {folder}/EXECUTED')",
    "executed (a pickle)": "lambda folder: pickle.loads(payload_pickles()[1])",
    "executed (a program)": "lambda folder: subprocess.run(['true'])",
}


@pytest.mark.parametrize("expected", READS)
def test_guard__sees_what_an_input_does(tmp_path: Path, expected: str) -> None:
    code = f"""
import os, pickle, subprocess, sys
from pathlib import Path
import fuzz_guard
from fuzz_values import payload_pickles
from reddino.foundations.errors import RedDinoError
fuzz_guard.MOST_SECONDS = 0.3
def fail(error): raise error
def spin():
    while True:
        try: [number for number in range(10**5)]
        except Exception: pass
guard = fuzz_guard.Guard(Path(sys.argv[1]))
guard.limit_memory()
print(guard.run({READS[expected]}, {{'a': b'1'}}).kind)
"""
    ran = python(code, str(tmp_path), work=tmp_path)
    assert ran.stdout.split() == [expected.split(maxsplit=1)[0]], ran.stderr


def test_readers__read_or_refuse_damaged_files(tmp_path: Path) -> None:
    crashes, work = tmp_path / "crashes", tmp_path / "work"
    (work / "sandbox").mkdir(parents=True)
    arguments = (",".join(HOLDING), str(crashes), str(work), "0", "1", str(INPUTS))
    ran = python(str(HERE / "fuzz_worker.py"), *arguments, work=work)
    assert ran.returncode == 0, ran.stderr[-3000:]
    counts = json.loads((work / "state.json").read_text())["counts"]
    reports = [path.read_text()[:2000] for path in sorted(crashes.glob("*/report.txt"))]
    assert not reports, "\n".join(reports)
    assert counts["accepted"] > len(HOLDING)
    assert counts["refused"] > INPUTS
