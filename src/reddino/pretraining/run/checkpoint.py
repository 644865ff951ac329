"""Checkpoints: written whole, kept few, and enough to continue bit for bit, on any number of processes.

One process writes a file; several write a folder together (torch.distributed.checkpoint), each its part of
every tensor. Either is read by one process or by any number, with or without FSDP2.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reddino.foundations.archives import require_stored
from reddino.foundations.atomic import atomic_path, draft_folder, remove_partials, sync_folder
from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import writing
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.distributed.processes import ALONE, Processes, ProcessGroup
from reddino.pretraining.distributed.tensors import is_sharded, shard_like
from reddino.pretraining.run.checkpoint_reader import SafeReader, TensorsOnly

_NAME = re.compile(r"step-(\d+)(\.pt)?$")


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the finished checkpoints, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (step_of(path), path.stat().st_mtime_ns))


def step_of(path: Path) -> int:
    """Return the steps done when a checkpoint was written, from its name."""
    match = _NAME.search(path.name)
    assert match is not None
    return int(match[1])


def save_checkpoint(
    folder: Path,
    step: int,
    networks: StudentTeacher,
    optimizer: torch.optim.Optimizer,
    keep: int,
    *,
    processes: Processes = ALONE,
) -> Path:
    """Write what the run needs to continue after `step` steps, then delete all but the newest `keep`.

    No random state is kept: every random number is a function of the seed and the sample index.
    """
    if processes.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        remove_partials(folder)
    if isinstance(processes, ProcessGroup):
        path = _save_together(folder / f"step-{step:09d}", networks, optimizer, processes)
    else:
        path = folder / f"step-{step:09d}.pt"
        content = {"step": step, "networks": networks.state_dict(), "optimizer": optimizer.state_dict()}
        with atomic_path(path) as partial:
            torch.save(content, partial)
    if processes.is_main:
        for old in list_checkpoints(folder)[:-keep]:
            _delete(old)
    processes.wait()
    return path


def _save_together(
    path: Path, networks: StudentTeacher, optimizer: torch.optim.Optimizer, processes: ProcessGroup
) -> Path:
    """Write the folder under another name, each file synced, and rename it when every part is there."""
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    if processes.from_main(path.exists):  # a run that was at this step already has nothing to add
        return path
    content = _tensors(networks, optimizer.state_dict()["state"])
    with writing(path), ExitStack() as held:

        def begin() -> Path:
            return held.enter_context(draft_folder(path.parent, path.name)) / path.name

        partial = processes.from_main(begin)
        save(
            content,
            storage_writer=FileSystemWriter(partial, sync_files=True),
            process_group=processes.patient,
        )
        if processes.is_main:
            sync_folder(partial)
            partial.rename(path)
            sync_folder(path.parent)
    return path


def _tensors(networks: StudentTeacher, moments: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the whole state by flat names. Rates and decays are not in it: they follow from the step."""
    named = {f"networks.{name}": value for name, value in networks.state_dict().items()}
    for number, state in moments.items():
        named |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    return named


def _delete(path: Path) -> None:
    """Delete a checkpoint so that no half of it is ever taken for a whole one."""
    if path.is_dir():
        with draft_folder(path.parent, path.name) as doomed:
            path.rename(doomed / path.name)
    else:
        path.unlink()


def load_checkpoint(
    path: Path,
    networks: StudentTeacher,
    optimizer: torch.optim.Optimizer,
    processes: Processes = ALONE,
) -> int:
    """Restore networks and optimizer; return the steps done.

    Raises:
        RedDinoError: the checkpoint is damaged or belongs to another network.
    """
    from torch.distributed.checkpoint.api import CheckpointException

    load = _load_folder if path.is_dir() else _load_file
    try:
        load(path, networks, optimizer, processes)
    # On bytes that are no checkpoint, torch's readers raise errors of many kinds, one of them no Exception.
    except (Exception, CheckpointException) as error:
        raise RedDinoError(
            f"checkpoint {path} cannot be restored ({_reason(error)}); delete it to continue from the one "
            "before"
        ) from error
    return step_of(path)


def _reason(error: BaseException) -> str:
    """Return the first line of an error, or of the first that processes met together."""
    for failed, *_ in getattr(error, "failures", {}).values():
        error = failed
        break
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _require_undamaged(path: Path) -> None:
    """Compare every record of a file with its checksum, which torch writes and does not read."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"its record {damaged} does not fit its checksum")


def _load_file(
    path: Path, networks: StudentTeacher, optimizer: torch.optim.Optimizer, _processes: Processes
) -> None:
    mapped = is_sharded(networks)  # several processes read the same file, and keep a part each
    require_stored(path, path.stat().st_size, path.name)
    _require_undamaged(path)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    own, parameters = networks.state_dict(), _parameters(optimizer)
    if content["step"] != step_of(path):
        raise ValueError(f"it was written after step {content['step']}")
    for name, value in content["networks"].items():
        if name in own:
            _require_like(f"networks.{name}", value, own[name])
    networks.load_state_dict(
        {
            name: shard_like(value, own[name]) if name in own else value
            for name, value in content["networks"].items()
        }
    )
    moments = {
        number: _moments(number, state, parameters[number])
        for number, state in content["optimizer"]["state"].items()
    }
    groups = _groups(content["optimizer"]["param_groups"], optimizer.state_dict()["param_groups"])
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _groups(written: Any, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return our own groups with the last rates and decays that were written, and nothing else of those."""
    rates = [{name: float(group[name]) for name in ("lr", "weight_decay")} for group in written]
    if not all(0 <= rate < math.inf for group in rates for rate in group.values()):
        raise ValueError("a rate is not a number")
    return [group | last for group, last in zip(own, rates, strict=True)]


def _moments(number: int, state: Mapping[str, Any], parameter: Tensor) -> dict[str, Tensor]:
    """Return a parameter's step and moments, sharded as the parameter is."""
    _require_like(f"optimizer.{number}.step", state["step"], torch.zeros(()))
    moments = {"step": state["step"]}
    for name in ("exp_avg", "exp_avg_sq"):
        _require_like(f"optimizer.{number}.{name}", state[name], parameter)
        moments[name] = shard_like(state[name], parameter)
    return moments


def _require_like(name: str, value: Any, own: Tensor) -> None:
    """Refuse what torch would convert, or what a later step would fail on."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise ValueError(f"'{name}' is not a tensor of plain numbers")
    _require_same_form(name, value.shape, value.dtype, own)


def _require_same_form(name: str, shape: torch.Size, dtype: torch.dtype, own: Tensor) -> None:
    if shape != own.shape or dtype != own.dtype:
        raise ValueError(
            f"'{name}' has shape {tuple(shape)} and type {dtype}, this network needs {tuple(own.shape)} and "
            f"{own.dtype}"
        )


def _parameters(optimizer: torch.optim.Optimizer) -> dict[int, Tensor]:
    """Return the parameters by the numbers that an optimizer's state has them under."""
    return dict(enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]))


def _load_folder(
    path: Path, networks: StudentTeacher, optimizer: torch.optim.Optimizer, processes: Processes
) -> None:
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = SafeReader(path)
    written = reader.read_metadata().state_dict_metadata
    moments = {
        number: {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
        for number, parameter in _parameters(optimizer).items()
        if f"optimizer.{number}.step" in written
    }
    content = _tensors(networks, moments)
    if content.keys() != written.keys():
        odd = sorted(content.keys() ^ written.keys())
        raise ValueError(f"{len(odd)} tensors are of another network, such as {odd[0]}")
    for name, tensor in content.items():
        described: Any = written[name]  # a tensor: the reader refuses all else
        _require_same_form(name, described.size, described.properties.dtype, tensor)
    group = processes.patient if isinstance(processes, ProcessGroup) else None
    load(content, storage_reader=reader, planner=TensorsOnly(), process_group=group, no_dist=group is None)
    own = {name: content[f"networks.{name}"] for name in networks.state_dict()}
    networks.load_state_dict(own)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
