"""Zip archives, in which torch and NumPy keep numbers: refused where they unfold without measure."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

from reddino.foundations.errors import RedDinoError

#: Bytes for each one of the file; numbers of weights and images hardly get smaller when they are packed.
RATIO, FREE = 20, 64 << 20


def require_stored(file: Path | IO[bytes], length: int, name: str) -> None:
    """Refuse an archive whose members, unpacked, would have more bytes than its own could stand for.

    A file that is no zip archive passes.

    Args:
        file: path, or opened for reading; it is left at some position.
        length: bytes of the archive.
        name: for errors.

    Raises:
        RedDinoError: it would unfold, or its list of members is damaged.
    """
    try:
        if not zipfile.is_zipfile(file):
            return
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeError) as error:
        raise RedDinoError(f"{name} is damaged: {error}") from error
    if unpacked > RATIO * length + FREE:
        raise RedDinoError(
            f"{name} would unfold from {length >> 20} MB to {unpacked >> 20} MB: it is damaged or made to "
            "fill the memory"
        )
