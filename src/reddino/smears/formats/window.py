"""A stretch of a file as a file of its own; only the bytes that are needed are read."""

from __future__ import annotations

import io
from pathlib import Path


class Window(io.RawIOBase):
    """The bytes from `offset` to `offset + size` of a file.

    Args:
        path: the file, which stays open until the window is closed.
        offset: of the first byte.
        size: in bytes.
    """

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._offset, self._size, self._place = offset, size, 0

    def readable(self) -> bool:
        """Return True: a window is for reading."""
        return True

    def seekable(self) -> bool:
        """Return True: a window can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, counted from the start of the window, from here, or from its end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the end of the window."""
        self._file.seek(self._offset + self._place)
        length = min(len(buffer), max(0, self._size - self._place))
        count = self._file.readinto(memoryview(buffer)[:length])
        self._place += count or 0
        return count or 0

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()
