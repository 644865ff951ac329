"""Plain folders of images, and folders in which each class has its own."""

from __future__ import annotations

import re
from pathlib import Path

from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readers.rows import Rows, find_images, named_parts


def read_folder(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """List every image below a folder, without labels.

    Args:
        folder: the collection.
        source: laboratory, camera or stain; the folder's name if None.
        slide: regular expression with a group `(?P<slide>...)`, searched for in the relative path.
        patient: the same with `(?P<patient>...)`.
        failures: takes what is no file for all its name: `find_files`.
    """
    rows = Rows(Path(folder), source, failures)
    for image in find_images(folder, failures):
        rows.add(image)
    return rows.manifest(slide=slide, patient=patient)


def read_class_folders(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    label: str | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Label each image with the name of its class folder.

    The class folder lies in `folder`; folders named train, test, fold1 and the like may stand above or below
    it. Where images lie deeper, several folders could be the class.

    Args:
        folder: the collection.
        source: as `read_folder`.
        slide: as `read_folder`.
        patient: as `read_folder`.
        label: regular expression with a group `(?P<label>...)`, searched for in the relative path, where the
            folder of the class is another one.
        failures: takes what is noted and left out; None raises it.

    Raises:
        RedDinoError: an image lies in no class folder, or in several (with `failures`, noted and left out).
    """
    rows = Rows(Path(folder), source, failures)
    images = find_images(folder, failures)
    if label is not None:
        for image in images:
            rows.add(image)
        manifest = rows.manifest(slide=slide, patient=patient)
        return manifest.with_column("label", named_parts(manifest.strings("path"), label, "label"))
    for image in images:
        parts = _class_parts(image, rows.folder)
        if len(parts) == 1:
            rows.add(image, label=parts[0])
        elif not parts:
            rows.report(
                image, "lies in no class folder: move it into one, or read the folder as plain images"
            )
        else:
            rows.report(
                image,
                f"lies in '{'/'.join(parts)}', and which of these folders is its class is not clear: "
                "read the folder above the classes, or name the place of the class in the path "
                "(label, such as '^(?P<label>[^/]+)/')",
            )
    return rows.manifest(slide=slide, patient=patient)


#: Folders that are sides of a split, above or below those of classes.
SPLIT = re.compile(
    r"(train|training|val|valid|validation|dev|test|testing|hold-?out|(fold|split)[-_ ]?\d+)", re.I
)


def _class_parts(image: Path, folder: Path) -> list[str]:
    """Return the folders that could be the class of an image: all on its path but those of splits."""
    return [part for part in image.relative_to(folder).parts[:-1] if not SPLIT.fullmatch(part)]
