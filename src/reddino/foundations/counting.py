"""Counts as they are written in sentences."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """Return a count with its noun: `1 picture`, `2,000 pictures`."""
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"
