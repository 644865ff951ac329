"""The workers of a pass on Ray, whatever they do: dealt to, waited for, and replaced when they die."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic

from reddino.embedding.dealt_runs import Output, RunBook
from reddino.embedding.open_part import Run
from reddino.embedding.ray_cluster import Shares, last_line
from reddino.embedding.worker_replies import Refusal, require_seen
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage

log = logging.getLogger(__name__)

#: Runs that each worker has at a time: one in work, one to continue with.
DEPTH = 2
#: Runs of each worker that are dealt or wait for their turn, before no new one is dealt.
AHEAD = 4
#: Seconds between two looks at the workers, between two lines about the nodes, and until a warning that no
#: worker could be started.
_LOOK, _REPORT, _PATIENCE = 1.0, 60.0, 60.0


@dataclass
class _Hired:
    """A worker, with the results that are due from it, oldest first.

    Attributes:
        actor: its handle.
        node: name of its machine; "" until it is ready.
        work: runs by the reference of their result; the first reference is that of its start.
    """

    actor: Any
    node: str = ""
    work: dict[Any, Run | None] = field(default_factory=dict)


@dataclass
class _NodeCount:
    """What a node has done, and since when."""

    done: int = 0
    since: float = field(default_factory=time.monotonic)


class Crew(Generic[Output]):
    """The workers of a pass: dealt to, waited for, and replaced when they die.

    Args:
        ray: the package, connected to a cluster.
        worker: class of the workers, made of a plan and a number of threads, with `ready` and `work`.
        plan: that each gets.
        shares: what each has.
        book: of the runs.
        name_of: returns the name of an image by its number.
        what: one of what a run holds, for the log.
    """

    def __init__(
        self,
        ray: Any,
        worker: type,
        plan: object,
        shares: Shares,
        book: RunBook[Output],
        *,
        name_of: Callable[[int], str],
        what: str = "view",
    ) -> None:
        self._ray, self._shares, self._book = ray, shares, book
        self._name_of, self._what = name_of, what
        self._plan = ray.put(plan)
        options = {"num_cpus": shares.cpus, "num_gpus": shares.gpus, "max_restarts": 0}
        self._actor = ray.remote(**options, max_task_retries=0, scheduling_strategy="SPREAD")(worker)
        errors = ray.exceptions
        #: What a result raises whose worker, or node, is gone.
        self._gone = (
            errors.RayActorError,
            errors.ObjectLostError,
            errors.NodeDiedError,
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
        )
        self._crew: list[_Hired] = []
        self._failed_starts = 0
        self._nodes: dict[str, _NodeCount] = {}
        self._heard = self._reported = time.monotonic()

    def outputs(self) -> Iterator[Output]:
        """Yield what came of all runs, in the order of their images."""
        self._crew = [self._hire() for _ in range(self._shares.workers)]
        with stage("starting workers"):
            while not self._book.finished and not any(one.node for one in self._crew):
                list(self._step())
        while not self._book.finished:
            yield from self._step()
        self._report()

    def stop(self) -> None:
        """End all workers."""
        for worker in self._crew:
            with suppress(Exception):  # the cluster may be gone, and what ended the pass is to be heard
                self._ray.kill(worker.actor)
        self._crew = []

    def _step(self) -> Iterator[Output]:
        """Deal, wait a little, and take what is ready."""
        self._deal()
        due = {ref: worker for worker in self._crew for ref in worker.work}
        ready, _ = self._ray.wait(list(due), num_returns=1, timeout=_LOOK)
        for ref in ready:
            yield from self._take(due[ref], ref)
        self._mention_silence(bool(ready))

    def _deal(self) -> None:
        """Give every worker that is ready something to do, those with the least first."""
        for depth in range(DEPTH):
            for worker in self._crew:
                if worker.node and len(worker.work) == depth:
                    run = self._book.deal()
                    if run is None:
                        return
                    worker.work[worker.actor.work.remote(run)] = run

    def _take(self, worker: _Hired, ref: Any) -> Iterator[Output]:
        if worker not in self._crew:
            return  # replaced a moment ago, and its runs dealt again
        try:
            result = self._ray.get(ref)
        except self._gone as error:
            self._replace(worker, error)
            return
        run = worker.work.pop(ref)
        if isinstance(result, Refusal):
            raise RedDinoError(result.message)
        if run is None:
            worker.node, self._failed_starts = result, 0
            self._nodes.setdefault(worker.node, _NodeCount())
            return
        require_seen(result)
        self._nodes[worker.node].done += result.count
        yield from self._book.take(result)

    def _hire(self) -> _Hired:
        """Start a worker; it comes to work as soon as the cluster can hold it."""
        worker = _Hired(self._actor.remote(self._plan, self._shares.cpus))
        worker.work[worker.actor.ready.remote()] = None
        return worker

    def _replace(self, worker: _Hired, error: Exception) -> None:
        """Deal the runs of a worker that is gone again, and start another one."""
        reason = last_line(error)
        self._crew.remove(worker)
        self._ray.kill(worker.actor)
        if worker.node:
            log.warning("a worker on node %s is gone; its images are dealt again", worker.node)
        else:
            self._failed_starts += 1
            if self._failed_starts > 2 + self._shares.workers:
                raise RedDinoError(
                    f"no worker can be started on the cluster ({reason}): install RedDino and what the model "
                    "needs on all nodes"
                )
        for number, run in enumerate(run for run in worker.work.values() if run is not None):
            if not self._book.lose(run, blame=number == 0):
                raise RedDinoError(
                    f"workers died again and again on the pictures '{self._name_of(run[0])}' to "
                    f"'{self._name_of(run[1] - 1)}' ({reason}): give workers more memory, or leave these out"
                )
        self._crew.append(self._hire())

    def _mention_silence(self, heard: bool) -> None:
        """Log the rates of the nodes from time to time, and that no worker could be placed."""
        now = time.monotonic()
        if heard:
            self._heard = now
        elif now - self._heard > _PATIENCE and not any(worker.node for worker in self._crew):
            log.warning(
                "no worker fits on the cluster: each needs %s%s",
                counted(self._shares.cpus, "core"),
                " and a GPU" if self._shares.gpus else "",
            )
            self._heard = now
        if now - self._reported > _REPORT:
            self._report()

    def _report(self) -> None:
        now = self._reported = time.monotonic()
        for node, count in sorted(self._nodes.items()):
            workers = sum(worker.node == node for worker in self._crew)
            rate = count.done / max(now - count.since, 1e-9)
            log.info(
                "node %s: %s, %s, %.1f a second",
                node,
                counted(workers, "worker"),
                counted(count.done, self._what),
                rate,
            )
