"""An object as a file to read from: its end, or stretches of it, in few requests."""

from __future__ import annotations

import io
from collections import deque

from reddino.foundations.stores.objects import object_state, read_object

#: Bytes at the end that are read together, with what is read before them: the notes of parts.
TAIL = 64 << 10
#: Bytes that are read ahead, and of an object that is read whole once anything else than its end is.
AHEAD = 8 << 20


class ObjectFile(io.RawIOBase):
    """The bytes of an object; the stretches that were read last are kept.

    Args:
        url: of the object.
        ahead: bytes that are read at least, beyond the end.
        tail: bytes at the end that are read together.
    """

    def __init__(self, url: str, ahead: int = AHEAD, tail: int = TAIL) -> None:
        self.url, self._ahead, self._tail = url, ahead, tail
        self.size = object_state(url).size
        if self.size < 0:
            self.size = len(read_object(url))
        self._place = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=4)

    def readable(self) -> bool:
        """Return True: it is for reading."""
        return True

    def seekable(self) -> bool:
        """Return True: it is read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, counted from the start, from here, or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read as many bytes as fit, up to the end."""
        count = max(0, min(len(buffer), self.size - self._place))
        if count:
            memoryview(buffer)[:count] = self._stretch(self._place, count)
        self._place += count
        return count

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`, in one request."""
        data = read_object(self.url, start, stop)
        if len(data) != stop - start:
            raise OSError(0, f"cut short: {len(data)} of {stop - start} bytes came", self.url)
        return data

    def _stretch(self, start: int, count: int) -> memoryview:
        stop = start + count
        for first, data in self._kept:
            if first <= start and stop <= first + len(data):
                return memoryview(data)[start - first : stop - first]
        if stop >= self.size - self._tail:
            first, last = max(0, min(start, self.size - self._tail)), self.size
        elif self.size <= self._ahead:
            first, last = 0, self.size
        else:
            first, last = start, min(self.size, max(stop, start + self._ahead))
        data = self.fetch(first, last)
        self._kept.append((first, data))
        return memoryview(data)[start - first : stop - first]
