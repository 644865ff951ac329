"""No library reports from the user's machine: such reports leave traces at home, and have hung a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

USE = """
import sys
from pathlib import Path
import onnx
from onnx import TensorProto, helper
from reddino.embedding.runtimes.onnx_engine import open_session
from reddino.embedding.runtimes.openvino_engine import compile_model
tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", tensors[:1], tensors[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
model.ir_version = 8
path = Path(sys.argv[1])
onnx.save(model, path)
print(open_session(path, 1).run(None, {"x": [1.0, -1.0]}), compile_model(path, 1).outputs)
print(sys.modules["openvino_telemetry"])
"""


def test_runtimes__leave_nothing_in_the_home_folder(tmp_path: Path) -> None:
    for module in ("onnx", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    home = tmp_path / "home"
    home.mkdir()
    kept = ("PATH", "PYTHONPATH", "OMP_NUM_THREADS", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "relu.onnx")],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "None"
    assert sorted(path.name for path in home.rglob("*")) == []
