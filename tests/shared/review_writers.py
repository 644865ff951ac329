"""Processes that write to a review, and report over a pipe what was confirmed to them."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

import numpy as np
from review_cells import review_cells

from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.records import Kind, Suggestion

CELLS = 400
#: Forked from a process that has imported all: a writer starts in milliseconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["review_writers", "review_servers"])


def write(where: str, reader: str, acts: int, seed: int, confirmed: Connection) -> None:
    """Record acts one after the other, and send the number, kind and cells of each that has returned."""
    draw = np.random.default_rng(seed)
    kinds: tuple[Kind, ...] = ("label", "none", "artefact", "note")
    with ReviewDatabase.open(where, review_cells(CELLS)) as review:
        ring = review.add_class("ring", reader=reader).number
        for _ in range(acts):
            if draw.random() < 0.2 and (undo := review.undo(reader)) is not None:
                confirmed.send((undo.number, undo.kind, undo.cells))
                continue
            kind = kinds[draw.integers(len(kinds))]
            cells = draw.choice(CELLS, size=draw.integers(1, 40), replace=False).tolist()
            made = review.record(
                reader,
                kind,
                cells,
                class_number=ring if kind == "label" else None,
                note="seen" if kind == "note" else "",
                suggestions={cells[0]: Suggestion("refit 1", "round", 0.5)},
            )
            confirmed.send((made.number, made.kind, made.cells))
    confirmed.send(None)
