"""Processes that fill batches of arrays in shared memory, in order, each its part of every batch.

Plain forked processes rather than torch's DataLoader: the memory is anonymous, so that a container's small
/dev/shm is no limit; nothing touches torch's random state; and signals meant for the run reach the run alone.
"""

from __future__ import annotations

import mmap
import multiprocessing as mp
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reddino.foundations.errors import RedDinoError

Arrays = dict[str, NDArray[Any]]
ArraySpec = dict[str, tuple[tuple[int, ...], DTypeLike]]
"""Name -> shape and type of the arrays of a batch."""
Fill = Callable[[int, range, Arrays], None]
"""Fill the given positions of the batch with the given key; other processes fill the others."""

_DONE = ""
_ALIGNMENT = 64


def shared_work(
    fill: Fill, spec: ArraySpec, keys: Sequence[int], size: int, *, workers: int, ahead: int
) -> Iterator[Arrays]:
    """Yield the filled batches for `keys` in order; the arrays belong to the caller.

    Args:
        fill: makes a part of a batch; called in the workers.
        spec: the arrays of a batch.
        keys: a batch each.
        size: positions per batch, divided among the workers.
        workers: processes; 0 fills in this one.
        ahead: batches that the workers may be in front of the caller.

    Raises:
        RedDinoError: raised by `fill`, or a worker was killed.
        RuntimeError: `fill` failed otherwise; with the worker's traceback.
    """
    if workers < 1:
        return _in_process(fill, spec, keys, size)
    if "fork" not in mp.get_all_start_methods():
        raise RedDinoError("worker processes need a system that can fork: runtime.workers; set it to 0")
    slots = [_shared_arrays(spec) for _ in range(max(1, ahead))]
    workers = min(workers, size)
    cuts = [size * worker // workers for worker in range(workers + 1)]
    parts = [_Worker(fill, keys, range(*cut), slots) for cut in pairwise(cuts)]
    return _SharedBatches(parts)


def _in_process(fill: Fill, spec: ArraySpec, keys: Sequence[int], size: int) -> Iterator[Arrays]:
    for key in keys:
        batch = {name: np.empty(shape, dtype) for name, (shape, dtype) in spec.items()}
        fill(key, range(size), batch)
        yield batch


@dataclass(frozen=True)
class _Worker:
    """A worker's part of the work: its positions of every batch.

    Batch n lies in slot n modulo the number of slots.
    """

    fill: Fill
    keys: Sequence[int]
    positions: range
    slots: list[Arrays]

    def run(self, connection: Connection) -> None:
        """Fill batch after batch and report each; a slot is used again when it has been given back."""
        for turn, key in enumerate(self.keys):
            if turn >= len(self.slots):
                connection.recv()
            self.fill(key, self.positions, self.slots[turn % len(self.slots)])
            connection.send(_DONE)
        while True:  # until the run closes its end: an early death would look like a failure
            connection.recv()


class _SharedBatches(Iterator[Arrays]):
    """The run's end of the work: it takes a batch when every worker has done its part, and frees its slot."""

    def __init__(self, parts: list[_Worker]) -> None:
        self._keys, self._slots = iter(parts[0].keys), cycle(parts[0].slots)
        context = mp.get_context("fork")
        pipes = [context.Pipe() for _ in parts]
        self._connections = [here for here, _ in pipes]
        self._processes: list[BaseProcess] = []
        for part, (_, there) in zip(parts, pipes, strict=True):
            # A worker that kept the other ends open would never see that the run has gone.
            foreign = [end for pipe in pipes for end in pipe if end is not there]
            process = context.Process(target=_work, args=(part, there, foreign), daemon=True)
            process.start()
            self._processes.append(process)
        for _, there in pipes:
            there.close()
        # Runs when this object is dropped, and at exit before multiprocessing would wait for its children.
        self._stop = Finalize(self, _stop, args=(self._connections, self._processes), exitpriority=10)

    def __next__(self) -> Arrays:
        if next(self._keys, None) is None:
            self._stop()
            raise StopIteration
        for connection, process in zip(self._connections, self._processes, strict=True):
            self._await(connection, process)
        batch = {name: array.copy() for name, array in next(self._slots).items()}
        for connection in self._connections:
            self._give_back(connection)
        return batch

    def _await(self, connection: Connection, process: BaseProcess) -> None:
        """Wait until a worker has done its part of the next batch."""
        try:
            wait([connection, process.sentinel])
            message = connection.recv() if connection.poll() else None
        except (EOFError, OSError):
            message = None
        if message == _DONE:
            return
        self._stop()
        if message is None:
            raise RedDinoError(
                f"a data worker died ({_cause(process)}): runtime.workers; if memory ran out, set fewer"
            )
        raise message

    def _give_back(self, connection: Connection) -> None:
        try:
            connection.send(_DONE)
        except OSError:  # the worker has finished, or died, which the next batch will show
            return


def _shared_arrays(spec: ArraySpec) -> Arrays:
    """Make arrays in anonymous memory for forked processes; unmapped when the last array is dropped."""
    offsets: dict[str, int] = {}
    total = 0
    for name, (shape, dtype) in spec.items():
        offsets[name] = total
        total += -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // _ALIGNMENT) * _ALIGNMENT
    memory = mmap.mmap(-1, max(total, 1))
    return {
        name: np.frombuffer(memory, dtype, int(np.prod(shape)), offsets[name]).reshape(shape)
        for name, (shape, dtype) in spec.items()
    }


def _work(part: _Worker, connection: Connection, foreign: list[Connection]) -> None:
    """Run a worker, which ends when the run does."""
    # Signals reach the whole process group; the run decides what they mean and ends its workers itself.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for end in foreign:
        end.close()
    try:
        part.run(connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except RedDinoError as error:
        _report(connection, RedDinoError(str(error)))
    except BaseException:
        _report(connection, RuntimeError(f"a data worker failed:\n{traceback.format_exc()}"))


def _report(connection: Connection, error: BaseException) -> None:
    try:
        connection.send(error)
    except OSError:  # the run has gone
        return


def _cause(process: BaseProcess) -> str:
    process.join(timeout=5)
    code = process.exitcode
    return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"


def _stop(connections: list[Connection], processes: list[BaseProcess]) -> None:
    for connection in connections:
        connection.close()
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
