"""What the subfolders of a folder of images stand for: sources, slides, patients, classes, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath

from reddino.foundations.stores.anywhere import file_names
from reddino.smears.choices import Subfolders
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_file import FORMATS
from reddino.smears.readers.folders import SPLIT
from reddino.smears.readers.subfolder_names import look_of

log = logging.getLogger(__name__)

#: Names shown of many.
SHOWN = 4
#: Looks that a laboratory, camera or stain may have; single names of classes are those of laboratories.
_SOURCES = ("place", "stain", "scale", "class")
#: Looks that are taken for what they are where all names have them.
_NUMBERED: tuple[Subfolders, ...] = ("patient", "slide")
_ONE = "so all images are of one source"
_OTHER = "name their meaning with --subfolders source, slide, patient, label or none"


def with_subfolders(manifest: Manifest, folder: Path, how: Subfolders) -> Manifest:
    """Fill the column that the subfolders of a folder of images stand for, and log what was taken.

    Args:
        manifest: the images of the folder, as `read_folder` lists them.
        folder: the folder.
        how: `source`, `slide`, `patient` or `label`: the name of each image's subfolder goes to that column;
            `none`: to no column; `auto`: what the names look like.

    Returns:
        The manifest; with `auto` the same one where there are fewer than two subfolders.
    """
    folders = [_folders(path) for path in manifest.strings("path")]
    if how != "auto":
        parts = _level(folders, 0)
        return manifest if how == "none" or not any(parts) else manifest.with_column(how, parts)
    shared = [together[0] for together in takewhile(_are_one, zip(*folders, strict=False))]
    names = sorted(set(_level(folders, len(shared))))
    if len(names) < 2:
        return manifest
    if any(look_of(name) in _NUMBERED for name in shared):
        log.warning(
            "%s: the %d folders in %s (%s) are not read, so all images are of one source; give that folder "
            "to take them, or --subfolders source, slide, patient or label for the meaning of %s",
            *(folder, len(names), "/".join(shared), _some(names), shared[0]),
        )
        return manifest
    taken, sentence = _by_names(names, folder, shared)
    unread = sorted(set(_level(folders, len(shared) + 1)) - {""})
    if taken != "none" and len(unread) > 1:
        sentence += f". The folders in them ({_some(unread)}) are not read"
    log.warning("%s: %s", folder, sentence)
    return manifest if taken == "none" else manifest.with_column(taken, _level(folders, len(shared)))


def _by_names(names: Sequence[str], folder: Path, shared: Sequence[str]) -> tuple[Subfolders, str]:
    """Return what subfolders of these names are taken for, and the sentence that states it.

    Args:
        names: of the subfolders, "" for images next to them.
        folder: the folder.
        shared: the folders in it, one in the other, that hold all of them.
    """
    tables = sorted(name for name in file_names(folder) if name.lower().endswith(FORMATS))
    if tables:
        lies = f"a table ({tables[0]}) lies there and was not read"
        return "none", f"{lies}, {_ONE}; give the table, or {_OTHER}"
    if "" in names:
        named = [name for name in names if name]
        return "none", f"images lie next to its subfolders ({_some(named)}), {_ONE}; {_OTHER}"
    which = f"the {len(names)} folders in {'/'.join(shared)}" if shared else f"its {len(names)} subfolders"
    return _by_looks(names, f"{which} ({_some(names)})")


def _by_looks(names: Sequence[str], shown: str) -> tuple[Subfolders, str]:
    """Return the same of names alone; `shown` begins the sentence."""
    look = {name: look_of(name) for name in names}
    found = list(look.values())
    if "aside" in found:
        return "none", f"{shown} do not all hold smears by their names, {_ONE}; {_OTHER}"
    if found.count("class") * 2 >= len(names):
        return "none", (
            f"{shown} look like classes, {_ONE}, without labels; give --subfolders label to take them as "
            "labels, or source, slide, patient, or none to read this no more"
        )
    for what in _NUMBERED:
        if set(found) == {what}:
            return what, f"{shown} are taken as {what}s of one source; if they are something else, {_OTHER}"
    if others := [name for name in names if look[name] not in _SOURCES]:
        return "none", (
            f"of its {len(names)} subfolders some are dates, numbers or parts of a collection, and no "
            f"laboratories ({_some(others)}), {_ONE}; {_OTHER}"
        )
    return "source", (
        f"{shown} are taken as sources (laboratories, cameras or stains); if they are slides, patients or "
        f"classes, {_OTHER}"
    )


def _folders(path: str) -> list[str]:
    """Return the folders of a path that are no side of a split such as `train`."""
    return [part for part in PurePosixPath(path).parts[:-1] if not SPLIT.fullmatch(part)]


def _are_one(names: Sequence[str]) -> bool:
    return len(set(names)) == 1


def _level(folders: Sequence[Sequence[str]], depth: int) -> list[str]:
    """Return the folder of each image (n,) at a depth, "" where it lies above."""
    return [parts[depth] if len(parts) > depth else "" for parts in folders]


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
