"""What computes an encoder's vectors: torch here; other runtimes stand in `reddino.embedding.runtimes`."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.backbone import Backbone
from reddino.networks.folder import ModelCard
from reddino.networks.graph import EmbeddingGraph


class Engine(Protocol):
    """A network in some runtime."""

    @property
    def name(self) -> str:
        """Return `torch`, `openvino` or `onnx`, as tables record it."""
        ...

    @property
    def precision(self) -> str:
        """Return `fp32` or `bf16`."""
        ...

    def vectors(self, images: NDArray[np.uint8], pooling: str) -> NDArray[np.float32]:
        """Return vectors (n, d) of checked RGB squares (n, s, s, 3)."""
        ...


class TorchEngine:
    """torch on the CPU or a GPU, with autocast where the runtime computes bf16."""

    name = "torch"

    def __init__(
        self,
        backbone: Backbone,
        card: ModelCard,
        runtime: Runtime,
        *,
        fused_attention: bool = True,
        compiled: bool = False,
    ) -> None:
        """Take a network into use.

        Args:
            backbone: switched to evaluation and moved to the runtime's device.
            card: its preprocessing.
            runtime: where and how it computes.
            fused_attention: one kernel (measured faster at batches of 4 and more) or explicit products.
            compiled: let torch.compile translate it, which takes a minute and needs a C++ compiler.
        """
        self.runtime = runtime
        self.precision = runtime.precision
        self._backbone = backbone.eval().to(runtime.device)
        self._card = card
        self._fused = fused_attention
        self._compiled = compiled
        self._graphs: dict[str, torch.nn.Module] = {}

    def vectors(self, images: NDArray[np.uint8], pooling: str) -> NDArray[np.float32]:
        """Return vectors (n, d) of RGB squares (n, s, s, 3)."""
        self._backbone.use_fused_attention(self._fused)
        batch = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self.runtime.device)
        with torch.inference_mode(), self.runtime.autocast():
            found = self._graph(pooling)(batch)
        vectors: NDArray[np.float32] = found.cpu().numpy()
        return vectors

    def _graph(self, pooling: str) -> torch.nn.Module:
        if pooling not in self._graphs:
            card = self._card
            graph = EmbeddingGraph(self._backbone, card.mean, card.std, card.channel_order, pooling).eval()
            self._graphs[pooling] = _translated(graph) if self._compiled else graph
        return self._graphs[pooling]


def _translated(graph: torch.nn.Module) -> torch.nn.Module:
    """Compile a graph with torch.compile, whose errors of many kinds become one."""
    compiled = torch.compile(graph)

    class Compiled(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            try:
                found: torch.Tensor = compiled(images)
            except Exception as error:
                raise RedDinoError(
                    f"torch.compile cannot translate this network here ({type(error).__name__}: "
                    f"{str(error).splitlines()[0][:160]}); embed without --compile"
                ) from error
            return found

    return Compiled()
