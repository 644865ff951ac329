"""Tar shards in the WebDataset layout to rows of a manifest: images, with labels from the files next to them.

Next to an image `a/17.png` stand `a/17.cls` (the label) and `a/17.json` (an object of columns, or a list of
such objects: a row each, such as the cells of a field); `shard_pairs` finds which belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import decode, parse_json
from reddino.smears.decode import Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import COLUMNS, NUMBER_COLUMNS
from reddino.smears.shard_pairs import is_image, pair
from reddino.smears.shards import Shard, member_path, open_shard

#: Larger files are refused: they are not label files.
MAX_SIDECAR_BYTES = 16_000_000
#: Lists of other formats, whose cells would be lost without a word.
_FOREIGN = ("annotations", "bbox", "boxes", "objects", "shapes")

Row = dict[str, str | float]
#: Takes the name of a member and what is wrong with it.
Report = Callable[[str, str], None]


def read_shard(path: Path, failures: Failures) -> Manifest | None:
    """List the images of one shard in its order; paths are relative to the shard's folder.

    Args:
        path: the tar file.
        failures: takes what cannot be used: members, label files, or the shard itself.

    Returns:
        None where the shard holds no image that can be listed.
    """
    source = path.resolve().parent.name
    try:
        rows = [
            {"path": f"{path.name}::{member}", "source": source, **labels}
            for member, found in labelled_images(open_shard(path), failures)
            for labels in found
        ]
    except ImageError as error:
        failures.add(error.path, error.reason)
        return None
    return _manifest(rows, path.parent) if rows else None


def labelled_images(shard: Shard, failures: Failures) -> Iterator[tuple[str, list[Row]]]:
    """Yield the images of a shard with the labels of their label files: one row, or one per cell.

    Args:
        shard: the index.
        failures: takes members that cannot be read, label files that belong to no image, and the shard
            itself where it breaks off.
    """

    def report(member: str, reason: str) -> None:
        failures.add(member_path(shard.path, member), reason)

    pairs = pair(shard.members)
    for member, reason in pairs.faults:
        report(member, reason)
    with shard.opened() as file:
        for member, sidecars in pairs.labels.items():
            contents = []
            for name in sidecars:
                if shard.members[name][1] > MAX_SIDECAR_BYTES:
                    report(name, "labels not read: it is too large for a label file")
                    continue
                contents.append((name, shard.read_from(file, name)))
            yield member, rows_of(contents, report)
    for member, reason in shard.faults:
        if not member:
            failures.add(shard.path, reason)
        elif is_image(member):
            report(member, reason)


def rows_of(sidecars: Sequence[tuple[str, bytes]], report: Report) -> list[Row]:
    """Return the rows of the label files (name, content) of one image: one, or one per cell; at least one."""
    rows: list[Row] = [{}]
    for name, data in sidecars:
        try:
            if name.lower().endswith(".json"):
                rows = label_rows(data)
            elif data.strip() and (label := decode(data, "it").strip()):
                rows = [row | {"label": label} for row in rows]
        except (ValueError, RedDinoError) as error:
            report(name, f"labels not read: {str(error).rstrip('.')}")
    return rows


def label_rows(data: bytes) -> list[Row]:
    """Return the rows of a .json label file: one for an image, or one per cell; at least one.

    Raises:
        ValueError, RedDinoError: it is not one, or breaks a rule of manifests.
    """
    found = parse_json(data, "it", top=None)
    entries = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("neither an object nor a list of objects")
    rows = [_columns(entry) for entry in entries] or [{}]
    # The rules of a manifest (no y without x, ...) are checked here: one bad file must not stop the others.
    _manifest([{"path": "-", **row} for row in rows], Path())
    return rows


def _columns(entry: dict[str, object]) -> Row:
    """Return the text and the numbers of an object; nested values are not columns."""
    row: Row = {}
    known = any(name in COLUMNS for name in entry)
    for name, value in entry.items():
        if isinstance(value, list | dict) and name in _FOREIGN and not known:
            raise ValueError(
                f"what stands under '{name}' is not read; write x, y, w, h and label of each cell"
            )
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
