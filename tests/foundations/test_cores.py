"""Cores by the quota of a container: control groups of version 1 and 2, as files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reddino.foundations import cores
from reddino.foundations.cores import cpu_quota, usable_cores
from reddino.foundations.runtime import choose_runtime

V1 = "29 23 0:25 {root} {at} rw,nosuid shared:5 - cgroup cgroup rw,cpu,cpuacct"
V2 = "30 23 0:26 {root} {at} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"


def group(folder: Path, limit: str) -> None:
    """A control group with a limit: "50000 100000" in the file of version 2, in two files for version 1."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.parts[-1].startswith("v1") or "cpu" in folder.parts:
        quota, period = limit.split()
        (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (folder / "cpu.cfs_period_us").write_text(f"{period}\n")
    else:
        (folder / "cpu.max").write_text(f"{limit}\n")


def process(folder: Path, groups: str, *mounts: str) -> Path:
    proc = folder / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(groups)
    (proc / "mountinfo").write_text("\n".join(["22 1 8:1 / / rw - ext4 /dev/root rw", *mounts]) + "\n")
    return proc


def test_quota__of_version_2_is_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    at = tmp_path / "sys"
    group(at / "pod", "150000 100000")
    group(at / "pod" / "container", "max 100000")
    proc = process(tmp_path, "0::/pod/container\n", V2.format(root="/", at=at))
    assert cpu_quota(proc) == 1.5
    group(at / "pod" / "container", "50000 100000")
    assert cpu_quota(proc) == 0.5


def test_quota__of_version_1(tmp_path: Path) -> None:
    at = tmp_path / "cpu"
    group(at / "docker", "400000 100000")
    group(at / "docker" / "c0ffee", "-1 100000")
    groups = "5:memory:/elsewhere\n4:cpu,cpuacct:/docker/c0ffee\n"
    assert cpu_quota(process(tmp_path, groups, V1.format(root="/", at=at))) == 4.0


def test_quota__where_the_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    at = tmp_path / "with space" / "cpu"
    group(at, "200000 100000")
    mount = V1.format(root="/docker/c0ffee", at=str(at).replace(" ", "\\040"))
    assert cpu_quota(process(tmp_path, "4:cpu,cpuacct:/docker/c0ffee\n", mount)) == 2.0


@pytest.mark.parametrize("path", ["/../../other", "/gone/away"])
def test_quota__where_the_group_lies_outside_of_what_is_mounted(tmp_path: Path, path: str) -> None:
    group(tmp_path / "sys", "300000 100000")
    assert cpu_quota(process(tmp_path, f"0::{path}\n", V2.format(root="/", at=tmp_path / "sys"))) == 3.0


@pytest.mark.parametrize("content", ["max 100000", "max", "", "0 0", "-1 100000", "a b c", "1 2 3", "nan 1"])
def test_quota__that_is_none_or_makes_no_sense_is_no_limit(tmp_path: Path, content: str) -> None:
    (tmp_path / "sys").mkdir()
    (tmp_path / "sys" / "cpu.max").write_text(content)
    assert cpu_quota(process(tmp_path, "0::/\n", V2.format(root="/", at=tmp_path / "sys"))) is None


def test_quota__without_control_groups_is_no_limit(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert (
        cpu_quota(process(tmp_path, "0::/\ngarbage\n", "garbage", V2.format(root="/", at="/nowhere"))) is None
    )


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"), [(64, 4.0, 4), (2, 4.0, 2), (8, 0.5, 1), (8, 1.5, 2), (8, None, 8)]
)
def test_usable_cores__is_the_smaller_of_affinity_and_quota_and_at_least_one(
    monkeypatch: pytest.MonkeyPatch, affinity: int, quota: float | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert usable_cores() == expected


#: Joins the group whose list of processes it is given, and prints the threads it would take.
MEMBER = """
import os, sys
from pathlib import Path
Path(sys.argv[1], "tasks").write_text(str(os.getpid()))
from reddino.foundations.cores import cpu_quota
print(cpu_quota())
"""


def test_quota__of_a_real_control_group_of_version_1() -> None:
    folder = Path(f"/sys/fs/cgroup/cpu/reddino-test-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group of version 1 can be made here ({error.strerror})")
    try:
        (folder / "cpu.cfs_period_us").write_text("100000")
        (folder / "cpu.cfs_quota_us").write_text("50000")
        done = subprocess.run(
            [sys.executable, "-c", MEMBER, str(folder)], capture_output=True, text=True, check=True
        )
    finally:
        folder.rmdir()
    assert done.stdout == "0.5\n"


def test_threads__follow_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    monkeypatch.setattr(cores, "cpu_quota", lambda: 2.5)
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    assert choose_runtime("cpu", threads=0).threads == 3
    assert asked == [3]
