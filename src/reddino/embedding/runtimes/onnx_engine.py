"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.runtimes.extras import require, translate_errors
from reddino.embedding.runtimes.onnx_graph import INPUT, OnnxSource


def open_session(path: Path, threads: int) -> Any:
    """Open an ONNX Runtime session on the CPU, whose threads sleep when they wait."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class OnnxEngine:
    """A network in ONNX Runtime, exported when a pooling is first used."""

    name, precision = "onnx", "fp32"

    def __init__(self, source: OnnxSource, threads: int) -> None:
        require("onnx", "the runtime onnx")
        self._source, self._threads = source, threads
        self._sessions: dict[str, Any] = {}

    def vectors(self, images: NDArray[np.uint8], pooling: str) -> NDArray[np.float32]:
        """Return vectors (n, d) of RGB squares (n, s, s, 3)."""
        with translate_errors("onnx"):
            if pooling not in self._sessions:
                self._sessions[pooling] = open_session(self._source.file(pooling), self._threads)
            found: NDArray[np.float32] = self._sessions[pooling].run(None, {INPUT: images})[0]
            return found
