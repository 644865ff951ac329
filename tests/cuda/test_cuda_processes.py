"""The code of several processes on a GPU, with one: NCCL, DDP, FSDP2 and SyncBatchNorm change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
from one_step import Step, gradient_error, loss_error, recipe, take

from reddino.foundations.runtime import Runtime
from reddino.networks.create_backbone import create_backbone
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.distributed import parallel
from reddino.pretraining.distributed.parallel import WrappedStudent
from reddino.pretraining.distributed.processes import Processes, ProcessGroup

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def processes(device: torch.device) -> Iterator[ProcessGroup]:
    """A group of this process alone, over NCCL on a GPU, as `joined` makes it."""
    on_gpu = device.type == "cuda"
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=dist.HashStore(),
        rank=0,
        world_size=1,
        device_id=device if on_gpu else None,
    )
    yield ProcessGroup()
    dist.destroy_process_group()


def in_a_group(networks: StudentTeacher, runtime: Runtime, processes: Processes) -> WrappedStudent:
    """Wrap networks as `wrap` does for several processes."""
    parallel.wrap(networks, runtime, processes)
    return parallel.wrap_in_group(networks, runtime, processes)


@pytest.fixture(scope="module")
def alone(device: torch.device) -> Step:
    return take(recipe(), device)


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_one_process__in_a_group_takes_the_step_of_one_alone(
    device: torch.device, alone: Step, processes: ProcessGroup, how: str, record_property: Record
) -> None:
    grouped = recipe([f"runtime.parallel={how}"])
    found = take(grouped, device, processes=processes, wrapped=in_a_group)
    record_property("gradient_error", gradient_error(found, alone))
    assert loss_error(found, alone) <= 1e-5
    assert gradient_error(found, alone) <= 1e-3


def test_collectives__of_one_process_give_back_what_they_got(
    device: torch.device, processes: ProcessGroup
) -> None:
    values = torch.arange(6.0, device=device).reshape(3, 2)
    for collective in (processes.sum, processes.largest, processes.gather):
        assert torch.equal(collective(values), values)
    leaf = values.clone().requires_grad_()
    processes.sum_with_gradient(leaf).square().sum().backward()
    assert leaf.grad is not None and torch.equal(leaf.grad, 2 * values)
    assert processes.any(True) and not processes.any(False)
    assert processes.from_main(lambda: "said") == "said"


def test_batch_norm__shared_by_one_process_is_its_own(device: torch.device, processes: ProcessGroup) -> None:
    if device.type != "cuda":
        pytest.skip("batch statistics are shared on GPUs only")
    from timm.layers import convert_sync_batchnorm

    torch.manual_seed(0)
    plain = create_backbone("test_efficientnet").to(device).train()
    images = torch.randn(8, 3, 64, 64, device=device)
    wanted = plain(images).cls
    found = convert_sync_batchnorm(plain).train()(images).cls
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
