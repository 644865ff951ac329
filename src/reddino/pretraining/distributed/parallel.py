"""The networks over several processes: DDP gives each process all of them, FSDP2 a part of every tensor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.pretraining.distributed.processes import Processes

if TYPE_CHECKING:
    from reddino.pretraining.branch import Outputs
    from reddino.pretraining.data.views import Views
    from reddino.pretraining.dinov2 import StudentTeacher


class Student:
    """The student as the loop calls it: its outputs, and gradients that are means over the processes.

    Attributes:
        predict: views to outputs.
    """

    def __init__(self, predict: nn.Module, ddp: Any = None) -> None:
        self.predict: Callable[[Views], Outputs] = predict
        self._ddp = ddp

    def accumulating(self, last: bool) -> AbstractContextManager[object]:
        """Round the forward and backward pass of a micro-batch: gradients travel once, with the last one.

        Under FSDP2 they travel with each: gradients of whole tensors would need the memory that it saves.
        """
        return nullcontext() if self._ddp is None or last else self._ddp.no_sync()


def spread(networks: StudentTeacher, runtime: Runtime, processes: Processes) -> Student:
    """Move the networks to the device and, in place, over the processes, all of which hold the same weights.

    Raises:
        RedDinoError: batch-norm statistics would have to be shared between CPUs.
    """
    options = networks.recipe.runtime
    networks.to(runtime.device)
    if networks.guide is not None:
        networks.guide.to(runtime.device)
    for branch in (networks.student, networks.teacher):
        branch.backbone.use_fused_attention(runtime.fused_attention)
    if options.activation_checkpointing and isinstance(networks.student.backbone, ViTBackbone):
        networks.student.backbone.checkpoint_activations()
    if options.compile:
        _compile(networks)
    return Student(networks.student) if processes.count == 1 else shared(networks, runtime, processes)


def shared(networks: StudentTeacher, runtime: Runtime, processes: Processes) -> Student:
    """Networks on their device, from now on in common with the other processes; `spread` calls it.

    Raises:
        RedDinoError: as `spread`.
    """
    _share_batch_statistics(networks, runtime)
    if networks.recipe.runtime.parallel == "fsdp":
        _shard(networks, runtime, processes)
        return Student(networks.student)
    ddp = nn.parallel.DistributedDataParallel(
        networks.student,
        gradient_as_bucket_view=True,
        find_unused_parameters=not _every_part_learns(networks),
    )
    return Student(ddp, ddp)


def is_sharded(module: nn.Module) -> bool:
    """Whether its tensors are spread over the processes."""
    return any(hasattr(parameter, "to_local") for parameter in module.parameters())


def local_part(tensor: Tensor) -> Tensor:
    """This process's part of a tensor; of one that is not spread, all of it."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def whole(tensor: Tensor) -> Tensor:
    """A tensor put together from its parts; all processes must ask for it."""
    complete: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return complete


def spread_like(tensor: Tensor, example: Tensor) -> Tensor:
    """A whole tensor, which every process has, spread as `example` is."""
    if not hasattr(example, "to_local"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(example, DTensor)
    whole_here = tensor.to(example.device)
    return distribute_tensor(whole_here, example.device_mesh, example.placements, src_data_rank=None)


def _every_part_learns(networks: StudentTeacher) -> bool:
    """Whether no parameter goes unused, as the mask token without iBOT: DDP would wait for its gradient."""
    loss, section = networks.recipe.loss, networks.recipe.distill
    if isinstance(networks.student.backbone, ViTBackbone):
        return loss.dino > 0 and loss.ibot > 0
    # A network that learns its feature map alone leaves out what comes after the map.
    taught = section is not None and max(section.pooled, section.morphology, section.relations) > 0
    return loss.dino > 0 or taught


def _compile(networks: StudentTeacher) -> None:
    """Compile block by block: soon done, and in the place where FSDP2 and checkpointing hook."""
    for branch in (networks.student, networks.teacher):
        for block in branch.backbone.blocks or [branch.backbone]:
            block.compile()


def _share_batch_statistics(networks: StudentTeacher, runtime: Runtime) -> None:
    """Batch norm over the whole batch, as one process would compute it."""
    moving = [
        module
        for module in networks.student.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    ]
    if not moving:
        return
    if runtime.device.type != "cuda":
        raise RedDinoError(
            f"'{networks.recipe.model.backbone}' has batch normalisation, whose statistics several processes "
            "can share on GPUs only; set model.freeze_norm_statistics=true or start one process"
        )
    from timm.layers import convert_sync_batchnorm

    networks.student.backbone = convert_sync_batchnorm(networks.student.backbone)


def _shard(networks: StudentTeacher, runtime: Runtime, processes: Processes) -> None:
    """FSDP2: a block's weights are whole only while it computes; all else belongs to the branch."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    # The branch gives views of what it computed, which nothing here changes in place.
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
    """The teacher's backbone as a plain module, in the first process; None in the others.

    All processes must ask. Where the teacher is spread, a copy is put together on the CPU.
    """
    teacher = networks.teacher.backbone
    if not is_sharded(teacher):
        return teacher if processes.is_main else None
    state = {name: whole(value).cpu() for name, value in teacher.state_dict().items()}
    if not processes.is_main:
        return None
    copy = networks.card.create()
    copy.load_state_dict(state)
    return copy
