"""The work of one worker of a cluster: a run of images in, their vectors and what came of each image out."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from copy import copy, deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from reddino.embedding.batches import Batch, Dealer, rebatch
from reddino.embedding.kinds import KindReader
from reddino.embedding.open_part import ImageOutcome, Run
from reddino.embedding.pass_drivers import PassWork
from reddino.embedding.prefetch import prefetch
from reddino.embedding.runtimes.choice import use_runtime
from reddino.embedding.view_encoder import Images, Vectors, ViewEncoder
from reddino.embedding.worker_replies import Refusal, first_unseen, refused_node
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import choose_runtime
from reddino.foundations.version import __version__
from reddino.networks.encoder import Encoder
from reddino.rbc.picture_diameters import PictureDiameter, PictureDiameters
from reddino.smears.manifest import Manifest
from reddino.views.by_image import ViewsByImage
from reddino.views.placing import SQUARE, Squares
from reddino.views.spec import ViewSpec

#: Threads in which a worker opens images, for each of its cores, and at most.
_MOST_THREADS = 4


@dataclass(frozen=True)
class SentEncoder:
    """An encoder on its way to a worker: a network with its runtime by name, or a baseline as it is.

    Attributes:
        encoder: of a network, name, weights, card and orientations, without the engine.
        runtime, precision: of a network; "" of a baseline.
        choice: how the runtime was chosen.
    """

    encoder: Any
    runtime: str = ""
    precision: str = ""
    choice: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, encoder: ViewEncoder) -> SentEncoder:
        """Take an encoder to be sent; it stays as it is."""
        if not isinstance(encoder, Encoder):
            return cls(encoder)
        backbone = encoder.backbone
        if encoder.runtime.device.type != "cpu":
            backbone = deepcopy(backbone).to("cpu")
        parts = (encoder.name, backbone, encoder.card, encoder.orientations)
        return cls(parts, encoder.runtime_name, encoder.precision, dict(encoder.choice or {}))

    def open(self, device: str, threads: int, pooling: str) -> ViewEncoder:
        """Return the encoder, ready to embed on a device with so many threads.

        Raises:
            RedDinoError: the runtime is not to be had here.
        """
        if not self.runtime:
            baseline: ViewEncoder = self.encoder
            return baseline
        name, backbone, card, orientations = self.encoder
        device = device if self.runtime == "torch" else "cpu"
        runtime = choose_runtime(device, "fp32", threads)
        encoder = Encoder(name, backbone, card, runtime, orientations=orientations)
        chosen = str(self.choice.get("chosen", ""))
        use_runtime(
            encoder,
            self.runtime,
            self.precision,
            compiled=chosen.endswith("compiled"),
            sample=np.zeros((2, encoder.input_size, encoder.input_size, 3), np.uint8),
            pooling=pooling,
            views=0,
            begun=self.choice,
        )
        return encoder


@dataclass(frozen=True)
class WorkPlan:
    """All that a worker needs of a pass, for any of its images; it can be pickled.

    Attributes:
        manifest: its folder is an absolute path.
        spec: the views.
        diameters: by source; None where there are none, or `by_picture`.
        by_picture: whether each picture has a diameter of its own.
        find_cells: cut the cells that are found.
        batch_size: views that the encoder embeds at once.
        encoder: to be opened.
        pooling: which output is the embedding.
        kinds: the device on which kinds of cells are read; None where they are not.
        device: of the encoder.
        version: of RedDino.
    """

    manifest: Manifest
    spec: ViewSpec
    diameters: Mapping[str, float] | None
    by_picture: bool
    find_cells: bool
    batch_size: int
    encoder: SentEncoder
    pooling: str
    kinds: str | None
    device: str = "auto"
    version: str = __version__


def plan_work(work: PassWork, device: str) -> WorkPlan:
    """Return what workers need of a pass, to do its work on a device."""
    views, diameters, kinds = work.dealer.views, work.diameters, work.kinds
    manifest = copy(views.manifest)
    object.__setattr__(manifest, "root", Path.cwd() / views.manifest.root)
    return WorkPlan(
        manifest,
        views.spec,
        None if isinstance(diameters, PictureDiameters) else diameters,
        views.by_picture is not None,
        views.find_cells,
        work.dealer.batch_size,
        SentEncoder.of(work.encoder),
        work.pooling,
        None if kinds is None else kinds.device,
        device,
    )


def network_bytes(plan: WorkPlan) -> int:
    """Return the bytes of a plan's manifest and weights, about, for the store that they are sent through."""
    weights = 0
    if plan.encoder.runtime:
        backbone = plan.encoder.encoder[1]
        weights = sum(tensor.nbytes for tensor in backbone.state_dict().values())
    return weights + int(plan.manifest.table.nbytes)


@dataclass(frozen=True)
class RunOutput:
    """What came of a run of images.

    Attributes:
        run: the images.
        outcomes: of each of them, in order.
        squares: (n,) of all of them, in order.
        output: (n, ...) of the encoder; None without squares.
        extra: further columns (n,) of the squares.
        diameters: that were measured in the images, by number.
        unseen: file of an image that does not exist for this worker.
        node: name of the worker's machine.
    """

    run: Run
    outcomes: tuple[ImageOutcome, ...]
    squares: Squares
    output: Vectors | None
    extra: Mapping[str, npt.NDArray[Any]]
    diameters: Mapping[int, PictureDiameter]
    unseen: str | None
    node: str

    @property
    def count(self) -> int:
        """Number of views."""
        return len(self.squares)


class RunWorker:
    """Embeds runs of images by the plan of a pass; made where it works, once.

    Args:
        plan: of the pass.
        threads: of the encoder, and for opening images.
    """

    def __init__(self, plan: WorkPlan, threads: int) -> None:
        self._plan, self._threads = plan, max(1, threads)
        self._dealer: Dealer | None = None
        self._encoder: ViewEncoder | None = None
        self._kinds: KindReader | None = None

    def ready(self) -> str | Refusal:
        """Open encoder and views; return the name of this machine, or why it cannot work."""
        plan, node = self._plan, socket.gethostname()
        if (refused := refused_node(node, plan.version, plan.manifest.root)) is not None:
            return refused
        cv2.setNumThreads(self._threads)
        try:
            self._encoder = plan.encoder.open(plan.device, self._threads, plan.pooling)
            self._kinds = None if plan.kinds is None else KindReader(plan.kinds, self._threads)
            diameters = PictureDiameters(plan.manifest) if plan.by_picture else plan.diameters
            views = ViewsByImage(plan.manifest, plan.spec, diameters=diameters, find_cells=plan.find_cells)
        except RedDinoError as error:
            return Refusal(f"the node {node} cannot embed: {error}")
        self._dealer = Dealer(views, 0, plan.batch_size, min(_MOST_THREADS, self._threads))
        return node

    def work(self, run: Run) -> RunOutput | Refusal:
        """Embed the images of a run, or return why the pass cannot continue."""
        if self._dealer is None or self._encoder is None:
            raise ValueError("a worker embeds after it is ready")
        try:
            return self._embedded(self._dealer, self._encoder, run)
        except RedDinoError as error:
            return Refusal(str(error))

    def _embedded(self, dealer: Dealer, encoder: ViewEncoder, run: Run) -> RunOutput:
        outcomes: list[ImageOutcome] = []
        squares: list[Squares] = []
        outputs: list[Vectors] = []
        columns: dict[str, list[npt.NDArray[Any]]] = {}
        with closing(prefetch(rebatch(_stacks(dealer, run, outcomes), dealer.batch_size))) as batches:
            for mine, images in batches:
                output = encoder.embed(images, self._plan.pooling)
                squares.append(mine)
                outputs.append(output)
                for name, values in self._extra(encoder, mine, images, output).items():
                    columns.setdefault(name, []).append(values)
        by_picture = dealer.views.by_picture
        return RunOutput(
            run,
            tuple(outcomes),
            np.concatenate([*squares, np.empty(0, SQUARE)]),
            np.concatenate(outputs) if outputs else None,
            {name: np.concatenate(values) for name, values in columns.items()},
            {} if by_picture is None else by_picture.known(range(*run)),
            self._unseen(outcomes),
            socket.gethostname(),
        )

    def _extra(
        self, encoder: ViewEncoder, squares: Squares, images: Images, output: Vectors
    ) -> Mapping[str, npt.NDArray[Any]]:
        """Return further columns of a batch."""
        if self._kinds is None:
            return {}
        batch = Batch(0, squares, images, 0)
        return self._kinds.of_batch(encoder, self._plan.pooling, batch, output).columns()

    def _unseen(self, outcomes: list[ImageOutcome]) -> str | None:
        """Return the first file of a failed image that does not exist here."""
        failed = (one.failure[0] for one in outcomes if one.failure is not None)
        return first_unseen(self._plan.manifest.root, failed)


def _stacks(dealer: Dealer, run: Run, outcomes: list[ImageOutcome]) -> Iterator[tuple[Squares, Images]]:
    """Yield the squares of a run and their pixels, and note what came of each image."""
    with closing(dealer.opened(range(*run))) as opened:
        for read in opened:
            outcomes.append(read.outcome)
            yield from dealer.stacks(read)
