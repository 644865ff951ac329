"""Plain folders of images, and folders in which each class has its own."""

from __future__ import annotations

from pathlib import Path

from reddino.errors import RedDinoError
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readers.rows import Rows, find_images


def read_folder(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Every image below a folder, without labels.

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
    failures: Failures | None = None,
) -> Manifest:
    """Images whose label is the name of the folder they lie in; arguments as `read_folder`.

    Raises:
        RedDinoError: an image lies in `folder` itself, so that it has no class.
    """
    rows = Rows(Path(folder), source, failures)
    for image in find_images(folder):
        if image.parent == rows.folder:
            raise RedDinoError(
                f"{image} lies in no class folder: move it into one, or read the folder as plain images."
            )
        rows.add(image, label=image.parent.name)
    return rows.manifest(slide=slide, patient=patient)
