"""OME-XML: which pages of an OME-TIFF are the channels and focus planes of its picture."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from reddino.smears.failures import ImageError
from reddino.smears.formats.tiff_stack import Stack, lay_out
from reddino.smears.formats.tiff_structure import MAX_PAGES, Page

Element = ElementTree.Element
_MAX_BYTES = 16_000_000
#: OME writes a colour as the signed 32 bits of red, green, blue and alpha.
_PURE = (0xFF0000, 0x00FF00, 0x0000FF)
#: Files may have a prefix before the name, and a long comment before the element.
_OME, _HEAD = re.compile(r"<(?:\w{1,20}:)?OME[\s>]"), 100_000


def is_ome(text: str) -> bool:
    """Return whether the description of a page is OME-XML."""
    return _OME.search(text[:_HEAD]) is not None


def ome_stack(path: Path, text: str, pages: list[Page]) -> Stack:
    """Return the pages of the largest picture that the OME-XML describes.

    Raises:
        ImageError: the XML cannot be read, or its planes lie in other files or are no planes of one picture.
    """
    pictures = [
        one for image in _children(_parsed(path, text), "Image") for one in _children(image, "Pixels")
    ]
    if not pictures:
        raise ImageError(path, "damaged (its OME-XML describes no picture)")
    areas = [_number(path, one, "SizeX") * _number(path, one, "SizeY") for one in pictures]
    chosen = areas.index(max(areas))
    if areas.count(max(areas)) > 1:
        raise ImageError(
            path, f"holds {areas.count(max(areas))} pictures of one size; save the one that counts"
        )
    first = sum(_pages_of(path, one) for one in pictures[:chosen])
    return _stack(path, pictures[chosen], first, pages)


def _parsed(path: Path, text: str) -> Element:
    if len(text) > _MAX_BYTES or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageError(path, "damaged (its OME-XML is too large or defines entities)")
    try:
        return ElementTree.fromstring(text.strip().encode())
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise ImageError(path, f"damaged (its OME-XML cannot be read: {error})") from error


def _children(element: Element, name: str) -> list[Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def _number(path: Path, element: Element, name: str, default: int | None = None) -> int:
    given = element.get(name)
    if given is None and default is not None:
        return default
    if given is None or not given.strip().isdecimal() or not 1 <= len(given.strip()) <= 9:
        raise ImageError(path, f"damaged (its OME-XML gives {name} as {given!r:.40})")
    return int(given)


def _sizes(path: Path, picture: Element) -> dict[str, int]:
    """Return the number of pages by letter: channels of several samples have one page between them."""
    channels = _children(picture, "Channel")
    samples = max((_number(path, one, "SamplesPerPixel", 1) for one in channels), default=1)
    sizes = {letter: _number(path, picture, f"Size{letter}") for letter in "CZT"}
    return sizes | {"C": max(1, sizes["C"] // max(1, samples))}


def _pages_of(path: Path, picture: Element) -> int:
    sizes = _sizes(path, picture)
    return sizes["C"] * sizes["Z"] * sizes["T"]


def _stack(path: Path, picture: Element, first: int, pages: list[Page]) -> Stack:
    sizes = _sizes(path, picture)
    if pages[0].number(277, 1) == sizes["C"] > 1 and not any(
        _number(path, one, "SamplesPerPixel", 1) > 1 for one in _children(picture, "Channel")
    ):
        sizes["C"] = 1  # writers that leave SamplesPerPixel out: the pages hold all channels
    order = picture.get("DimensionOrder", "XYCZT")[2:]
    if sorted(order) != ["C", "T", "Z"]:
        raise ImageError(path, f"damaged (its OME-XML gives DimensionOrder as {order!r:.40})")
    count = sizes["C"] * sizes["Z"] * sizes["T"]
    if count > min(MAX_PAGES, len(pages)):
        raise ImageError(
            path, f"describes {count} planes and holds {len(pages)}: the others lie in other files"
        )
    numbers = _numbers(path, picture, order, sizes, first)
    if any(not 0 <= number < len(pages) for number in numbers):
        raise ImageError(path, "damaged (its OME-XML names pages that it does not hold)")
    bits = _number(path, picture, "SignificantBits", 16)
    stated = bits if 8 <= bits < 16 else None  # writers of unknown depth put 16
    in_order = (sizes[order[0]], sizes[order[1]], sizes[order[2]])
    return lay_out(path, order, in_order, numbers, colours=_colours(picture), stated=stated)


def _numbers(path: Path, picture: Element, order: str, sizes: dict[str, int], first: int) -> list[int]:
    """Return the number of the page of each plane, in `order`."""
    count = sizes["C"] * sizes["Z"] * sizes["T"]
    numbers = [first + place for place in range(count)]
    files = {
        uuid.get("FileName") for data in _children(picture, "TiffData") for uuid in _children(data, "UUID")
    }
    if len(files) > 1:
        raise ImageError(path, "is one of several files that hold one picture; save it as one file")
    for data in _children(picture, "TiffData"):
        place, step = 0, 1
        for letter in order:
            place += _number(path, data, f"First{letter}", 0) * step
            step *= sizes[letter]
        given = data.get("IFD") is not None
        length = _number(path, data, "PlaneCount", 1 if given else count)
        start = _number(path, data, "IFD", 0 if given or first == 0 else first)
        for offset in range(min(length, count)):
            if place + offset < count:
                numbers[place + offset] = start + offset
    return numbers


def _colours(picture: Element) -> list[int] | None:
    """Return the channels that are pure red, green and blue, in that order.

    Return None where the file lacks them.
    """
    channels = _children(picture, "Channel")
    given = [one.get("Color", "") for one in channels]
    try:
        colours = [(int(one) & 0xFFFFFFFF) >> 8 for one in given]
    except ValueError:
        return None
    if len(colours) == 3 and set(colours) == set(_PURE):
        return [colours.index(colour) for colour in _PURE]
    return None
