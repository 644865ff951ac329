"""What a source's pictures must have in common to be read by one window of sample values."""

from __future__ import annotations

from collections.abc import Mapping

from reddino.foundations.errors import RedDinoError


def require_one_depth(source: str, first: Mapping[int, str]) -> None:
    """Refuse pictures of several depths in a source that is read by a window.

    Args:
        source: in the error.
        first: the first picture of each number of bits a sample.

    Raises:
        RedDinoError: there are several.
    """
    if len(first) > 1:
        each = ", ".join(f"{bits} bits ({first[bits]})" for bits in sorted(first))
        raise RedDinoError(
            f"source '{source}' has pictures of {each}, for which no one window is right: give those of each "
            "depth a source of their own"
        )
