"""Packages that are only needed for one runtime or file format."""

from __future__ import annotations

from importlib import util

from reddino.errors import RedDinoError

#: Extra of our package -> modules that it brings.
EXTRAS = {"openvino": ("openvino", "onnx"), "onnx": ("onnx", "onnxruntime", "onnxscript")}


def is_installed(extra: str) -> bool:
    """Whether everything that an extra brings can be imported."""
    return all(util.find_spec(module) is not None for module in EXTRAS[extra])


def require(extra: str, purpose: str) -> None:
    """Refuse with the command that installs what is missing.

    Raises:
        RedDinoError: the extra is not installed.
    """
    if not is_installed(extra):
        raise RedDinoError(
            f"{purpose} needs packages that are not installed; run: pip install 'reddino[{extra}]'"
        )
