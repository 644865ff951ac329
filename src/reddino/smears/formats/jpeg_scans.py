"""Faults of the compressed data of a JPEG that libjpeg does not report: missing scans, zeros."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from PIL.JpegImagePlugin import JpegImageFile

# In compressed data 0xFF is followed by a zero or by a restart marker.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SCAN, _END, _TABLES = b"\xff\xda", b"\xff\xd9", b"\xff\xc4"
#: Encoders write about ten; each costs a pass over all pixels.
_MAX_SCANS = 100
_COEFFICIENTS = 64
#: A block ends with a code that is not all zeros, except where it is empty: so many are no picture.
_ZEROS = bytes(32)


@dataclass(frozen=True)
class _Scan:
    """A scan of a JPEG.

    Attributes:
        names: of its components.
        tables: number of the AC table of each.
        first, last: coefficients that it holds.
        bits: that are still to come of each coefficient.
        start, stop: of the compressed data.
    """

    names: list[int]
    tables: list[int]
    first: int
    last: int
    bits: int
    start: int
    stop: int


def scan_fault(data: bytes, header: JpegImageFile, place: int) -> str | None:
    """Return what the scans of a JPEG lack; None where nothing is missing.

    Args:
        data: the file.
        header: of Pillow.
        place: where the compressed data of the first scan start.
    """
    first = data.rfind(_SCAN, 0, place)
    progressive = "progressive" in header.info
    try:
        if not progressive and data[first + 4] == len(header.getbands()):
            # Nearly every JPEG: one scan, which is examined only where it holds a run of zeros.
            zeros = data.find(_ZEROS, place)
            if zeros < 0 or 0 <= data.find(_END, place) < zeros:
                return None
        return _fault(data, [int(layer[0]) for layer in header.layer], first, progressive)
    except IndexError:
        return "truncated (the JPEG ends within the header of a scan)"


def _fault(data: bytes, components: list[int], first: int, progressive: bool) -> str | None:
    missing = {name: set(range(_COEFFICIENTS)) for name in components}
    for number, scan in enumerate(_scans(data, first)):
        if number == _MAX_SCANS:
            return f"cannot be decoded (more than {_MAX_SCANS} scans)"
        if scan.bits == 0:
            for name in scan.names:
                missing.get(name, set()).difference_update(range(scan.first, scan.last + 1))
        zeros = data.find(_ZEROS, scan.start, scan.stop)
        if zeros >= 0 and not _may_be_empty(data, scan, progressive):
            return f"damaged (a run of zeros in the JPEG, at byte {zeros})"
    return "truncated (scans of the JPEG are missing)" if any(missing.values()) else None


def _scans(data: bytes, place: int) -> Iterator[_Scan]:
    """Yield the scans in turn, the first of which is marked at `place`."""
    while True:
        count = data[place + 4]
        chosen = data[place + 5 : place + 5 + 2 * count]
        first, last, bits = (data[place + 5 + 2 * count + number] for number in range(3))
        start = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        found = _MARKER.search(data, start)
        stop = found.start() if found else len(data)
        names, tables = list(chosen[::2]), [table & 0x0F for table in chosen[1::2]]
        yield _Scan(names, tables, first, last, bits & 0x0F, start, stop)
        while found is not None and found[0] not in (_SCAN, _END):
            length = int.from_bytes(data[found.end() : found.end() + 2], "big")
            found = _MARKER.search(data, found.end() + length)
        if found is None or found[0] == _END:
            return
        place = found.start()


def _may_be_empty(data: bytes, scan: _Scan, progressive: bool) -> bool:
    """Return whether zeros are what an encoder writes for an empty stretch of a picture."""
    if progressive:
        # Brightness alone, a few bits a block; elsewhere a stretch of empty blocks is one code.
        return scan.first == 0
    # The shortest code, of zeros alone, must be that of the end of a block, in every component.
    first_codes = _first_ac_codes(data, scan.start)
    return all(first_codes.get(table) == 0 for table in scan.tables)


def _first_ac_codes(data: bytes, stop: int) -> dict[int, int]:
    """Return the symbol with the shortest code of each AC table that is defined before `stop`."""
    found: dict[int, int] = {}
    place = 2
    while place + 4 <= stop and data[place] == 0xFF:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place : place + 2] == _TABLES:
            table = place + 4
            while table + 17 <= place + 2 + length:
                kind, symbols = data[table], sum(data[table + 1 : table + 17])
                if kind >> 4 == 1 and symbols:
                    found[kind & 0x0F] = data[table + 17]
                table += 17 + symbols
        place += 2 + length
    return found
