"""File names of pictures: those that are read, and those that look like one and are not."""

from __future__ import annotations

#: Suffixes of the files that folders and shards are searched for, lower case.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp")
