"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.runtimes.extras import import_openvino, require, translate_errors
from reddino.embedding.runtimes.onnx_graph import OnnxSource
from reddino.embedding.runtimes.signal_stack import same_signal_stack
from reddino.foundations.errors import RedDinoError

Hint = Literal["LATENCY", "THROUGHPUT"]
#: Images that one stream computes at once, where several split a batch.
_SLICE = 4


def computes_bf16() -> bool:
    """Return whether OpenVINO multiplies bfloat16 on this processor; elsewhere it would use float32 silently.

    Raises:
        RedDinoError: OpenVINO does not start.
    """
    with translate_errors("openvino"):
        return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_model(path: Path, threads: int, precision: str = "fp32", hint: Hint = "LATENCY") -> Any:
    """Compile an ONNX file or OpenVINO IR to run on the CPU."""
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "PERFORMANCE_HINT": hint,
    }
    core = import_openvino().Core()
    return core.compile_model(core.read_model(str(path)), "CPU", settings)


class OpenVinoEngine:
    """A backbone in OpenVINO, converted when a pooling is first used."""

    name = "openvino"

    def __init__(
        self,
        source: OnnxSource,
        threads: int,
        precision: Literal["fp32", "bf16"] = "fp32",
        hint: Hint = "LATENCY",
    ) -> None:
        """Take a network into use.

        Args:
            source: the network with its preprocessing.
            threads: of the processor.
            precision: `bf16` only where the processor computes it.
            hint: `LATENCY`, all threads on one batch, or `THROUGHPUT`, several streams that split it.

        Raises:
            RedDinoError: OpenVINO is not installed, or the processor has no bf16.
        """
        require("openvino", "the runtime openvino")
        if precision == "bf16" and not computes_bf16():
            raise RedDinoError("OpenVINO computes no bf16 on this processor; give the precision fp32 or auto")
        self.precision, self.hint = precision, hint
        self._source, self._threads = source, threads
        self._compiled: dict[str, Any] = {}

    def vectors(self, images: NDArray[np.uint8], pooling: str) -> NDArray[np.float32]:
        """Return vectors (n, d) of RGB squares (n, s, s, 3)."""
        with translate_errors("openvino"), same_signal_stack():
            if pooling not in self._compiled:
                self._compiled[pooling] = compile_model(
                    self._source.file(pooling), self._threads, self.precision, self.hint
                )
            compiled = self._compiled[pooling]
            images = np.ascontiguousarray(images)
            if self.hint == "LATENCY":
                found: NDArray[np.float32] = compiled([images])[0]
                return found
            return _in_streams(compiled, images)


def _in_streams(compiled: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute slices of a batch, each in a stream of its own.

    Without callbacks: at its end a stream would still need Python's lock, and whoever drops the model
    holds that lock while it waits for the stream.
    """
    slices = [images[start : start + _SLICE] for start in range(0, len(images), _SLICE)]
    streams = min(len(slices), compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    requests = [compiled.create_infer_request() for _ in range(streams)]
    parts: list[NDArray[np.float32]] = []

    def take_next() -> None:
        request = requests[len(parts) % streams]
        request.wait()
        parts.append(np.array(request.get_output_tensor(0).data))

    for number, part in enumerate(slices):
        if number >= streams:
            take_next()
        requests[number % streams].start_async([part])
    while len(parts) < len(slices):
        take_next()
    return np.concatenate(parts)
