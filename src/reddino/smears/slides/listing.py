"""The pictures of a microscope file: a scene that is small enough is one, a larger one has its regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reddino.smears.slides.dicom_series import dicom_name
from reddino.smears.slides.files import is_large_pyramid
from reddino.smears.slides.interface import Rectangle, SlideReader
from reddino.smears.slides.names import DICOM, SlidePart, split_slide
from reddino.smears.slides.opening import opened
from reddino.smears.slides.regions import is_one_picture, slide_regions


@dataclass(frozen=True)
class SlidePicture:
    """A picture of a microscope file.

    Attributes:
        part: what its path names.
        slide: stem of the file's name, with the scene where there are several.
        um_per_px: None where the file does not state it.
        number: of the region, from 0; None of a scene that is one picture.
        core: the region's own part, in pixels of level 0.
    """

    part: SlidePart
    slide: str
    um_per_px: float | None
    number: int | None
    core: Rectangle


def slide_pictures(part: SlidePart, name: str | None = None) -> list[SlidePicture]:
    """Return the pictures of a microscope file, or of one scene of it, in reading order.

    Args:
        part: the file or scene.
        name: of the slide; None: `slide_name`.

    Raises:
        ImageError: it cannot be opened.
    """
    with opened(part.file, part.scene or 0) as reader:
        scenes = range(reader.scenes) if part.scene is None else [part.scene]
        several = reader.scenes > 1
    found: list[SlidePicture] = []
    for scene in scenes:
        with opened(part.file, scene) as reader:
            found += _of_scene(reader, SlidePart(part.file, scene if several else None), name)
    return found


def _of_scene(reader: SlideReader, part: SlidePart, name: str | None) -> list[SlidePicture]:
    stem = name or slide_name(part.file)
    slide = stem if part.scene is None else f"{stem}-s{part.scene}"
    if is_one_picture(reader):
        return [SlidePicture(part, slide, reader.um_per_px, None, (0, 0, *reader.size))]
    return [
        SlidePicture(
            replace(part, rectangle=region.rectangle), slide, reader.um_per_px, region.number, region.core
        )
        for region in slide_regions(reader)
    ]


def slide_name(file: Path) -> str:
    """Return what a slide is called: the stem of its file, or the folder of its own of a DICOM slide."""
    if file.name.lower().endswith(DICOM):
        return dicom_name(file)
    name = file.name.removesuffix(file.suffix)
    return name.removesuffix(".ome") or file.name


def distinct_names(named: Iterable[tuple[str, Path]]) -> dict[Path, str]:
    """Return what slides are called (`slide_name`), with their folders where several would be called alike.

    Args:
        named: source and file of each; the same name in two sources is two slides.

    Returns:
        By file: its name, after as many of its folders as set it apart (`p1/scan`), and with its
        suffix where those do not. Two paths of one file have one name.
    """
    alike: dict[tuple[str, str], list[Path]] = {}
    for source, file in dict.fromkeys(named):
        alike.setdefault((source, slide_name(file)), []).append(file)
    return {
        file: called
        for (_, name), files in alike.items()
        for file, called in zip(files, _distinct_names(name, files), strict=True)
    }


def _distinct_names(name: str, files: Sequence[Path]) -> list[str]:
    """Return names of files of which all would be called `name`."""
    # A link is named by where it stands: what it leads to may lie in a store under a number.
    same = [file.resolve() for file in files]
    files = [files[same.index(one)].absolute() for one in same]
    different = len(set(files))
    for last in (name, None):
        for depth in range(max(len(file.parts) for file in files)):
            called = ["/".join([*_folders(file, depth), last or file.name]) for file in files]
            if len(set(called)) == different:
                return called
    return [file.as_posix() for file in files]


def _folders(file: Path, depth: int) -> tuple[str, ...]:
    return file.parent.parts[1:][-depth:] if depth else ()


def whole_file(path: Path) -> SlidePart | None:
    """Return the microscope file, or the scene, that a path names whole.

    Return None for a plain picture, a member of a shard, or a rectangle of a file.
    """
    part = split_slide(path)
    if part is None:
        return SlidePart(path) if is_large_pyramid(path) else None
    return part if part.rectangle is None else None
