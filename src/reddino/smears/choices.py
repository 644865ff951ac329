"""The choices of a manifest; without pyarrow, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

#: Layouts of collections, by the names of `reddino.smears.readers.READERS`.
Layout = Literal[
    "folder", "class-folders", "chula", "voc", "yolo", "coco", "nih-malaria", "elsafty", "slides"
]
#: What the subfolders of a folder of images stand for; `auto`: what their names look like.
Subfolders = Literal["auto", "source", "slide", "patient", "label", "none"]
#: The pixels that boxes refer to: as stored, or of the picture turned upright by its EXIF orientation.
Drawn = Literal["stored", "upright"]
#: Columns that name what a row was taken from; by themselves they mean something within one source only.
IDENTITIES = ("patient", "slide", "group")
