"""The number of cores that this process may use: by its affinity, and by the quota of its container."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROC = Path("/proc/self")


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    These are the cores by affinity, but no more than the quota of the control group or of one above it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota(proc: Path = _PROC) -> float | None:
    """Return the number of cores that the control groups grant (version 1 and 2), or None without a limit.

    Args:
        proc: of the process, with its `cgroup` and `mountinfo`.
    """
    groups = _groups(proc)
    quotas = [
        quota
        for kind, root, mounted in _mounts(proc)
        if kind in groups
        for folder in _upwards(groups[kind], root, mounted)
        if (quota := _quota(folder)) is not None
    ]
    return min(quotas, default=None)


def _groups(proc: Path) -> dict[str, str]:
    """Return the process's group below the root of each hierarchy that limits CPU time.

    The hierarchies are called `cgroup2` and `cgroup`.
    """
    found = {}
    for line in _lines(proc / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found["cgroup2"] = path
        elif "cpu" in controllers.split(","):
            found["cgroup"] = path
    return found


def _mounts(proc: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield kind, root and place of each mounted hierarchy that limits CPU time."""
    for line in _lines(proc / "mountinfo"):
        mount, _, system = line.partition(" - ")
        place, kind = mount.split(), system.split()
        if len(place) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2" or (kind[0] == "cgroup" and "cpu" in kind[2].split(",")):
            root, mounted = (text.encode().decode("unicode_escape") for text in place[3:5])
            yield kind[0], root, Path(mounted)


def _upwards(group: str, root: str, mounted: Path) -> Iterator[Path]:
    """Yield the folder of a group and of all above it; a container may see its own group as the root."""
    try:
        below = PurePosixPath(group).relative_to(root)
    except ValueError:
        below = PurePosixPath()
    if ".." in below.parts:
        below = PurePosixPath()
    for one in (below, *below.parents):
        yield mounted / one


def _quota(folder: Path) -> float | None:
    words = [word for line in _lines(folder / "cpu.max") for word in line.split()]
    if not words:
        words = [
            *_lines(folder / "cpu.cfs_quota_us"),
            *_lines(folder / "cpu.cfs_period_us"),
        ]
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # no limit ("max"), or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
