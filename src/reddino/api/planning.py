"""Plans of embedding passes: hours, memory and storage, from a short pass over some of the images."""

from __future__ import annotations

import logging
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reddino.api.embedding import embed
from reddino.embedding.embedding_plan import EmbeddingPlan
from reddino.embedding.part_files import finished_parts, read_meta
from reddino.embedding.runtimes.pass_runtime import WholePass
from reddino.foundations.cores import usable_cores
from reddino.foundations.counting import counted
from reddino.foundations.errors import NothingFoundError, RedDinoError
from reddino.foundations.stages import stage
from reddino.smears.choices import Subfolders
from reddino.smears.failures import ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.opening import Data, open_data
from reddino.smears.shards import file_size
from reddino.views.by_image import ViewsByImage
from reddino.views.scales import view_diameters
from reddino.views.spec import ViewSpec

log = logging.getLogger(__name__)

#: Images of the short pass, which shows what starting takes; 1 where an image takes long.
_FEW = 4
#: Further passes, whose differences give the spread, with Student's t of 95 % for so many.
_PASSES, _STUDENT = 3, 4.303
#: Images that are opened alone.
_OPENED = 12


def plan_embed(
    data: Data | Sequence[Data],
    model: str,
    *,
    nodes: int | Sequence[int] = 1,
    images: int | None = None,
    seconds: float = 60.0,
    find_cells: bool = False,
    subfolders: Subfolders = "auto",
    seed: int = 0,
    **options: Any,
) -> EmbeddingPlan:
    """Measure what an embedding pass takes on some of its images, and add up what all of them would.

    Args:
        data: as for `embed`.
        model: as for `embed`.
        nodes: machines like this one that share the images; several numbers of them are compared.
        images: of the whole pass, where `data` is only a sample of them; None: those of `data`.
        seconds: that the probe takes, about.
        find_cells: as for `embed`.
        subfolders: as for `embed`.
        seed: of the choice of images.
        options: further arguments of `embed`.

    Raises:
        RedDinoError: nothing to embed, or a number out of range.
    """
    several = [nodes] if isinstance(nodes, int) else list(nodes)
    if not several or min(several) < 1 or (images is not None and images < 1) or not seconds > 0:
        raise RedDinoError("a plan needs one node, one image and some seconds, or more of each")
    manifest = open_data(data, subfolders=subfolders)
    probe = _Probe(manifest, model, seed, {"find_cells": find_cells, **options})
    if max(several) > (images or probe.images):
        raise RedDinoError(
            f"{max(several)} nodes cannot share {counted(images or probe.images, 'image')}: plan no more "
            "nodes than there are images"
        )
    first = probe.run(1)  # loads libraries, and reads files for the first time
    before = probe.choose_runtime(first.views * (images or probe.images) / min(several))
    few = min(_FEW if first.seconds < seconds / _FEW else 1, probe.images)
    short = probe.run(few)
    each = int(min(probe.images, seconds / _PASSES / short.seconds * few))
    passes = [probe.run(each) for _ in range(_PASSES)] if each > few else [short]
    slopes = [(one.seconds - short.seconds) / (each - few) for one in passes] if each > few else []
    if not slopes or min(slopes) <= 0:
        slopes = [one.seconds / one.images for one in passes]
    mean = float(np.mean(slopes))
    views = sum(one.views for one in passes)
    return EmbeddingPlan(
        images=images or probe.images,
        sampled=len(probe.seen),
        nodes=several[0],
        more_nodes=tuple(several[1:]),
        views_per_image=views / sum(one.images + one.passed_over for one in passes),
        seconds_per_image=mean,
        spread=_STUDENT * float(np.std(slopes, ddof=1)) / mean / _PASSES**0.5 if len(slopes) > 1 else 0.0,
        start_seconds=max(0.0, short.seconds - few * mean, before.seconds - mean),
        open_seconds=probe.opening(find_cells=find_cells),
        cores=usable_cores(),
        bytes_read=probe.bytes_read(),
        bytes_written=sum(one.size for one in passes) / max(1, views),
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        failed=max(len(probe.left_out), *(one.failed for one in passes)),
        runtime=passes[0].runtime,
    )


@dataclass(frozen=True)
class _Pass:
    """One pass of the probe: what it embedded, in how many seconds, the bytes of its table, its runtime."""

    images: int
    views: int
    failed: int
    seconds: float
    size: int
    runtime: str
    choice: Mapping[str, Any] | None
    #: Images before these, of which none could be embedded.
    passed_over: int = 0


class _Probe:
    """Short passes over images of a manifest, in an order that is drawn once."""

    def __init__(self, manifest: Manifest, model: str, seed: int, options: dict[str, Any]) -> None:
        self._manifest, self._model = manifest, model
        self._options = {"notice": self._mention, **options}
        self._names, self._codes = manifest.images()
        self._order = np.random.default_rng(seed).permutation(len(self._names))
        self._next = 0
        self._view: ViewSpec | None = None
        self._whole: WholePass | None = None
        self.seen: set[int] = set()
        self.left_out: set[int] = set()
        self._mentioned: set[str] = set()

    @property
    def images(self) -> int:
        """Images of the manifest."""
        return len(self._names)

    def _mention(self, sentence: str) -> None:
        """Log what is odd about the images once, not once a pass."""
        if sentence not in self._mentioned:
            self._mentioned.add(sentence)
            log.warning(sentence)

    def choose_runtime(self, views: float) -> _Pass:
        """Embed an image in the runtime that a pass over so many views chooses, and keep it from then on."""
        self._whole = WholePass(max(1, round(views)))
        found = self.run(1)
        self._whole = WholePass(self._whole.views, found.choice)
        return found

    def run(self, count: int) -> _Pass:
        """Embed the next `count` images; where all of them are left out, those after them.

        Raises:
            RedDinoError: all images of the manifest are left out.
        """
        passed_over = 0
        while True:
            try:
                return replace(self._run(count), passed_over=passed_over)
            except NothingFoundError:  # one picture that is empty or broken is no reason to plan nothing
                passed_over += count
                if passed_over >= self.images:
                    raise
                self.left_out.update(self._chosen(self._next - count, count))

    def _run(self, count: int) -> _Pass:
        """Embed the next `count` images into a folder that is deleted again."""
        chosen = self._chosen(self._next, count)
        self._next += count
        self.seen.update(chosen)
        part = self._manifest.select(np.isin(self._codes, chosen))
        with tempfile.TemporaryDirectory(prefix="reddino-plan-") as name:
            began = time.perf_counter()
            report = embed(part, self._model, Path(name) / "table", whole_pass=self._whole, **self._options)
            seconds = time.perf_counter() - began
            meta = read_meta(Path(name) / "table")
            self._view = ViewSpec(**meta["view"])
            size = sum(path.stat().st_size for path in finished_parts(Path(name) / "table").values())
        runtime = f"{report.runtime} {report.precision}"
        choice = meta.get("runtime_check")
        return _Pass(count, report.rows, report.failed, seconds, size, runtime, choice)

    def _chosen(self, begin: int, count: int) -> list[int]:
        """Return `count` images of the order from `begin` on, which starts again at its end."""
        return [int(one) for one in np.take(self._order, np.arange(begin, begin + count), mode="wrap")]

    def opening(self, *, find_cells: bool) -> float:
        """Return the seconds that one thread takes to open an image and cut its views, median."""
        if self._view is None:
            raise ValueError("a pass goes before")
        part = self._manifest.select(np.isin(self._codes, sorted(self.seen)[:_OPENED]))
        diameters = None if find_cells else view_diameters(part, self._view)
        views = ViewsByImage(part, self._view, diameters=diameters, find_cells=find_cells)
        taken = []
        with stage("opening images alone") as advance:
            for number in range(len(views)):
                began = time.perf_counter()
                try:
                    opened = views.open(number)
                    opened.cut(0, len(opened.squares), self._view.output)
                except ImageError:
                    continue
                taken.append(time.perf_counter() - began)
                advance(number + 1, len(views))
        return float(np.median(taken)) if taken else 0.0

    def bytes_read(self) -> float:
        """Return the mean size of the files that were read; of members of shards, their own."""
        sizes = [file_size(self._manifest.root / self._names[number]) for number in sorted(self.seen)]
        known = [size for size in sizes if size >= 0]
        return float(np.mean(known)) if known else 0.0
