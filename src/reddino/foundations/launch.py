"""The number of this process in its run, where torchrun started several."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """The number of this process in its run, as torchrun gives it; without torchrun, the first of one.

    Attributes:
        rank: number of this process among all.
        count: processes of the run.
        local_rank: number among those of this machine; with GPUs, the number of its GPU.
        local_count: processes on this machine, which share its cores.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1


def launched() -> Launch:
    """Read what torchrun sets; without all of it this is a run of one process."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not all(os.environ.get(name, "").isdigit() for name in (*names, "MASTER_PORT")):
        return Launch()
    return Launch(*(int(os.environ[name]) for name in names))
