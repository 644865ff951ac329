"""Errors have one form: lower case at the start, unless it is a name, and no full stop."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "reddino"
#: Names that may begin a message.
NAMES = {
    *("AnnData", "CSV", "CUDA", "JSON", "ONNX", "OpenCV", "OpenVINO", "PostgreSQL", "PyTorch", "Python"),
    "RedDino",
}


def _text(node: ast.expr) -> str:
    """Return the text of a literal, with `{}` for what is filled in; "" of anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "{}" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


def _messages() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every literal that an error is made of."""
    for file in sorted(SOURCE.rglob("*.py")):
        place = file.relative_to(SOURCE)
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("RedDinoError", "ImageError")):
                for text in filter(None, map(_text, node.args)):
                    yield f"{place}, line {node.lineno}", text


def test_errors__begin_in_lower_case_and_end_without_a_full_stop() -> None:
    messages = list(_messages())
    wrong = [
        f"{place}: {text}"
        for place, text in messages
        if text.endswith(".") or (text[0].isupper() and text.split()[0].strip(",:;'") not in NAMES)
    ]
    assert wrong == []
    assert len(messages) > 100
