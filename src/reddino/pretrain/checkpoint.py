"""Checkpoints: written whole, kept few, and enough to go on bit for bit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from reddino.atomic import atomic_path, remove_partials
from reddino.errors import RedDinoError
from reddino.pretrain.student_teacher import StudentTeacher

_NAME = re.compile(r"step-(\d+)\.pt$")


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted((path for path in folder.glob("step-*.pt") if _NAME.search(path.name)), key=step_of)


def step_of(path: Path) -> int:
    """Steps done when a checkpoint was written, from its name."""
    match = _NAME.search(path.name)
    assert match is not None
    return int(match[1])


def save_checkpoint(
    folder: Path, step: int, networks: StudentTeacher, optimizer: torch.optim.Optimizer, keep: int
) -> Path:
    """Write what the run needs to go on after `step` steps, then delete all but the newest `keep`.

    No random state is kept: every random number is a function of the seed and the sample index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    path = folder / f"step-{step:09d}.pt"
    with atomic_path(path) as partial:
        torch.save(
            {"step": step, "networks": networks.state_dict(), "optimizer": optimizer.state_dict()}, partial
        )
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path, networks: StudentTeacher, optimizer: torch.optim.Optimizer) -> int:
    """Restore networks and optimizer; returns the steps done.

    Raises:
        RedDinoError: the file is damaged or belongs to another network.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        networks.load_state_dict(content["networks"])
        optimizer.load_state_dict(content["optimizer"])
    except Exception as error:  # on bytes that are no checkpoint, torch's reader raises errors of many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(
            f"checkpoint {path} cannot be restored ({reason}); delete it to go on from the one before"
        ) from error
    return int(content["step"])
