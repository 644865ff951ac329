"""The networks over several processes: DDP gives each process all of them, FSDP2 a shard of every tensor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import nn

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.pretraining.data.network_input import NetworkInput
from reddino.pretraining.dinov2 import Outputs, StudentTeacher
from reddino.pretraining.distributed.processes import Processes
from reddino.pretraining.distributed.tensors import is_sharded, whole_tensor


class WrappedStudent:
    """The student as training calls it: its outputs, and gradients that are means over the processes.

    Attributes:
        predict: network input to outputs.
    """

    def __init__(self, predict: nn.Module, ddp: Any = None) -> None:
        self.predict: Callable[[NetworkInput], Outputs] = predict
        self._ddp = ddp

    def accumulating(self, last: bool) -> AbstractContextManager[object]:
        """Enclose the forward and backward pass of a micro-batch: gradients travel once, with the last one.

        Under FSDP2 they travel with each: gradients of whole tensors would need the memory that it saves.
        """
        return nullcontext() if self._ddp is None or last else self._ddp.no_sync()


def wrap(networks: StudentTeacher, runtime: Runtime, processes: Processes) -> WrappedStudent:
    """Move the networks to the device and, in place, over the processes, all of which hold the same weights.

    Raises:
        RedDinoError: batch-norm statistics would have to be shared between CPUs.
    """
    options = networks.recipe.runtime
    networks.to(runtime.device)
    if networks.distillation is not None:
        networks.distillation.teacher.to(runtime.device)
    for branch in (networks.student, networks.teacher):
        branch.backbone.use_fused_attention(runtime.fused_attention)
    if options.activation_checkpointing and isinstance(networks.student.backbone, ViTBackbone):
        networks.student.backbone.checkpoint_activations()
    if options.compile:
        _compile(networks)
    if processes.count == 1:
        return WrappedStudent(networks.student)
    return wrap_in_group(networks, runtime, processes)


def wrap_in_group(networks: StudentTeacher, runtime: Runtime, processes: Processes) -> WrappedStudent:
    """Wrap networks on their device by DDP or FSDP2; `wrap` calls it.

    Raises:
        RedDinoError: as `wrap`.
    """
    _share_batch_statistics(networks, runtime)
    if networks.recipe.runtime.parallel == "fsdp":
        _shard(networks, runtime, processes)
        return WrappedStudent(networks.student)
    ddp = nn.parallel.DistributedDataParallel(
        networks.student,
        gradient_as_bucket_view=True,
        find_unused_parameters=not _every_part_learns(networks),
    )
    return WrappedStudent(ddp, ddp)


def _every_part_learns(networks: StudentTeacher) -> bool:
    """Whether no parameter goes unused, as the mask token without iBOT: DDP would wait for its gradient."""
    loss, section = networks.recipe.loss, networks.recipe.distill
    if isinstance(networks.student.backbone, ViTBackbone):
        return loss.dino > 0 and loss.ibot > 0
    # A network that learns its feature map alone leaves out what comes after the map.
    pooled_learns = section is not None and max(section.pooled, section.morphology, section.relations) > 0
    return loss.dino > 0 or pooled_learns


def _compile(networks: StudentTeacher) -> None:
    """Compile block by block: soon done, and in the place where FSDP2 and checkpointing hook."""
    for branch in (networks.student, networks.teacher):
        for block in branch.backbone.blocks or [branch.backbone]:
            block.compile()


def _share_batch_statistics(networks: StudentTeacher, runtime: Runtime) -> None:
    """Compute batch norm over the whole batch, as one process would."""
    moving = [
        module
        for module in networks.student.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    ]
    if not moving:
        return
    if runtime.device.type != "cuda":
        raise RedDinoError(
            "several processes can share the statistics of batch normalisation on GPUs only: model.backbone="
            f"{networks.recipe.model.backbone}; set model.freeze_norm_statistics=true or start one process"
        )
    from timm.layers import convert_sync_batchnorm

    networks.student.backbone = convert_sync_batchnorm(networks.student.backbone)


def _shard(networks: StudentTeacher, runtime: Runtime, processes: Processes) -> None:
    """Wrap by FSDP2: a block's weights are whole only while it computes; all else belongs to the branch."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    # The branch returns views of what it computed, which nothing here changes in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(runtime.device.type, (processes.count,))
    for branch in (networks.student, networks.teacher):
        for part in (*branch.backbone.blocks, branch):
            # Also the heads: no backward pass would free the teacher's, whose next forward must see the EMA.
            fully_shard(part, mesh=mesh, reshard_after_forward=True)
            assert isinstance(part, FSDPModule)
            if runtime.device.type == "cpu":
                # gloo's average has been a sum in some versions of torch: add up, then divide.
                part.set_force_sum_reduction_for_comms(True)


def whole_teacher(networks: StudentTeacher, processes: Processes) -> Backbone | None:
    """Return the teacher's backbone as a plain module in the first process, None in the others.

    All processes must call it. Where the teacher is sharded, a copy is put together on the CPU.
    """
    teacher = networks.teacher.backbone
    if not is_sharded(teacher):
        return teacher if processes.is_main else None
    state = {name: whole_tensor(value).cpu() for name, value in teacher.state_dict().items()}
    if not processes.is_main:
        return None
    copy = networks.card.create()
    copy.load_state_dict(state)
    return copy
