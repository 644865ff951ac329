"""A sheet of the cells that were parted against the labels, to be looked at: picture, labels, parts."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from cell_finding import Field
from finder.pictures import Picture
from finder.scoring import Found, pairs
from finder.targets import Floats

#: Side of a tile in pixels, and the diameters that it shows.
TILE, WIDE = 200, 3.0
#: Colours of the labels and of the parts, red green blue.
LABELS, PARTS = (0, 160, 0), (200, 0, 0)


def doubtful(field: Field, before: Found, after: Found) -> Iterator[Floats]:
    """Yield the parts (n, 4) of each cell that was parted and of which some part has no label."""
    _, hits = pairs(field.centres, after.centres, 0.5 * field.diameter)
    stayed = {tuple(box) for box in before.boxes.tolist()}
    new = np.array([tuple(box) not in stayed for box in after.boxes.tolist()], np.bool_)
    left = {tuple(box) for box in after.boxes.tolist()}
    for box in before.boxes:
        if tuple(box.tolist()) in left:
            continue
        inside = (after.centres >= box[:2]) & (after.centres <= box[:2] + box[2:])
        rows = np.flatnonzero(new & inside[:, 0] & inside[:, 1])
        if not np.isin(rows, hits).all():
            yield after.boxes[rows]


def tile(field: Field, parts: Floats) -> Picture:
    """Return a strip (TILE, 3 TILE, 3): the place as it is, with the labels, with the parts."""
    reach = round(WIDE / 2 * field.diameter)
    image = cv2.copyMakeBorder(field.image, reach, reach, reach, reach, cv2.BORDER_CONSTANT)
    x, y = ((parts[:, :2] + parts[:, 2:] / 2).mean(axis=0)).astype(int).tolist()
    shown = []
    for boxes, colour in ((parts[:0], PARTS), (field.boxes, LABELS), (parts, PARTS)):
        drawn = image.copy()
        for left, top, width, height in np.rint(boxes).astype(int).tolist():
            ends = (left + reach, top + reach), (left + width + reach, top + height + reach)
            cv2.rectangle(drawn, *ends, colour, 2)
        shown.append(cv2.resize(drawn[y : y + 2 * reach, x : x + 2 * reach], (TILE, TILE)))
    return np.asarray(np.hstack(shown), np.uint8)


def sheet(tiles: list[Picture], most: int, seed: int = 0) -> Picture:
    """Return a sheet, three tiles a row, of at most so many, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(tiles))[:most].tolist()
    chosen = [tiles[number] for number in order]
    chosen += [np.zeros_like(tiles[0])] * (-len(chosen) % 3)
    rows = [np.hstack(chosen[start : start + 3]) for start in range(0, len(chosen), 3)]
    return np.asarray(np.vstack(rows), np.uint8)
