"""The file that a path of a manifest reads: itself, its shard, or the microscope file it is a part of."""

from __future__ import annotations

from pathlib import Path

from reddino.smears.shards import split_member
from reddino.smears.slides.names import split_slide
from reddino.smears.stored_pictures import picture_state, picture_url


def file_of(path: str | Path) -> Path:
    """Return the file that a picture's path reads: for `slide.svs::x0-y0-w9-h9` it is `slide.svs`."""
    member = split_member(path)
    if member is not None:
        return member[0]
    part = split_slide(path)
    return Path(path) if part is None else part.file


def is_there(path: str | Path) -> bool:
    """Return whether the file that a picture's path reads is there; of a shard, not whether the member is."""
    url = picture_url(Path(path))
    if url is not None:
        return picture_state(Path(path), url) is not None
    try:
        file = file_of(path)
        return file.is_file() or (split_slide(path) is not None and file.is_dir())
    except OSError:  # a name that is too long for the file system
        return False
