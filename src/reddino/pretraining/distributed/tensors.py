"""Tensors that FSDP2 may have sharded over the processes: one process's shard, or the whole of them."""

from __future__ import annotations

from torch import Tensor, nn


def is_sharded(module: nn.Module) -> bool:
    """Whether the module's parameters are sharded over the processes."""
    return any(hasattr(parameter, "to_local") for parameter in module.parameters())


def local_shard(tensor: Tensor) -> Tensor:
    """Return this process's shard of a tensor; all of a tensor that is not sharded."""
    shard: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return shard


def whole_tensor(tensor: Tensor) -> Tensor:
    """Put a tensor together from its shards; all processes must call it."""
    complete: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return complete


def shard_like(tensor: Tensor, example: Tensor) -> Tensor:
    """Shard a whole tensor, which every process has, as `example` is sharded."""
    if not hasattr(example, "to_local"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(example, DTensor)
    whole_here = tensor.to(example.device)
    return distribute_tensor(whole_here, example.device_mesh, example.placements, src_data_rank=None)
