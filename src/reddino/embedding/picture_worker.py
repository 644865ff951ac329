"""A worker of a cluster that does one thing with each picture of a manifest."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from reddino.embedding.open_part import Run
from reddino.embedding.worker_replies import Refusal, first_unseen, refused_node
from reddino.foundations.errors import RedDinoError
from reddino.foundations.version import __version__
from reddino.smears.manifest import Manifest


@dataclass(frozen=True)
class PicturePlan:
    """What is done, and of which pictures; it can be pickled.

    Attributes:
        work: returns what came of a picture, by its number in the manifest.
        manifest: of the pictures.
        numbers: (n,) of the pictures; runs are of places in it.
        folder: of the command, which relative paths start from.
        version: of RedDino.
    """

    work: Callable[[int], Any]
    manifest: Manifest
    numbers: tuple[int, ...]
    folder: Path
    version: str = __version__


@dataclass(frozen=True)
class PictureResults:
    """What came of a run of pictures.

    Attributes:
        run: places of their numbers in the plan.
        results: of each, in order.
        unseen: file of a picture that does not exist for this worker.
        node: name of the worker's machine.
    """

    run: Run
    results: tuple[Any, ...]
    unseen: str | None
    node: str

    @property
    def count(self) -> int:
        """Number of pictures."""
        return len(self.results)


class PictureWorker:
    """Works on runs of pictures by a plan; made where it works, once.

    Args:
        plan: of the work.
        threads: pictures in work at once.
    """

    def __init__(self, plan: PicturePlan, threads: int) -> None:
        self._plan, self._threads = plan, max(1, threads)
        self._names = plan.manifest.images()[0]

    def ready(self) -> str | Refusal:
        """Go to the command's folder; return the name of this machine, or why it cannot work."""
        node, folder = socket.gethostname(), self._plan.folder
        if folder.is_dir():
            os.chdir(folder)
        root = folder / self._plan.manifest.root
        cv2.setNumThreads(1)
        return refused_node(node, self._plan.version, root) or node

    def work(self, run: Run) -> PictureResults | Refusal:
        """Return what came of a run of pictures, or why the work cannot continue."""
        numbers = self._plan.numbers[slice(*run)]
        try:
            with ThreadPoolExecutor(self._threads) as pool:
                results = tuple(pool.map(self._plan.work, numbers))
        except RedDinoError as error:
            return Refusal(str(error))
        names = (self._names[number] for number in numbers)
        root = self._plan.folder / self._plan.manifest.root
        return PictureResults(run, results, first_unseen(root, names), socket.gethostname())
