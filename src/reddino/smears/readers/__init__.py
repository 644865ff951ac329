"""Readers that turn the known layouts of smear collections into a manifest."""

from __future__ import annotations

from collections.abc import Callable

from reddino.smears.manifest import Manifest
from reddino.smears.readers.chula import read_chula
from reddino.smears.readers.coco import read_coco
from reddino.smears.readers.folders import read_class_folders, read_folder
from reddino.smears.readers.named_cells import read_elsafty, read_nih_malaria
from reddino.smears.readers.slides import read_slides
from reddino.smears.readers.voc import read_voc
from reddino.smears.readers.yolo import read_yolo

READERS: dict[str, Callable[..., Manifest]] = {
    "folder": read_folder,
    "class-folders": read_class_folders,
    "chula": read_chula,
    "voc": read_voc,
    "yolo": read_yolo,
    "coco": read_coco,
    "nih-malaria": read_nih_malaria,
    "elsafty": read_elsafty,
    "slides": read_slides,
}
"""By name; each takes a folder and `source=`, and most `slide=` and `patient=` patterns."""

__all__ = [
    "READERS",
    "read_chula",
    "read_class_folders",
    "read_coco",
    "read_elsafty",
    "read_folder",
    "read_nih_malaria",
    "read_slides",
    "read_voc",
    "read_yolo",
]
