"""Parts of microscope files as pictures: what `reddino.smears.decode` returns for their paths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reddino.smears.failures import ImageError
from reddino.smears.formats.limits import require_memory
from reddino.smears.formats.samples import Levels, Samples
from reddino.smears.slides.interface import Rectangle, SlideReader
from reddino.smears.slides.names import SEPARATOR, SLIDE_SUFFIXES, TIFF, SlidePart
from reddino.smears.slides.opening import opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def part_pixels(
    part: SlidePart,
    max_pixels: int,
    *,
    bit_depth: int | None,
    plane: int | None,
    channel: int | None,
    levels: Levels | None,
) -> NDArray[np.uint8]:
    """Read a part as (H, W, 3) uint8 RGB; arguments and errors as of `decode_image`."""
    with _opened(part) as (reader, (x, y, w, h)):
        require_memory(Path(str(part)), w, h, 4, max_pixels)
        return reader.read(x, y, w, h, plane=plane, bit_depth=bit_depth, channel=channel, levels=levels)


def part_samples(part: SlidePart, plane: int | None, channel: int | None) -> Samples:
    """Read a part as it is stored."""
    with _opened(part) as (reader, (x, y, w, h)):
        return reader.read_samples(x, y, w, h, plane=plane, channel=channel)


def part_size(part: SlidePart, max_pixels: int) -> tuple[int, int]:
    """Return the width and height of a part."""
    with _opened(part) as (reader, (x, y, w, h)):
        if x + w > reader.size[0] or y + h > reader.size[1]:
            raise ImageError(reader.path, f"is only {reader.size[0]} x {reader.size[1]} pixels large")
        require_memory(Path(str(part)), w, h, 4, max_pixels)
        return w, h


def part_depth(part: SlidePart) -> tuple[int, int | None, int]:
    """Return the bits of a sample, how many of them count where the file states it, and the focus planes."""
    with _opened(part) as (reader, _):
        return reader.bits, reader.stated, reader.planes


def part_sharpest(part: SlidePart, channel: int | None) -> int:
    """Return the number, from 1, of the sharpest focus plane of a part."""
    with _opened(part) as (reader, rectangle):
        return reader.sharpest(*rectangle, channel=channel)


def require_no_channel(path: Path, grey_channel: int | None) -> None:
    """Refuse a channel of a plain picture.

    Raises:
        ImageError: one was named.
    """
    if grey_channel is not None:
        raise ImageError(path, "is no microscope file, of which a grey_channel can be taken")


def require_spelling(path: Path) -> None:
    """Refuse a path that would name a part of a microscope file, were it spelled right.

    Raises:
        ImageError: states how parts are spelled.
    """
    file, separator, _ = str(path).rpartition(SEPARATOR)
    if separator and file.lower().endswith((*SLIDE_SUFFIXES, *TIFF)) and not path.exists():
        raise ImageError(
            path, "names no part of its file; write ::x0-y0-w512-h512, ::s0, or ::s0-x0-y0-w9-h9"
        )


@contextmanager
def _opened(part: SlidePart) -> Iterator[tuple[SlideReader, Rectangle]]:
    """Open the file of a part; errors name the part as its manifest does."""
    try:
        with opened(part.file, part.scene or 0) as reader:
            if part.scene is None and reader.scenes > 1:
                raise ImageError(
                    part.file, f"holds {reader.scenes} scenes; name one, from {part.file.name}::s0 on"
                )
            if part.rectangle is None and not part.file.name.lower().endswith(SLIDE_SUFFIXES):
                raise ImageError(part.file, "is no microscope file of several scenes")
            yield reader, part.rectangle or (0, 0, *reader.size)
    except ImageError as error:
        raise ImageError(str(part), error.reason) from error
