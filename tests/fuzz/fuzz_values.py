"""Values that readers stumble over, and the payloads that leave a witness if anything executes them."""

from __future__ import annotations

import os
import pickle
from typing import Any

#: A file that appears in the working folder if an input was executed.
WITNESS = "EXECUTED"

NUMBERS: list[Any] = [
    0, 1, -1, 2, 127, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**53, 2**53 + 1, 2**63 - 1, 2**63,
    2**64, 10**30, 0.0, -0.0, 0.5, 1e-320, 1e300, 1e308, -1e300, float("inf"), float("-inf"), float("nan"),
]  # fmt: skip
TEXTS = [
    "", " ", "0", "-1", "1e400", "nan", "NaN", "inf", "NA", "null", "None", "true", "1_0", "0x10", "1,5", "٣",
    "..", "../../etc/passwd", "/etc/passwd", "a\0b", "a\nb", "a\tb", "\ufeff", "\u200b", "\xa0", "é",
    "e\u0301", "漢字", "\ud83d\ude00", "~", "*",
    "$x^2$", "=1+1", "\x1b[31m", "[red]", "<b>", "'", '"', "\\", "%s", "{}",
    "x" * 5000, "file:///etc/passwd", "http://127.0.0.1/x", "shard.tar::a.png", "path", "label", "cls_token",
    f"!!python/object/apply:os.system ['touch {WITNESS}']", "__class__", "-", "a" * 255, "CON",
]  # fmt: skip
OBJECTS: list[Any] = [None, True, False, [], {}, [None], [[]], {"": None}, {"a": {"b": []}}, [1, "a", None]]


class _Payload:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def payload_pickles() -> list[bytes]:
    """Pickles that leave the witness when they are loaded without care."""
    command = f"touch {WITNESS}"
    calls = (
        _Payload(os.system, command),
        _Payload(exec, f"open({WITNESS!r}, 'w').close()"),
        _Payload(eval, f"open({WITNESS!r}, 'w').close()"),
        _Payload(open, WITNESS, "w"),
    )
    return [pickle.dumps(content, protocol=2) for call in calls for content in (call, {"model": call})]
