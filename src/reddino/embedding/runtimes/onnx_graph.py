"""The embedding graph as an ONNX file: uint8 squares in, vectors out, any number of them."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch

from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import writing
from reddino.networks.backbone import Backbone
from reddino.networks.folder import ModelCard
from reddino.networks.graph import EmbeddingGraph

INPUT, OUTPUT = "images", "embeddings"
OPSET = 18
#: `tracing` takes seconds, for a runtime that is about to start; `dynamo` is torch's maintained exporter and
#: takes five times as long, for files that are kept.
Exporter = Literal["tracing", "dynamo"]


def embedding_graph(backbone: Backbone, card: ModelCard, pooling: str) -> EmbeddingGraph:
    """Return the module that is exported, on the CPU."""
    backbone = backbone.eval().cpu()
    backbone.use_fused_attention(True)
    return EmbeddingGraph(backbone, card.mean, card.std, card.channel_order, pooling).eval()


class OnnxSource:
    """ONNX files of a network, one a pooling, written once for all engines that read them."""

    def __init__(self, backbone: Backbone, card: ModelCard) -> None:
        self._backbone, self._card = backbone, card
        self._folder = tempfile.TemporaryDirectory(prefix="reddino-onnx-")
        self._failed: dict[str, RedDinoError] = {}

    def file(self, pooling: str) -> Path:
        """Return the file for a pooling; it exists as long as this object.

        Raises:
            RedDinoError: the network cannot be written as ONNX.
        """
        path = Path(self._folder.name) / pooling / "model.onnx"
        if pooling in self._failed:
            raise self._failed[pooling]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            try:
                write_onnx(embedding_graph(self._backbone, self._card, pooling), self._card.image_size, path)
            except RedDinoError as error:
                self._failed[pooling] = error
                raise
        return path


def write_onnx(graph: EmbeddingGraph, size: int, path: Path, exporter: Exporter = "tracing") -> None:
    """Write a graph to `path`; the batch is dynamic, the size fixed.

    Args:
        graph: on the CPU.
        size: side of the squares in pixels.
        path: of the .onnx file; weights past 2 GB go to a file next to it.
        exporter: how torch reads the graph.

    Raises:
        RedDinoError: the network holds something that ONNX lacks, or the disk is full.
    """
    # Two images: a batch of one would be taken for a constant.
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    try:
        with _silence(), torch.no_grad(), writing(path):
            if exporter == "tracing":
                _export_by_tracing(graph, example, path)
            else:
                _export_by_dynamo(graph, example, path)
    except RedDinoError:
        raise
    except Exception as error:  # the exporters raise errors of many kinds
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise RedDinoError(f"this network cannot be written as ONNX ({reason}); use torch") from error


def _export_by_tracing(graph: EmbeddingGraph, example: torch.Tensor, path: Path) -> None:
    torch.onnx.export(
        graph,
        (example,),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
    )


def _export_by_dynamo(graph: EmbeddingGraph, example: torch.Tensor, path: Path) -> None:
    program = torch.onnx.export(
        graph,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        verbose=False,
    )
    assert program is not None
    program.save(str(path))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silence the exporters, which write about their internals on every channel."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
