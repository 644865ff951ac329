"""Tar shards in the WebDataset layout to rows of a manifest: images, with labels from the files beside them.

Files of one sample share their name up to the first dot: `a/17.png`, `a/17.cls` (the label), `a/17.json` (an
object of columns, or a list of such objects: a row each, such as the cells of a field).
"""

from __future__ import annotations

import json
import posixpath
from pathlib import Path
from typing import IO

import pyarrow as pa

from reddino.errors import RedDinoError
from reddino.smears.decode import IMAGE_SUFFIXES, Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import NUMBER_COLUMNS
from reddino.smears.shards import Shard, member_path, open_shard

SIDECARS = (".json", ".cls")
#: Larger label files are refused: they are none.
MAX_SIDECAR_BYTES = 16_000_000

Row = dict[str, str | float]


def read_shard(path: Path, failures: Failures) -> Manifest | None:
    """The images of one shard in its order; paths are relative to the shard's folder.

    Args:
        path: the tar file.
        failures: takes what cannot be used: members, label files, or the shard itself.

    Returns:
        None where the shard holds no image that can be listed.
    """
    try:
        shard = open_shard(path)
        rows = _rows(shard, failures)
    except ImageError as error:
        failures.add(error.path, error.reason)
        return None
    for member, reason in shard.faults:
        if not member:
            failures.add(path, reason)
        elif _is_image(member):
            failures.add(member_path(path, member), reason)
    if not rows:
        return None
    return _manifest(rows, path.parent)


def _rows(shard: Shard, failures: Failures) -> list[Row]:
    beside = {member for member in shard.members if posixpath.splitext(member)[1] in SIDECARS}
    rows: list[Row] = []
    source = shard.path.resolve().parent.name
    with shard.opened() as file:
        for member in shard.members:
            if not _is_image(member):
                continue
            image: Row = {"path": f"{shard.path.name}::{member}", "source": source}
            rows += [image | labels for labels in _labels(shard, file, _key(member), beside, failures)]
    return rows


def _labels(shard: Shard, file: IO[bytes], key: str, beside: set[str], failures: Failures) -> list[Row]:
    """What the files beside an image say of it: a row, or one a cell."""
    rows: list[Row] = [{}]
    for suffix in SIDECARS:
        member = key + suffix
        if member not in beside:
            continue
        try:
            if shard.members[member][1] > MAX_SIDECAR_BYTES:
                raise ValueError("it is too large for a label file")
            text = shard.read_from(file, member).decode("utf-8-sig")
            if suffix == ".json":
                rows = label_rows(text)
            elif text.strip():
                rows = [row | {"label": text.strip()} for row in rows]
        except ImageError as error:
            failures.add(error.path, error.reason)
        except (ValueError, RecursionError, RedDinoError) as error:
            failures.add(member_path(shard.path, member), f"labels not read: {str(error).rstrip('.')}")
    return rows


def label_rows(text: str) -> list[Row]:
    """What a .json label file says: a row of an image, or one a cell; at least one.

    Raises:
        ValueError, RecursionError, RedDinoError: it is none, or breaks a rule of manifests.
    """
    found = json.loads(text)
    entries = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("neither an object nor a list of objects")
    rows = [_columns(entry) for entry in entries] or [{}]
    # The rules of a manifest (no y without x, ...) are checked here: one bad file must not stop the others.
    _manifest([{"path": "-", **row} for row in rows], Path())
    return rows


def _columns(entry: dict[str, object]) -> Row:
    """Text and numbers of an object; what is nested is no column."""
    row: Row = {}
    for name, value in entry.items():
        if name == "path" or isinstance(value, dict | list) or value is None:
            continue
        if name in NUMBER_COLUMNS:
            row[name] = float(str(value))
        else:
            row[name] = str(value)
    return row


def _manifest(rows: list[Row], root: Path) -> Manifest:
    names = list(dict.fromkeys(name for row in rows for name in row))
    kinds = {name: pa.float64() if name in NUMBER_COLUMNS else pa.string() for name in names}
    return Manifest(
        pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}),
        root,
    )


def _is_image(member: str) -> bool:
    return not posixpath.basename(member).startswith(".") and member.lower().endswith(IMAGE_SUFFIXES)


def _key(member: str) -> str:
    folder, name = posixpath.split(member)
    return posixpath.join(folder, name.partition(".")[0])
