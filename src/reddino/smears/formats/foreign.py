"""Files of formats that are not read, recognised by their first bytes, for the error."""

from __future__ import annotations

#: Bytes that are needed to recognise a format.
LENGTH = 132
_PICTURES = {
    b"GIF8": "GIF", b"8BPS": "Photoshop", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000", b"#?R": "Radiance HDR", b"%PDF": "PDF",
    b"SIMPLE  =": "FITS", b"\x76\x2f\x31\x01": "OpenEXR",
}  # fmt: skip
_OTHERS = {
    b"version https://git-lfs": "is a pointer of Git LFS and not the picture: fetch it with git lfs pull",
    b"<!DOCTYPE": "is a web page and not the picture: download it again",
    b"<html": "is a web page and not the picture: download it again",
    b"PK\x03\x04": "is a ZIP archive; unpack it",
    b"\x1f\x8b": "is compressed with gzip; unpack it",
}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "CR3"}  # the others are HEIC


def what_it_is(start: bytes) -> str | None:
    """Return what a file is and what to do; None where its first `LENGTH` bytes do not show it."""
    known = next((words for mark, words in _OTHERS.items() if start.startswith(mark)), None)
    if known is not None:
        return known
    name = next((name for mark, name in _PICTURES.items() if start.startswith(mark)), None)
    if start[4:8] == b"ftyp":
        name = _BRANDS.get(start[8:12], "HEIC")
    if start[128:132] == b"DICM":
        name = "DICOM"
    return f"is a {name} picture, which is not read; save it as PNG, TIFF or JPEG" if name else None
