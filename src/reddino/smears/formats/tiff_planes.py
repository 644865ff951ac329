"""The pages of a TIFF that hold the picture: not its thumbnail or label, but all of its focus planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reddino.smears.failures import ImageError
from reddino.smears.formats.tiff_metadata import Stack, stated_stack
from reddino.smears.formats.tiff_structure import Page, TiffReader

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2  # value of SubfileType
#: Smaller copies have at most half the width and height.
_COPY = 0.26
#: First words of the descriptions that slide scanners give what is not the specimen.
_ASIDE = ("label", "macro", "thumbnail", "overview", "slide label", "map")


@dataclass(frozen=True)
class Planes:
    """The pages that hold the picture.

    Attributes:
        pages: a page a plane; three where each plane's red, green and blue have a page of their own.
        colours: pages of a plane: 1, or 3.
        others: pages that are something else: thumbnails, labels, smaller copies.
        rivals: how many of them could be pictures of their own.
        stated: bits that count in a sample, where the file's description states them.
    """

    pages: tuple[Page, ...]
    colours: int = 1
    others: int = 0
    rivals: int = 0
    stated: int | None = None

    def __len__(self) -> int:
        """Return the planes of the picture."""
        return len(self.pages) // self.colours

    def plane(self, number: int) -> tuple[Page, ...]:
        """Return the page of plane `number` (from 0), or its three pages of red, green and blue."""
        return self.pages[number * self.colours : (number + 1) * self.colours]


def find_planes(path: Path, reader: TiffReader) -> Planes:
    """Find the pages that hold the picture.

    OME and ImageJ state what their pages are. Elsewhere thumbnails and labels are recognised by their tags
    and descriptions, smaller copies by their size; pages of one size are planes of one field.

    Raises:
        ImageError: pages are channels that nobody calls red, green and blue, points in time, or other scenes.
    """
    pages = reader.pages()
    stack = stated_stack(path, pages)
    if stack is not None:
        return _planes_of(path, pages, stack)
    chosen = [page for page in pages if _may_be_picture(page)]
    if not chosen:
        below = [one for page in pages if 330 in page.tags for one in reader.below(page)]
        chosen = [page for page in below if _may_be_picture(page)]
    if not chosen:
        raise ImageError(path, f"holds no picture: its {len(pages)} pages are thumbnails or labels")
    largest = max(_area(page) for page in chosen)
    alike = _same_kind([page for page in chosen if _area(page) == largest])
    others = len(pages) - len(alike) if alike[0].sub is None else len(pages)
    return Planes(tuple(alike), others=others, rivals=_rivals(chosen, alike))


def _planes_of(path: Path, pages: list[Page], stack: Stack) -> Planes:
    chosen = tuple(pages[number] for number in stack.pages)
    if len({_kind(page) for page in chosen}) > 1:
        raise ImageError(path, "has planes of different sizes or kinds where its description has them alike")
    others = len(pages) - len(chosen)
    return Planes(chosen, stack.colours, others, _rivals(pages, chosen), stack.stated)


def _rivals(pages: Sequence[Page], chosen: Sequence[Page]) -> int:
    """Return other pages that are too large for a copy of the picture and do not state what they are."""
    taken = {(page.index, page.sub) for page in chosen}
    others = (page for page in pages if (page.index, page.sub) not in taken)
    return sum(_may_be_picture(page) and _area(page) > _area(chosen[0]) * _COPY for page in others)


def _may_be_picture(page: Page) -> bool:
    if page.number(254, 0) & (_REDUCED | _MASK) or page.number(255, 0) == _OLD_REDUCED:
        return False
    return not is_aside(page)


def is_aside(page: Page) -> bool:
    """Return whether a page's description names it as the slide's label, its overview or a thumbnail."""
    words = page.text(270)[:2000].strip().lower()
    # Aperio puts the name on the second line, after the version of its library.
    second = words.partition("\n")[2].strip() if words.startswith("aperio") else ""
    return words.startswith(_ASIDE) or second.startswith(_ASIDE)


def _area(page: Page) -> int:
    return page.number(256, 0) * page.number(257, 0)


def _kind(page: Page) -> tuple[int, ...]:
    return (
        page.number(256, 0),
        page.number(257, 0),
        page.number(277, 1),
        page.number(258, 1),
        page.number(262, -1),
    )


def _same_kind(pages: list[Page]) -> list[Page]:
    """Return those pages of one size with most samples: a grey page next to one in colour is a mask of it."""
    most = max(page.number(277, 1) for page in pages)
    chosen = [page for page in pages if page.number(277, 1) == most]
    return [page for page in chosen if _kind(page) == _kind(chosen[0])]
