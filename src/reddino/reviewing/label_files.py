"""Labels of a review as COCO JSON, and as tasks of Label Studio."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.version import __version__
from reddino.reviewing.boxes import boxes_of, picture_sizes
from reddino.smears.manifest import Manifest

#: Columns that go along with each label, where they are there.
ALONG = ("reader", "time", "consensus", "note", "slide", "patient", "source")


def write_coco(labels: Manifest, out: Path) -> None:
    """Write boxes and classes as COCO; `file_name` is relative to the folder of the file.

    Raises:
        RedDinoError: an image cannot be read, or a cell has no size.
    """
    sizes = picture_sizes(labels)
    boxes = boxes_of(labels, sizes).round(3).tolist()
    names = sorted(set(labels.strings("label")))
    number = {name: place for place, name in enumerate(names, 1)}
    images, codes = labels.images()
    content = {
        "info": {"description": "labels of a review", "version": __version__},
        "images": [
            {"id": place, "file_name": _relative(labels, name, out), "width": size[0], "height": size[1]}
            for place, (name, size) in enumerate(zip(images, sizes, strict=True), 1)
        ],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(codes[row]) + 1,
                "category_id": number[label],
                "bbox": boxes[row],
                "area": round(boxes[row][2] * boxes[row][3], 3),
                "iscrowd": 0,
                "attributes": _along(labels, row),
            }
            for row, label in enumerate(labels.strings("label"))
        ],
        "categories": [{"id": place, "name": name} for name, place in number.items()],
    }
    write_text(out, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_label_studio(labels: Manifest, out: Path) -> Path:
    """Write a task with its boxes for each image, and a labelling configuration next to it; return that.

    Pictures are named as Label Studio serves local files, relative to the folder of the task file, which is
    to be its document root.

    Raises:
        RedDinoError: as `write_coco`.
    """
    sizes = picture_sizes(labels)
    boxes = boxes_of(labels, sizes).tolist()
    images, codes = labels.images()
    results: list[list[dict[str, Any]]] = [[] for _ in images]
    for row, label in enumerate(labels.strings("label")):
        size = sizes[int(codes[row])]
        results[int(codes[row])].append(_region(row, label, boxes[row], size, _along(labels, row)))
    tasks = [
        {
            "data": {"image": f"/data/local-files/?d={quote(_relative(labels, name, out))}"},
            "annotations": [{"result": regions}],
        }
        for name, regions in zip(images, results, strict=True)
    ]
    write_text(out, json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
    classes = "".join(
        f"    <Label value={quoteattr(name)}/>\n" for name in sorted(set(labels.strings("label")))
    )
    config = out.with_name(f"{out.stem}.config.xml")
    write_text(
        config,
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{classes}  </RectangleLabels>\n</View>\n',
    )
    return config


def _region(
    row: int, label: str, box: list[float], size: tuple[int, int], along: Mapping[str, str]
) -> dict[str, Any]:
    """Return a box as Label Studio has it: in per cent of its picture."""
    percent = {
        name: round(100 * pixels / size[axis], 6)
        for name, pixels, axis in zip(("x", "y", "width", "height"), box, (0, 1, 0, 1), strict=True)
    }
    return {
        "id": f"cell{row + 1}",
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": {**percent, "rotation": 0, "rectanglelabels": [label]},
        "meta": {"text": [f"{name}: {value}" for name, value in along.items()]},
    }


def _along(labels: Manifest, row: int) -> dict[str, str]:
    have = [name for name in ALONG if name in labels.table.column_names]
    values = {name: labels.table.column(name)[row].as_py() for name in have}
    return {name: value for name, value in values.items() if value}


def _relative(labels: Manifest, name: str, out: Path) -> str:
    """Return an image as seen from the folder of a file."""
    if "::" in name:
        raise RedDinoError(
            f"{name}: the picture lies in a tar shard, which other programs do not read; unpack it"
        )
    path = os.path.relpath(os.path.realpath(labels.root / name), os.path.realpath(out.parent))
    return Path(path).as_posix()
