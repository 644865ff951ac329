"""Gather what users name as images (files, folders, manifests, patterns, tar shards) into one manifest."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.urls import is_url, require_known_scheme
from reddino.foundations.url_spelling import spelled
from reddino.smears.choices import Subfolders
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest, join_manifests, read_manifest
from reddino.smears.manifest_file import FORMATS
from reddino.smears.readers.folders import read_folder
from reddino.smears.readers.rows import find_files, listings_kept, natural_key, note_unread
from reddino.smears.readers.subfolders import with_subfolders
from reddino.smears.shard_rows import read_shard
from reddino.smears.shards import SHARD_SUFFIX
from reddino.smears.slides.expanding import with_slides
from reddino.smears.slides.names import SEPARATOR, ZARR, split_slide
from reddino.smears.slides.pictures import require_spelling
from reddino.smears.suffixes import PICTURE_SUFFIXES, why_unread

Named = str | Path | Manifest
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def gather(named: Sequence[Named], failures: Failures, subfolders: Subfolders = "auto") -> Manifest:
    """Join everything that was named, in that order, into one manifest.

    A name is an image file, a folder (its images and tar shards, at any depth), a manifest (.csv, .parquet),
    a tar shard, or a pattern of these: `*`, `?`, `[...]`, `**` for folders at any depth, `{000..010}`,
    `{a,b}`.

    Args:
        named: at least one name, or manifests that are open already.
        failures: collects what seems to be an image and cannot be one, by its path; nothing is decoded here.
        subfolders: what those of a folder stand for that is named alone; of several, each is a source.

    Raises:
        RedDinoError: a name stands for nothing, a manifest breaks its rules, or no image is there at all.
    """
    with listings_kept():
        return _gathered(named, failures, subfolders)


def _gathered(named: Sequence[Named], failures: Failures, subfolders: Subfolders) -> Manifest:
    found: list[Manifest] = []
    files: list[Path] = []

    def close_files() -> None:
        if files:
            found.append(with_slides(_files_manifest(files), failures))
            files.clear()

    for item in _expand(named, failures):
        if isinstance(item, Path) and not _holds_many(item):
            if files and is_url(files[0]) != is_url(item):
                close_files()
            files.append(item)
            continue
        close_files()
        found += (
            [with_slides(item)]
            if isinstance(item, Manifest)
            else _read_many(item, failures, subfolders if len(named) == 1 else "none")
        )
    close_files()
    found = [one for one in found if len(one)]
    if not found:
        raise RedDinoError(f"no image could be found in {_list(named)}; {failures.summary()}")
    return found[0] if len(found) == 1 else join_manifests(found)


def expand_braces(pattern: str) -> list[str]:
    """Expand `{000..010}` (with leading zeros kept) and `{a,b}`, as shells and WebDataset do."""
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        return [pattern]
    first, last, listed = match.groups()
    if listed is not None:
        choices = listed.split(",")
    else:
        step = 1 if int(first) <= int(last) else -1
        width = max(len(first), len(last)) if "0" in (first[0], last[0]) else 0
        choices = [str(n).zfill(width) for n in range(int(first), int(last) + step, step)]
    before, after = pattern[: match.start()], pattern[match.end() :]
    return [one for choice in choices for one in expand_braces(before + choice + after)]


def _expand(named: Iterable[Named], failures: Failures) -> Iterator[Manifest | Path]:
    for name in named:
        if isinstance(name, Manifest):
            yield name
        elif is_url(name):
            yield from map(Path, _without_patterns(str(name)))
        elif os.path.lexists(name) or _is_part(name):
            yield Path(name)
        else:
            for one in expand_braces(str(name)):
                yield from _matches(one, failures)


def _without_patterns(url: str) -> list[str]:
    """Return the URLs that one with braces stands for.

    Raises:
        RedDinoError: it holds other patterns.
    """
    if glob.has_magic(url):
        raise RedDinoError(
            f"{url}: patterns are for files of this machine; give the folder of the pictures, or a manifest"
        )
    return expand_braces(url)


def _is_part(name: str | Path) -> bool:
    """Return whether a name is that of a rectangle or scene of a microscope file that is there."""
    part = split_slide(name)
    return part is not None and str(part.file) != str(name) and part.file.exists()


def _refuse_part(name: str) -> None:
    """Refuse the name of a part of a file, by what is wrong with it; pass over any other.

    Raises:
        RedDinoError: the file is missing or has no such parts, or the part is not spelled as one.
    """
    file, separator, _ = name.rpartition(SEPARATOR)
    if not separator:
        return
    if not os.path.lexists(file):
        raise RedDinoError(f"{file}: there is no such file, of which {name} names a part")
    if file.lower().endswith(SHARD_SUFFIX):
        raise RedDinoError(f"{name}: a shard is given as a whole; members of it go in a manifest")
    require_spelling(Path(name))
    raise RedDinoError(f"{name}: names a part of a file that is no microscope file; give the picture itself")


def _matches(pattern: str, failures: Failures) -> list[Path]:
    """Return the files that a pattern stands for.

    Manifests are among them only where the pattern itself ends like one.
    """
    if os.path.lexists(pattern):
        return [Path(pattern)]
    require_known_scheme(pattern)
    if not glob.has_magic(pattern):
        _refuse_part(pattern)
        raise RedDinoError(f"{pattern}: there is no such file or folder")
    manifests = pattern.lower().endswith(FORMATS)
    wanted = FORMATS if manifests else (*PICTURE_SUFFIXES, SHARD_SUFFIX)
    # Not Path.glob: patterns may start at the root or with '..'.
    matched = [Path(path) for path in sorted(glob.glob(pattern, recursive=True), key=natural_key)]  # noqa: PTH207
    # '**' matches the folders on the way as well as the files in them: files alone are taken then.
    recursive = "**" in pattern
    kept = [
        path
        for path in matched
        if path.name.lower().endswith(wanted) or (path.is_dir() and not (manifests or recursive))
    ]
    for path in matched:
        if not manifests and path not in kept and (why := why_unread(path.name)) is not None:
            failures.add(path, why)
    if not kept:
        raise RedDinoError(f"{pattern}: no {', '.join(wanted)} file matches this pattern")
    return kept


def _holds_many(path: Path) -> bool:
    name = path.name.lower()
    folder = _is_folder(path) and not name.endswith(ZARR)
    return folder or name.endswith((*FORMATS, SHARD_SUFFIX, *COMPRESSED))


def _is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder; a URL is, where it does not end like a file that is read."""
    if not is_url(path):
        return path.is_dir()
    return not path.name.lower().endswith((*FORMATS, *PICTURE_SUFFIXES, SHARD_SUFFIX, *COMPRESSED))


def _read_many(path: Path, failures: Failures, subfolders: Subfolders) -> list[Manifest]:
    if _is_folder(path):
        return _read_folder(path, failures, subfolders)
    if path.name.lower().endswith(COMPRESSED):
        raise RedDinoError(f"{path} is compressed, and its images cannot be reached one by one; unpack it")
    if path.name.lower().endswith(SHARD_SUFFIX):
        shard = read_shard(path, failures)
        return [] if shard is None else [shard]
    return [with_slides(read_manifest(path))]


def _read_folder(folder: Path, failures: Failures, subfolders: Subfolders) -> list[Manifest]:
    """List the images of a folder, then those of its shards.

    A folder that is named like an image is listed too.
    """
    if folder.name.lower().endswith(PICTURE_SUFFIXES):
        failures.add(folder, "is a folder")
    shards = find_files(folder, (SHARD_SUFFIX,), failures)
    found = [shard for path in shards if (shard := read_shard(path, failures)) is not None]
    if find_files(folder, PICTURE_SUFFIXES, failures):
        pictures = with_subfolders(read_folder(folder, failures=failures), folder, subfolders)
        return [with_slides(pictures, failures), *found]
    note_unread(folder, failures)
    if not shards:
        failures.add(folder, f"holds no images ({', '.join((*PICTURE_SUFFIXES, SHARD_SUFFIX))})")
    return found


def _files_manifest(files: Sequence[Path]) -> Manifest:
    """Return a manifest of image files named one by one.

    The source of each is the folder in which it lies.
    """
    absolute = [path if is_url(path) else path.absolute() for path in files]
    root = Path(os.path.commonpath([path.parent for path in absolute]))
    for path in absolute:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise RedDinoError(f"{str(path)!r}: the file name is not valid UTF-8; rename the file") from None
    table = {
        "path": [spelled(path.relative_to(root).as_posix()) for path in absolute],
        "source": [path.parent.name for path in absolute],
    }
    return Manifest(pa.table(table), root)


def _list(named: Sequence[Named]) -> str:
    names = [str(name) for name in named if not isinstance(name, Manifest)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
