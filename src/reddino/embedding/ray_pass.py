"""Ray as a driver of the embedding pass: workers embed runs of images, this process writes the parts."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from reddino.embedding.batches import Forecast
from reddino.embedding.dealt_runs import PartsOfRuns, RunBook, RunCutter
from reddino.embedding.open_part import Run
from reddino.embedding.pass_drivers import Embedded, PassWork
from reddino.embedding.ray_cluster import LOCAL, Shares, cluster_shares, import_ray, ray_cluster
from reddino.embedding.ray_crew import AHEAD, Crew
from reddino.embedding.run_worker import RunOutput, RunWorker, network_bytes, plan_work
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError

log = logging.getLogger(__name__)


class RayPass:
    """Embeds on a Ray cluster, and gives the vectors in the order of the images.

    Args:
        address: of the cluster: `auto`, `host:port` or `ray://host:port`; `local` starts one on this machine.
        workers: their number; 0: one a GPU, or one a group of cores.
        device: of the encoder on the workers.

    Raises:
        RedDinoError: the package ray is not installed, or the number is below 0.
    """

    def __init__(self, address: str = LOCAL, workers: int = 0, device: str = "auto") -> None:
        if workers < 0:
            raise RedDinoError(f"the number of Ray workers must be 0 or more, not {workers}")
        self._ray = import_ray()
        self._address, self._workers, self._device = address or LOCAL, workers, device

    def embedded(
        self, work: PassWork, missing: Sequence[Run], forecast: Forecast
    ) -> Generator[tuple[Embedded, int], None, None]:
        """Yield batches and ends of the parts that are missing, with the views expected of the whole pass.

        Raises:
            RedDinoError: no cluster, pictures that a node does not see, workers that die again and again.
        """
        if not missing:
            return
        plan = plan_work(work, self._device)
        sent = network_bytes(plan)
        with self._connected(sent) as shares:
            cutter = RunCutter(
                missing,
                work.dealer.views.expected(),
                batch_size=work.dealer.batch_size,
                row_bytes=work.row_bytes,
                workers=shares.workers,
            )
            parts = PartsOfRuns(work.dealer.views.manifest, missing, work.dealer.part_rows, forecast)
            book: RunBook[RunOutput] = RunBook(cutter, AHEAD * shares.workers)
            crew = Crew(self._ray, RunWorker, plan, shares, book, name_of=work.dealer.views.names.__getitem__)
            by_picture = work.dealer.views.by_picture
            try:
                for output in crew.outputs():
                    if by_picture is not None:
                        by_picture.learn(output.diameters)
                    for item in parts.add(output):
                        yield item, forecast.total()
            finally:
                crew.stop()

    @contextmanager
    def _connected(self, sent_bytes: int) -> Iterator[Shares]:
        with ray_cluster(self._ray, self._address, self._workers, sent_bytes):
            shares = cluster_shares(self._ray, self._workers, gpus=self._device != "cpu")
            what = f"{counted(shares.cpus, 'core')}" + (" and a GPU" if shares.gpus else "")
            log.info("embedding by %s of %s each on Ray", counted(shares.workers, "worker"), what)
            yield shares
