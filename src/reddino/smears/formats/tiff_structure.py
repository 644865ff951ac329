"""The pages of a TIFF file and their tags, walked with nothing taken on trust: counts, places and loops."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError

#: More pages than any stack of focus planes has.
MAX_PAGES = 20_000
_MAX_TAGS = 4096
_SUB_IFDS = 330
# Numpy types of the types that a tag can have.
_TYPES = {
    1: "u1", 2: "S1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4", 11: "f4",
    12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
_RATIONAL = (5, 10)


@dataclass(frozen=True)
class Tag:
    """The place of a tag's value.

    Attributes:
        kind: numpy type of an element.
        count: elements.
        offset: of the value in the file.
    """

    kind: np.dtype[Any]
    count: int
    offset: int


@dataclass(frozen=True)
class Page:
    """One image file directory.

    Attributes:
        index: place in the chain of pages, from 0.
        sub: place among the directories below that page; None for the page itself.
        tags: by number.
        reader: of their values.
    """

    index: int
    sub: int | None
    tags: Mapping[int, Tag]
    reader: TiffReader

    def numbers(self, tag: int) -> NDArray[Any]:
        """Return the value of a tag (n,); empty where the page lacks it."""
        return self.reader.value(self.tags[tag]) if tag in self.tags else np.empty(0, np.int64)

    def number(self, tag: int, default: int) -> int:
        """Return the first number of a tag."""
        found = self.numbers(tag)
        return int(found[0]) if len(found) else default

    def text(self, tag: int) -> str:
        """Return a tag of characters as text; "" where the page lacks it."""
        return self.numbers(tag).tobytes().split(b"\0")[0].decode("utf-8", "replace")


class TiffReader:
    """An open TIFF or BigTIFF file.

    Args:
        path: the file, for errors.
        file: to read from, opened in binary mode.

    Raises:
        ImageError: it is no TIFF, or its directories are damaged.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self._file = path, file
        self.size = file.seek(0, 2)
        start = self._read(0, 16)
        self.order: Literal["<", ">"] = "<" if start[:2] == b"II" else ">"
        self._big = struct.unpack(f"{self.order}H", start[2:4])[0] == 43
        self._word = "Q" if self._big else "I"
        self._first = self._words(8 if self._big else 4, 1)[0]

    def pages(self) -> list[Page]:
        """Return the chain of pages."""
        return self._chain(self._first, None, MAX_PAGES)

    def first_page(self) -> Page:
        """Return the first page, without a look at the others."""
        return Page(0, None, self._directory(self._first)[0], self)

    def below(self, page: Page) -> list[Page]:
        """Return the directories that a page names as its own (SubIFDs)."""
        found = []
        for number, offset in enumerate(page.numbers(_SUB_IFDS).tolist()[:64]):
            tags, _ = self._directory(int(offset))
            found.append(Page(page.index, number, tags, self))
        return found

    def value(self, tag: Tag) -> NDArray[Any]:
        """Return the elements of a tag."""
        data = self._read(tag.offset, tag.count * tag.kind.itemsize)
        return np.frombuffer(data, tag.kind)

    def _chain(self, offset: int, sub: int | None, most: int) -> list[Page]:
        seen: set[int] = set()
        pages: list[Page] = []
        while offset:
            if offset in seen:
                raise ImageError(self.path, "damaged (the pages of the TIFF form a loop)")
            if len(pages) == most:
                raise ImageError(self.path, f"has more than {most} pages")
            seen.add(offset)
            tags, following = self._directory(offset)
            pages.append(Page(len(pages), sub, tags, self))
            offset = following
        if not pages:
            raise ImageError(self.path, "truncated (the TIFF has no page)")
        return pages

    def _directory(self, offset: int) -> tuple[dict[int, Tag], int]:
        """Return the tags of the directory at `offset`, and where the next one lies."""
        head, entry = (8, 20) if self._big else (2, 12)
        count = struct.unpack(f"{self.order}{'Q' if self._big else 'H'}", self._read(offset, head))[0]
        if count > _MAX_TAGS:
            raise ImageError(self.path, f"damaged (a TIFF page with {count} tags)")
        data = self._read(offset + head, count * entry)
        tags: dict[int, Tag] = {}
        for place in range(0, len(data), entry):
            number, kind = struct.unpack(f"{self.order}HH", data[place : place + 4])
            tag = self._tag(data, place, offset + head, kind)
            if tag is not None:
                tags.setdefault(number, tag)
        return tags, self._words(offset + head + count * entry, 1)[0]

    def _tag(self, data: bytes, place: int, start: int, kind: int) -> Tag | None:
        """Return the tag at `place` of a directory's entries.

        Return None for an unknown type, or beyond the file.
        """
        if kind not in _TYPES:
            return None
        size = 8 if self._big else 4
        count, value = struct.unpack(
            f"{self.order}{self._word}{self._word}", data[place + 4 : place + 4 + 2 * size]
        )
        count *= 2 if kind in _RATIONAL else 1
        kind_of = np.dtype(_TYPES[kind]).newbyteorder(self.order)
        length = count * kind_of.itemsize
        offset = start + place + 4 + size if length <= size else value
        return Tag(kind_of, count, offset) if offset + length <= self.size else None

    def _words(self, offset: int, count: int) -> tuple[int, ...]:
        size = struct.calcsize(self._word)
        return struct.unpack(f"{self.order}{count}{self._word}", self._read(offset, count * size))

    def _read(self, offset: int, length: int) -> bytes:
        if offset < 0 or offset + length > self.size:
            raise ImageError(self.path, "truncated (the TIFF points beyond its end)")
        self._file.seek(offset)
        return self._file.read(length)

    def bytes_at(self, offset: int, length: int) -> bytes:
        """Return a stretch of the file.

        Raises:
            ImageError: it ends before.
        """
        return self._read(offset, length)
