"""The ways to compute vectors that can be had here: runtimes, precisions and their variants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from reddino.embedding.runtimes.extras import is_installed
from reddino.embedding.runtimes.onnx_engine import OnnxEngine
from reddino.embedding.runtimes.onnx_graph import OnnxSource
from reddino.embedding.runtimes.openvino_engine import Hint, OpenVinoEngine, computes_bf16
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import bf16_is_fast
from reddino.networks.backbone import ViTBackbone
from reddino.networks.encoder import Encoder
from reddino.networks.engine import Engine, TorchEngine


@dataclass(frozen=True)
class Candidate:
    """One way to compute the vectors."""

    runtime: str
    precision: Literal["fp32", "bf16"]
    detail: str
    make: Callable[[], Engine]

    def __str__(self) -> str:
        return " ".join(part for part in (self.runtime, self.precision, self.detail) if part)


def every_candidate(encoder: Encoder, runtime: str, precision: str, compiled: bool) -> Iterator[Candidate]:
    """Yield what may compete, float32 torch first.

    Args:
        encoder: the network.
        runtime: by name, or `auto` for all that are installed.
        precision: `fp32`, `bf16`, or `auto` for all that the hardware computes.
        compiled: torch.compile, for torch.
    """
    on_cpu = encoder.runtime.device.type == "cpu"
    if runtime in ("auto", "torch"):
        yield from _torch_candidates(encoder, precision, compiled)
    source = OnnxSource(encoder.backbone, encoder.card)
    threads = encoder.runtime.threads
    if runtime == "openvino" or (runtime == "auto" and on_cpu and is_installed("openvino")):
        yield from _openvino_candidates(source, threads, precision, forced=runtime == "openvino")
    wanted = runtime == "onnx" or (runtime == "auto" and on_cpu and is_installed("onnx"))
    if wanted and precision != "bf16":
        yield Candidate("onnx", "fp32", "", partial(OnnxEngine, source, threads))


def _torch_candidates(encoder: Encoder, precision: str, compiled: bool) -> Iterator[Candidate]:
    """Yield torch's candidates; explicit products can beat the fused kernel, by the CPU and the batch."""
    own = encoder.runtime
    several = own.device.type == "cpu" and isinstance(encoder.backbone, ViTBackbone) and not compiled
    for level in _precisions(precision, bf16_is_fast(own.device)):
        for fused in (True, False) if several else (True,):
            make = partial(
                TorchEngine,
                encoder.backbone,
                encoder.card,
                replace(own, precision=level),
                fused_attention=fused,
                compiled=compiled,
            )
            yield Candidate("torch", level, _torch_detail(fused, compiled), make)


def _torch_detail(fused: bool, compiled: bool) -> str:
    return "compiled" if compiled else ("" if fused else "explicit attention")


def _openvino_candidates(
    source: OnnxSource, threads: int, precision: str, forced: bool
) -> Iterator[Candidate]:
    try:
        fast = is_installed("openvino") and computes_bf16()
    except RedDinoError:
        if forced:
            raise
        return  # an installation that does not start counts as missing
    hints: tuple[Hint, ...] = ("LATENCY", "THROUGHPUT") if threads > 1 else ("LATENCY",)
    for level in _precisions(precision, fast):
        if level == "bf16" and not (fast or forced):
            continue
        for hint in hints:
            yield Candidate(
                "openvino", level, hint.lower(), partial(OpenVinoEngine, source, threads, level, hint)
            )


def _precisions(precision: str, hardware: bool) -> tuple[Literal["fp32", "bf16"], ...]:
    if precision == "bf16":
        return ("bf16",)
    return ("fp32", "bf16") if precision == "auto" and hardware else ("fp32",)
