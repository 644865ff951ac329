"""The orientation of a picture, by its EXIF data."""

from __future__ import annotations

from PIL import Image

#: The tag, of EXIF and of TIFF.
ORIENTATION = 0x0112


def exif_orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8, in a block of EXIF data; 1 where it gives none."""
    exif = Image.Exif()
    try:
        exif.load(data)
        return valid_orientation(exif.get(ORIENTATION, 1))
    except Exception:  # whatever Pillow raises of a damaged block, it gives no orientation
        return 1


def valid_orientation(value: object) -> int:
    """Return an orientation as it is, anything else as 1."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
