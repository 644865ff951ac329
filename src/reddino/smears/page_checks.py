"""Pages of TIFF files that are not read: thumbnails, and those that may be pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reddino.foundations.counting import counted
from reddino.smears.decode import PictureHeader
from reddino.smears.findings import Finding


def pages_passed_over(headers: Mapping[str, PictureHeader]) -> Iterator[Finding]:
    """Return findings of pages that lie next to the pictures of TIFF files.

    Args:
        headers: by the path of the picture, in the order of the manifest.
    """
    several = {path: header for path, header in headers.items() if header.others}
    doubtful = [path for path, header in several.items() if header.rivals]
    if doubtful:
        yield Finding(
            "pages passed over",
            f"{counted(len(doubtful), 'TIFF file')} with pages of several sizes or kinds, of which the "
            "largest is read; if the others are pictures too, save each as a file of its own",
            len(doubtful),
            f"{doubtful[0]} ({counted(several[doubtful[0]].others, 'page')} not read)",
        )
    small = [path for path in several if path not in set(doubtful)]
    if small:
        yield Finding(
            "thumbnails passed over",
            f"{counted(len(small), 'TIFF file')} with thumbnails, labels or smaller copies next to the "
            "picture, which are not read",
            len(small),
            f"{small[0]} ({counted(several[small[0]].others, 'page')} not read)",
            harmless=True,
        )
