"""The pixels to which boxes belong: those of the file, or those of the picture turned upright by its EXIF.

`decode_image` turns pictures upright; boxes of a program that does not are turned here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reddino.smears.choices import Drawn
from reddino.smears.decode import image_orientation, image_size

#: `stored`: the pixels as the file holds them; `upright`: as `decode_image` returns them.
#: The column that a manifest has where boxes of turned pictures are known to fit them, and its value.
DRAWN_COLUMN, UPRIGHT = "boxes_on", "upright"


@dataclass(frozen=True)
class Frame:
    """The size of a picture, upright, and how it is stored.

    Attributes:
        size: width and height in pixels, upright.
        orientation: EXIF orientation, 1 to 8; 1 = stored upright.
    """

    size: tuple[int, int]
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the pixels as the file holds them."""
        return self.size[::-1] if self.orientation >= 5 else self.size

    def drawn_on(self, listed: tuple[float, float] | None, drawn: Drawn | None = None) -> Drawn:
        """Return the pixels to which boxes belong: those of the stored or of the upright picture.

        Args:
            listed: width and height of the picture as its annotation gives them.
            drawn: the pixels that the user named.

        Raises:
            ValueError: the listed size is another picture's, or nothing decides; the reason for the user.
        """
        sizes: dict[Drawn, tuple[int, int]] = {"upright": self.size, "stored": self.stored}
        fits = [name for name, size in sizes.items() if listed in (None, size)]
        if not fits:
            raise ValueError(self._other_size(listed))
        if self.orientation == 1:
            return "upright"
        if drawn is not None and drawn in fits:
            return drawn
        if len(fits) == 1 and drawn is None:
            return fits[0]
        if drawn is not None:
            raise ValueError(
                f"its annotation lists {_by(listed)}, which is not the size of the {drawn} picture"
            )
        raise ValueError(
            f"its EXIF orientation is {self.orientation}, and nothing shows whether the boxes are those of "
            "the stored or of the upright picture; name them (boxes_on), or save the picture upright"
        )

    def _other_size(self, listed: tuple[float, float] | None) -> str:
        turned = "" if self.stored == self.size else f" (stored {_by(self.stored)})"
        return f"its annotation is for {_by(listed)} pixels, the picture has {_by(self.size)}{turned}"

    def upright(self, box: Sequence[float]) -> tuple[float, ...]:
        """Turn a box (x, y, w, h) or a point (x, y) of the stored pixels upright, as the picture."""
        x, y, *size = box
        w, h = size or (0.0, 0.0)
        if self.orientation >= 5:
            x, y, w, h = y, x, h, w
        if self.orientation in (2, 3, 6, 7):
            x = self.size[0] - x - w
        if self.orientation in (3, 4, 7, 8):
            y = self.size[1] - y - h
        return (x, y, w, h) if size else (x, y)


def read_frame(path: Path) -> Frame:
    """Read the frame of an image file from its header.

    Raises:
        ImageError: as `image_size`.
    """
    return Frame(image_size(path), image_orientation(path))


def _by(size: tuple[float, float] | None) -> str:
    return "no size" if size is None else f"{size[0]:g} x {size[1]:g}"
