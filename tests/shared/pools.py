"""Pools of cells with known classes, for tests of what is shown next."""

from __future__ import annotations

import numpy as np

from reddino.reviewing.pool import CellVectors, Labelled, Numbers, Pool

#: Cells of each class: the last is rare.
SIZES = (400, 300, 200, 12)
NAMES = ("disc", "oval", "target", "ring")


def clustered_pool(seed: int = 0, fields: int = 24) -> tuple[Pool, Numbers]:
    """Return the pool of `clustered_cells`, and their classes."""
    cells, classes = clustered_cells(seed, fields)
    return cells.pool(), classes


def clustered_cells(seed: int = 0, fields: int = 24) -> tuple[CellVectors, Numbers]:
    """Return cells in four clusters, dealt over fields, and their classes; the last cluster is far out."""
    draw = np.random.default_rng(seed)
    classes = draw.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    centres = np.eye(len(SIZES), 12) * 6
    centres[-1] *= 2.5
    vectors = (centres[classes] + draw.normal(size=(len(classes), 12))).astype(np.float32)
    places = np.arange(len(classes)) % fields
    return CellVectors(vectors, places, places), classes.astype(np.int64)


def answers(classes: Numbers, rows: Numbers) -> Labelled:
    """Return true labels of rows."""
    return Labelled(np.asarray(rows, np.int64), classes[rows], NAMES)
