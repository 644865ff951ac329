"""Which channels of a microscope file are red, green and blue: as the file declares them, never assumed."""

from __future__ import annotations

from collections.abc import Sequence

Colour = tuple[int, int, int]
_NAMES = (("red", "r"), ("green", "g"), ("blue", "b"))
_PURE: tuple[Colour, ...] = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def find_colours(
    names: Sequence[str], colours: Sequence[Colour | None], *, fluorescence: bool
) -> tuple[int, ...] | None:
    """Return the channels that are red, green and blue, or the only one, which is grey.

    Args:
        names: of the channels.
        colours: in which the file shows them.
        fluorescence: whether the file declares that any of them is one of fluorescence.

    Returns:
        None where the file does not declare which channels are the colours of a picture in transmitted light.
    """
    if fluorescence:
        return None
    if len(names) == 1:
        return (0,)
    plain = [name.strip().lower() for name in names]
    if len(names) == 3:
        by_name = [[place for place, name in enumerate(plain) if name in wanted] for wanted in _NAMES]
        if all(len(found) == 1 for found in by_name):
            return tuple(found[0] for found in by_name)
        if sorted(map(str, colours)) == sorted(map(str, _PURE)):
            return tuple(list(colours).index(pure) for pure in _PURE)
    return None


def hex_colour(text: str) -> Colour | None:
    """Return the red, green and blue of `RRGGBB`, `#RRGGBB` or `#AARRGGBB`; None of anything else."""
    digits = text.strip().lstrip("#")[-6:]
    if len(digits) != 6:
        return None
    try:
        value = int(digits, 16)
    except ValueError:
        return None
    return value >> 16, value >> 8 & 255, value & 255
