"""How a class was recognised on held-out cells, in words; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reddino.foundations.counting import counted


def recognised(one: Mapping[str, Any] | None) -> str:
    """Return the recall of a class in words: 71 % of 210 (60-80), 71 % of 7 (2 groups), or none of 12."""
    if one is None or not one["cells"]:
        return "not tested"
    if not one["recall"]:
        return f"none of {one['cells']}"
    spread = one.get("recall_interval")
    known = (
        isinstance(spread, list) and len(spread) == 2 and all(isinstance(end, int | float) for end in spread)
    )
    if spread is not None and known:
        ends = f" ({100 * spread[0]:.0f}-{100 * spread[1]:.0f})"
    else:
        ends = f" ({counted(one['groups'], 'group')})" if isinstance(one.get("groups"), int) else ""
    return f"{100 * one['recall']:.0f} % of {one['cells']}{ends}"
