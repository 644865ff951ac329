"""Packages that are only needed for one runtime or file format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from typing import Any

from reddino.foundations.errors import RedDinoError

#: Extra of our package -> modules that it brings.
EXTRAS = {"openvino": ("openvino", "onnx"), "onnx": ("onnx", "onnxruntime", "onnxscript")}


def is_installed(extra: str) -> bool:
    """Return whether everything that an extra brings can be imported."""
    return all(util.find_spec(module) is not None for module in EXTRAS[extra])


@contextmanager
def translate_errors(runtime: str) -> Iterator[None]:
    """Turn every error of an optional runtime into one `RedDinoError`.

    Raises:
        RedDinoError: in place of whatever the runtime raised.
    """
    try:
        yield
    except (RedDinoError, MemoryError):
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(
            f"the runtime {runtime} cannot compute this network here ({reason}); use --runtime torch"
        ) from error


def require(extra: str, purpose: str) -> None:
    """Refuse with the command that installs what is missing.

    Raises:
        RedDinoError: the extra is not installed.
    """
    if not is_installed(extra):
        raise RedDinoError(
            f"{purpose} needs packages that are not installed; run: pip install 'reddino[{extra}]'"
        )


def import_openvino() -> Any:
    """Import OpenVINO without the package by which it reports its use over the network.

    OpenVINO does so when it is imported, from a forked process that can hang for ever. It goes without where
    that package cannot be imported. (ONNX Runtime's variable is set in `reddino/__init__.py`.)
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
