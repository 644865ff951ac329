"""Deal runs of images to workers, and put what comes back into the parts that one process would write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from reddino.embedding.batches import Forecast
from reddino.embedding.open_part import OpenPart, PartEnd, Run
from reddino.embedding.output_writer import EmbeddedBatch
from reddino.embedding.run_worker import RunOutput
from reddino.embedding.worker_replies import RunResult
from reddino.smears.manifest import Manifest

Output = TypeVar("Output", bound=RunResult)

#: Views that a run aims at, in batches, and the images that it has at most.
RUN_BATCHES, RUN_IMAGES = 8, 256
#: Runs of a pass, at the least, for each worker: so that none waits long for the last.
_RUNS_PER_WORKER = 8
#: Bytes of vectors that a run aims at, at most.
_RUN_BYTES = 32_000_000


class RunCutter:
    """Cuts what is missing into runs of whole images, each of about as many views.

    Where the views of an image are not known before it is opened, the mean of those seen so far is taken.
    The cuts decide who embeds what; they leave no trace in the table.

    Args:
        missing: runs of images to embed.
        expected: views of each image (m,); None where they are not known.
        batch_size: views of a batch.
        row_bytes: of the vectors of a view.
        workers: between which the runs are dealt.
    """

    def __init__(
        self,
        missing: Sequence[Run],
        expected: npt.NDArray[np.int64] | None,
        *,
        batch_size: int,
        row_bytes: int,
        workers: int,
    ) -> None:
        self._left = list(missing)
        self._expected = expected
        images = sum(stop - start for start, stop in missing)
        deals = workers * _RUNS_PER_WORKER
        self._most_images = max(1, min(RUN_IMAGES, -(-images // deals)))
        views = max(1, min(RUN_BATCHES * batch_size, _RUN_BYTES // max(row_bytes, 1)))
        if expected is not None:
            total = sum(int(expected[start:stop].sum()) for start, stop in missing)
            views = max(min(views, -(-total // deals)), min(views, batch_size))
            self._most_images = min(RUN_IMAGES, max(images, 1))
        self._views = views
        self._seen_images = self._seen_views = 0

    def see(self, images: int, views: int) -> None:
        """Note how many views some images had."""
        self._seen_images += images
        self._seen_views += views

    def cut(self) -> Run | None:
        """Return the next run; None at the end."""
        if not self._left:
            return None
        start, stop = self._left[0]
        end = min(stop, start + self._length(start, stop))
        if end == stop:
            self._left.pop(0)
        else:
            self._left[0] = (end, stop)
        return start, end

    def _length(self, start: int, stop: int) -> int:
        if self._expected is None:
            if not self._seen_images:
                return 1
            mean = max(self._seen_views / self._seen_images, 1e-9)
            return int(np.clip(self._views / mean, 1, self._most_images))
        ahead = np.cumsum(self._expected[start : min(stop, start + self._most_images)])
        return min(int(np.searchsorted(ahead, self._views)) + 1, len(ahead))


class PartsOfRuns:
    """Puts runs, in the order of their images, into the parts that one process would make of them.

    A part ends where `reddino.embedding.batches.Dealer` ends it, by what came of each image.

    Args:
        manifest: of the images.
        missing: runs of images that no part covered.
        part_rows: views, or images, of a part.
        forecast: notes the views of each image.
    """

    def __init__(
        self, manifest: Manifest, missing: Sequence[Run], part_rows: int, forecast: Forecast
    ) -> None:
        self._manifest, self._part_rows, self._forecast = manifest, part_rows, forecast
        self._stops = {stop for _, stop in missing}
        self._part: OpenPart | None = None

    def add(self, output: RunOutput) -> Iterator[EmbeddedBatch | PartEnd]:
        """Yield the vectors of the next run, by part, and the parts that it completes."""
        begin = end = 0
        for outcome in output.outcomes:
            part = self._part = self._part or OpenPart(outcome.number)
            part.add(outcome)
            self._forecast.see(outcome.number, outcome.views)
            end += outcome.views
            if part.takes_more(self._part_rows) and part.stop not in self._stops:
                continue
            yield from _batches(part.start, output, begin, end)
            yield part.end(self._manifest)
            self._part, begin = None, end
        if self._part is not None:
            yield from _batches(self._part.start, output, begin, end)


def _batches(part: int, output: RunOutput, begin: int, end: int) -> Iterator[EmbeddedBatch]:
    """Yield squares `begin` to `end` of a run, with their vectors, if there are any."""
    if output.output is not None and begin < end:
        extra: dict[str, npt.NDArray[Any]] = {
            name: values[begin:end] for name, values in output.extra.items()
        }
        yield EmbeddedBatch(part, output.squares[begin:end], output.output[begin:end], extra)


class RunBook(Generic[Output]):
    """Keeps which runs are dealt, lost and back, and gives them out in order.

    Args:
        cutter: of new runs.
        ahead: runs that may be dealt or wait for their turn at a time, which bounds the memory.
        most_losses: how often a run may be lost with its worker.
    """

    def __init__(self, cutter: RunCutter, ahead: int, most_losses: int = 4) -> None:
        self._cutter, self._ahead, self._most_losses = cutter, ahead, most_losses
        self._due: list[Run] = []
        self._again: list[Run] = []
        self._back: dict[Run, Output] = {}
        self._losses: dict[Run, int] = {}
        self._next: Run | None = cutter.cut()

    @property
    def finished(self) -> bool:
        """Whether all runs were given out."""
        return not self._due and self._next is None

    def deal(self) -> Run | None:
        """Return the run that is to be embedded next: one that was lost, or a new one, or None for now."""
        if self._again:
            self._again.sort()
            return self._again.pop(0)
        if self._next is None or len(self._due) >= self._ahead:
            return None
        run = self._next
        self._due.append(run)
        self._next = self._cutter.cut()
        return run

    def lose(self, run: Run, *, blame: bool) -> bool:
        """Take back a run whose worker died, at work on it where `blame` is set.

        Returns:
            Whether it may be dealt again: a run that took too many workers with it may not.
        """
        self._losses[run] = self._losses.get(run, 0) + blame
        self._again.append(run)
        return self._losses[run] <= self._most_losses

    def take(self, output: Output) -> Iterator[Output]:
        """Take what came of a run; yield all runs whose turn it is."""
        self._cutter.see(output.run[1] - output.run[0], output.count)
        self._back[output.run] = output
        while self._due and self._due[0] in self._back:
            yield self._back.pop(self._due.pop(0))
