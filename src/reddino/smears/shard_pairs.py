"""Pair the label files of a tar shard with their images, by name."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reddino.smears.suffixes import IMAGE_SUFFIXES, why_unread

#: Suffixes of label files, in the order in which they are read.
SIDECARS = (".json", ".cls")


@dataclass(frozen=True)
class Pairs:
    """The members of a shard that belong together.

    Attributes:
        labels: of each image its label files, in the order of `SIDECARS`; images in the order of the shard.
        faults: (member, reason) of label files that belong to no image, or could belong to several, and of
            pictures that are not read.
    """

    labels: dict[str, list[str]]
    faults: list[tuple[str, str]]


def pair(names: Iterable[str]) -> Pairs:
    """Pair images with label files.

    `a.b.png` has `a.b.json` where that file is there, else `a.json` (WebDataset's rule).

    A label file of the second kind belongs to an image that has none of the first. One that matches several
    images is nobody's.
    """
    members = list(names)
    images = [name for name in members if is_image(name)]
    by_stem, by_key = _grouped(images, _stem), _grouped(images, sample_key)
    sidecars = sorted((name for name in members if _is_sidecar(name)), key=_rank)
    whole = {name for name in sidecars if _stem(name) in by_stem}
    labelled = {image for name in whole for image in by_stem[_stem(name)]}
    labels: dict[str, list[str]] = {image: [] for image in images}
    faults: list[tuple[str, str]] = []
    for name in sidecars:
        if name in whole:
            owners = by_stem[_stem(name)]
        else:
            owners = [image for image in by_key.get(_stem(name), []) if image not in labelled]
        if len(owners) == 1:
            labels[owners[0]].append(name)
        elif owners:
            faults.append((name, f"labels not read: they could be of {owners[0]} or {owners[1]}"))
        else:
            faults.append((name, "labels not read: no image of the shard has the same name"))
    for name in members:
        why = why_unread(posixpath.basename(name), in_shard=True)
        faults += [] if why is None else [(name, why)]
    return Pairs(labels, faults)


def is_image(member: str) -> bool:
    """Return whether a member's name is that of an image."""
    return not posixpath.basename(member).startswith(".") and member.lower().endswith(IMAGE_SUFFIXES)


def is_used(member: str) -> bool:
    """Return whether a member is an image or a label file."""
    return is_image(member) or _is_sidecar(member)


def sample_key(member: str) -> str:
    """Return the name up to the first dot, which files of one sample share."""
    folder, name = posixpath.split(member)
    return posixpath.join(folder, name.partition(".")[0])


def _is_sidecar(member: str) -> bool:
    return not posixpath.basename(member).startswith(".") and _suffix(member) in SIDECARS


def _suffix(member: str) -> str:
    return posixpath.splitext(member)[1].lower()


def _stem(member: str) -> str:
    return posixpath.splitext(member)[0]


def _rank(member: str) -> int:
    return SIDECARS.index(_suffix(member))


def _grouped(images: list[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for image in images:
        groups.setdefault(key(image), []).append(image)
    return groups
