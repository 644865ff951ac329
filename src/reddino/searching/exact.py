"""Exact search by cosine distance over blocks of vectors, with memory for a block and the hits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from reddino.foundations.errors import RedDinoError
from reddino.searching.candidates import Candidates

Real = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Stored = npt.NDArray[np.floating[Any]]

#: Queries whose distances to a block are held at once.
QUERIES = 256
#: Rows of a block that are compared at once.
ROWS = 16_384
#: Of what is no hit.
NONE = -1


@dataclass(frozen=True)
class NearestRows:
    """The nearest rows of queries.

    Attributes:
        rows: (q, top) numbers of rows, nearest first; -1 where there are no more.
        distances: (q, top) cosine distances, 0 to 2; inf where there are no more.
    """

    rows: Indices
    distances: Real


def unit_vectors(vectors: Stored) -> Real:
    """Return vectors (n, d) of length 1; those of length 0 stay, and are at a distance of 1 from all.

    Raises:
        RedDinoError: one holds numbers that are not finite.
    """
    exact = _as_float32(vectors)
    exact /= _lengths(exact)[:, None]
    return exact


def _as_float32(vectors: Stored) -> Real:
    """Return a copy of vectors (n, d) as float32."""
    # numpy takes six times as long for float16.
    copied: Real = torch.from_numpy(np.array(vectors)).float().numpy()
    return copied


def _lengths(vectors: Real) -> Real:
    """Return the lengths (n,) of vectors (n, d), 1 of those of length 0.

    Raises:
        RedDinoError: one holds numbers that are not finite.
    """
    length: Real = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    if not np.isfinite(length).all():
        raise RedDinoError(
            "the table holds vectors that are not finite: embed again with --precision fp32 and --dtype "
            "float32"
        )
    length[length == 0] = 1
    return length


def nearest_in(
    blocks: Iterable[tuple[int, Stored]], queries: Real, top: int, candidates: Candidates
) -> NearestRows:
    """Return the nearest rows of queries; equally near ones come in the order of the table.

    Args:
        blocks: number of the first row, and vectors (n, d) as they are stored, in order.
        queries: (q, d) of length 1.
        top: rows of each query.
        candidates: which rows may be hits.
    """
    rows = np.full((len(queries), top), NONE, np.int64)
    distances = np.full((len(queries), top), np.inf, np.float32)
    for first, stored in blocks:
        for place in range(0, len(stored), ROWS):
            start = first + place
            block = _as_float32(stored[place : place + ROWS])
            lengths = _lengths(block)
            if candidates.allowed is not None and not candidates.allowed[start : start + len(block)].any():
                continue
            for query in range(0, len(queries), QUERIES):
                some = slice(query, query + QUERIES)
                apart: Real = np.maximum(1 - (queries[some] @ block.T) / lengths, 0)
                numbers = np.arange(query, min(query + QUERIES, len(queries)))
                barred = candidates.barred(numbers, start, start + len(block))
                if barred is not None:
                    apart[barred] = np.inf
                rows[some], distances[some] = _merged(rows[some], distances[some], apart, start)
    return NearestRows(rows, distances)


def _merged(rows: Indices, distances: Real, apart: Real, start: int) -> tuple[Indices, Real]:
    """Return the nearest (q, top) of what was found before and of a block's distances (q, n)."""
    top = rows.shape[1]
    if not (apart < distances[:, -1:]).any():
        return rows, distances
    if apart.shape[1] > top:
        columns = np.sort(np.argpartition(apart, top - 1, axis=1)[:, :top], axis=1)
    else:
        columns = np.tile(np.arange(apart.shape[1]), (len(apart), 1))
    near = np.concatenate([distances, np.take_along_axis(apart, columns, axis=1)], axis=1)
    named = np.concatenate([rows, columns + start], axis=1)
    order = np.argsort(near, axis=1, kind="stable")[:, :top]
    near = np.take_along_axis(near, order, axis=1)
    return np.where(np.isinf(near), NONE, np.take_along_axis(named, order, axis=1)), near
