"""Ray for work on single pictures, such as finding their cells, whose results come in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np

from reddino.embedding.dealt_runs import RunBook, RunCutter
from reddino.embedding.picture_worker import PicturePlan, PictureResults, PictureWorker
from reddino.embedding.ray_cluster import LOCAL, cluster_shares, import_ray, ray_cluster
from reddino.embedding.ray_crew import AHEAD, Crew
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.smears.dealt_pictures import Result
from reddino.smears.manifest import Manifest

log = logging.getLogger(__name__)

#: A run holds eight times as many pictures at most.
_PICTURES = 4


class RayPictures:
    """Has work on pictures done on a Ray cluster, by cores alone.

    Args:
        address: of the cluster, as of `reddino.embedding.ray_pass.RayPass`.
        workers: their number; 0: one a group of cores.

    Raises:
        RedDinoError: the package ray is not installed, or the number is below 0.
    """

    def __init__(self, address: str = LOCAL, workers: int = 0) -> None:
        if workers < 0:
            raise RedDinoError(f"the number of Ray workers must be 0 or more, not {workers}")
        self._ray = import_ray()
        self._address, self._workers = address or LOCAL, workers

    def results(
        self, work: Callable[[int], Result], manifest: Manifest, numbers: Sequence[int]
    ) -> Generator[Result, None, None]:
        """Yield what `work` returns of some pictures of a manifest, by their numbers and in their order.

        Raises:
            RedDinoError: no cluster, pictures that a node does not see, workers that die again and again.
        """
        if not len(numbers):
            return
        plan = PicturePlan(work, manifest, tuple(numbers), Path.cwd())
        with ray_cluster(self._ray, self._address, self._workers, 2 * int(manifest.table.nbytes)):
            shares = cluster_shares(self._ray, self._workers, gpus=False)
            log.info(
                "pictures are searched by %s of %s each on Ray",
                counted(shares.workers, "worker"),
                counted(shares.cpus, "core"),
            )
            one_each = np.ones(len(numbers), np.int64)
            cutter = RunCutter(
                [(0, len(numbers))], one_each, batch_size=_PICTURES, row_bytes=1, workers=shares.workers
            )
            names = manifest.images()[0]
            book: RunBook[PictureResults] = RunBook(cutter, AHEAD * shares.workers)
            crew = Crew(
                self._ray,
                PictureWorker,
                plan,
                shares,
                book,
                name_of=lambda place: names[numbers[place]],
                what="picture",
            )
            try:
                for output in crew.outputs():
                    yield from output.results
            finally:
                crew.stop()
