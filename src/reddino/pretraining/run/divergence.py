"""Divergence: whether what a run is about to write is still made of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.distributed.processes import Processes
from reddino.pretraining.distributed.tensors import local_shard
from reddino.pretraining.run.checkpoint import list_checkpoints


def require_finite_state(
    networks: StudentTeacher,
    optimizer: torch.optim.Optimizer,
    step: int,
    checkpoints: Path,
    processes: Processes,
) -> None:
    """Refuse to write student, teacher, centres or moments that hold NaN or infinity, in all processes alike.

    Args:
        networks: student, EMA teacher and centres.
        optimizer: whose moments a checkpoint keeps too.
        step: steps done.
        checkpoints: folder of the run's checkpoints.
        processes: of the run.

    Raises:
        RedDinoError: names the first tensor, and the last finite checkpoint.
    """
    name = next(
        (
            name
            for name, value in _tensors(networks, optimizer)
            if not bool(local_shard(value).isfinite().all())
        ),
        None,
    )
    if not processes.any(name is not None):
        return
    written = list_checkpoints(checkpoints)
    last = (
        f"the last finite checkpoint is {written[-1]}, whose teacher is the model folder"
        if written
        else "no finite checkpoint was written before"
    )
    raise RedDinoError(
        f"the run diverged: after step {step} {name or 'a tensor of another process'} holds numbers that "
        f"are not finite, and nothing of it was written; {last}: lower optim.lr or run in fp32, and begin "
        "again in a new folder"
    )


def _tensors(networks: StudentTeacher, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, value in networks.state_dict().items():
        if value.is_floating_point():
            yield f"'{name}'", value
    for state in optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor):
                yield f"the optimiser's '{name}'", value
