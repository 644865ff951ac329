"""The processes of a run: which of them this one is, and what they exchange."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from reddino.foundations.errors import RedDinoError
from reddino.foundations.launch import launched
from reddino.foundations.runtime import choose_device

#: How long a step may stand still before a run is given up, and how long one process may work alone while
#: the others wait for it: the first one decodes all images, and scores the teacher.
STEP_PATIENCE, WORK_PATIENCE = timedelta(minutes=30), timedelta(days=7)
#: Parts of the messages of torch's collectives when another process has ended or does not come.
_LOST = ("connection", "timed out", "timeout", "socket", "gloo", "nccl", "broken pipe", "aborted")

T = TypeVar("T")


class Processes:
    """A run of one process: nothing to add up and nothing to wait for.

    What several processes do is in `ProcessGroup`; code that sums, agrees or waits is the same for both.

    Attributes:
        rank: number of this process.
        count: processes of the run.
    """

    rank = 0
    count = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes, logs and scores."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the elementwise sum over the processes; no gradient."""
        return values

    def sum_with_gradient(self, values: Tensor) -> Tensor:
        """Sum with the gradient of every process's loss; for losses that are averaged afterwards."""
        return values

    def largest(self, values: Tensor) -> Tensor:
        """Return the elementwise maximum over the processes."""
        return values

    def gather(self, values: Tensor) -> Tensor:
        """Return the rows of all processes, in their order; each has equally many."""
        return values

    def any(self, here: bool) -> bool:
        """Whether it is true in any process."""
        return here

    def from_main(self, compute: Callable[[], T]) -> T:
        """Compute something in the first process alone; all get it. The others wait as long as it takes."""
        return compute()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the first process go through the block before the others, which find what it left on disk."""
        yield

    def wait(self) -> None:
        """Wait until all processes have come here."""


ALONE = Processes()


class ProcessGroup(Processes):
    """Several processes, started by torchrun: NCCL between GPUs, gloo between CPUs.

    Always sums, never torch's averages: backends have differed in what an average is.
    """

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        # Flags and waiting go over the network's CPU side, so that no GPU has to be waited for.
        group = dist.new_group(backend="gloo", timeout=WORK_PATIENCE)
        self.patient = cast(dist.ProcessGroup, group)

    def sum(self, values: Tensor) -> Tensor:
        """Return the elementwise sum over the processes, in a new tensor; no gradient."""
        total = values.detach().clone()
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        return total

    def sum_with_gradient(self, values: Tensor) -> Tensor:
        """Sum as `sum` does; the gradient is the sum of those of all processes."""
        return _Sum.apply(values)  # type: ignore[no-any-return]

    def largest(self, values: Tensor) -> Tensor:
        """Return the elementwise maximum over the processes, in a new tensor."""
        most = values.detach().clone()
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        return most

    def gather(self, values: Tensor) -> Tensor:
        """Return the rows (n, ...) of all processes, (count * n, ...), in the order of their ranks."""
        parts = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def any(self, here: bool) -> bool:
        """Return whether it is true in any process; waits for the slowest."""
        flag = torch.tensor([float(here)])
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self.patient)
        return bool(flag.item())

    def from_main(self, compute: Callable[[], T]) -> T:
        """Compute in the first process and send the result, pickled, to the others."""
        box: list[Any] = [compute() if self.is_main else None]
        dist.broadcast_object_list(box, src=0, group=self.patient)
        return box[0]  # type: ignore[no-any-return]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Hold the other processes back until the first has left the block."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def wait(self) -> None:
        """Wait until all processes have come here, on the CPU alone."""
        dist.barrier(group=self.patient)


class _Sum(torch.autograd.Function):
    """Sum over the processes. Each loss depends on the sum, so its gradient is the sum of their gradients."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone().contiguous()
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        return total


@contextmanager
def joined(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that torchrun started, or this one alone; they part when the block ends.

    Args:
        device: as `choose_runtime` takes it; GPUs talk by NCCL.

    Raises:
        RedDinoError: another process has gone while this one waited for it.
    """
    if launched().count == 1:
        yield ALONE
        return
    chosen = choose_device(device)
    backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
    try:
        dist.init_process_group(
            backend,
            timeout=STEP_PATIENCE,
            device_id=chosen if chosen.type == "cuda" else None,
            **_store_of_this_attempt(),
        )
        yield ProcessGroup()
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        reason = re.sub(r"^\[.*?\] ", "", str(error).strip().splitlines()[0]).split(". ")[0][:120]
        here = launched()
        raise RedDinoError(
            f"process {here.rank + 1} of {here.count} lost the others ({reason}): one of them has ended, for "
            "the reason that it gave; the same command continues from the last checkpoint"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _store_of_this_attempt() -> dict[str, Any]:
    """Return where the processes find each other, as arguments of `init_process_group`.

    torchrun lends them its own store, which after a restart still holds the addresses of those that have
    died. On one machine the number of the restart, which is the same in all of them, keeps attempts apart; on
    several, machines count for themselves, and torchrun must be started so that it does not lend its store.
    """
    here = launched()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or here.local_count < here.count:
        return {}
    store, rank, count = next(dist.rendezvous("env://", timeout=STEP_PATIENCE))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    own = dist.PrefixStore(f"attempt {attempt}", store)
    return {"store": own, "rank": rank, "world_size": count}


def _is_loss(error: RuntimeError) -> bool:
    if isinstance(error, dist.DistError):
        return True
    message = str(error).lower()
    return any(part in message for part in _LOST)
