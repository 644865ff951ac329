"""An index of a table's vectors (IVF-PQ of faiss) that is built once, lies on disk, and holds its recall."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.table_on_disk import TableOnDisk
from reddino.embedding.table_writer import only_writer
from reddino.foundations.atomic import draft_folder, sync_folder
from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import writing
from reddino.foundations.provenance import provenance
from reddino.foundations.stages import stage
from reddino.searching.candidates import Candidates
from reddino.searching.exact import NearestRows, Real, nearest_in, unit_vectors
from reddino.searching.faiss_library import faiss_for
from reddino.searching.index_files import (
    ABOUT_FILE,
    FORMAT,
    LISTS_FILE,
    VECTORS_FILE,
    IndexNotes,
    StoredVectors,
    is_of,
    open_vectors,
    read_notes,
)

log = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]
Stored = npt.NDArray[np.floating[Any]]

#: Numbers of a vector that one byte of its code stands for.
NUMBERS_A_BYTE = 8
#: Rows that a list, and the codes, are learned from.
SAMPLED_A_LIST, LEAST_SAMPLE = 40, 10_000
#: Rounds of k-means.
ROUNDS = 10
#: Vectors that are compared exactly for each hit.
SHORTLIST = 16
#: Hits and queries that the recall is measured with, and what it is to reach, if probing more lists helps.
TOP, QUERIES, WANTED = 20, 200, 0.95


@dataclass(frozen=True)
class Index:
    """An index that is open: its lists and vectors are read from disk as they are needed.

    Attributes:
        notes: what it records of itself.
        lists: of faiss.
        vectors: as they are stored.
    """

    notes: IndexNotes
    lists: Any
    vectors: StoredVectors

    def search(self, queries: Real, top: int, candidates: Candidates) -> NearestRows:
        """Return what `nearest_in` returns of queries (q, d) of length 1, but perhaps not all of it."""
        rows = np.full((len(queries), top), -1, np.int64)
        distances = np.full((len(queries), top), np.inf, np.float32)
        for mine in _alike(candidates, len(queries)):
            bitmap = self._allowed(candidates, int(mine[0]))
            found = self._shortlists(queries[mine], top + _most_own(candidates, mine), bitmap)
            for query, listed in zip(mine.tolist(), found, strict=True):
                own = candidates.own.get(query, np.empty(0, np.int64))
                near = np.unique(listed[(listed >= 0) & ~np.isin(listed, own)])
                apart = np.maximum(1 - unit_vectors(self.vectors.take(near)) @ queries[query], 0)
                order = np.argsort(apart, kind="stable")[:top]
                rows[query, : len(order)], distances[query, : len(order)] = near[order], apart[order]
        return NearestRows(rows, distances)

    def _shortlists(self, queries: Real, top: int, bitmap: Any) -> Indices:
        faiss = faiss_for(self.notes.rows)
        options = {"nprobe": self.notes.probed} | ({"sel": bitmap} if bitmap is not None else {})
        parameters = faiss.SearchParametersIVF(**options)
        wanted = min(self.notes.rows, self.notes.shortlist * top)
        found: Indices = self.lists.search(_padded(queries), wanted, params=parameters)[1]
        return found

    def _allowed(self, candidates: Candidates, query: int) -> Any:
        """Return a selector of faiss of the rows that may be hits of a query; None where all may be."""
        grouped = candidates.groups is not None and candidates.own_groups is not None
        if candidates.allowed is None and not grouped:
            return None
        allowed = np.ones(self.notes.rows, np.bool_) if candidates.allowed is None else candidates.allowed
        if candidates.groups is not None and candidates.own_groups is not None:
            allowed = allowed & (candidates.groups != candidates.own_groups[query])
        return faiss_for(self.notes.rows).IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def open_index(table: TableOnDisk, folder: Path, *, seed: int = 0) -> Index:
    """Open the index of a table, which is built where there is none, or one of the table as it was.

    Raises:
        RedDinoError: faiss is not installed, or the folder cannot be written.
    """
    faiss = faiss_for(len(table))
    notes = read_notes(folder)
    if notes is not None and not is_of(notes, table):
        log.warning("the index '%s' is of the table as it was before, and is built again", folder)
        notes = None
    if notes is None:
        with only_writer(table.folder):
            build_index(table, folder, seed=seed)
        notes = read_notes(folder)
    if notes is None:
        raise RedDinoError(f"'{folder}' is no index of this version: delete it, and it is built again")
    return _opened(faiss, folder, notes)


def build_index(table: TableOnDisk, folder: Path, *, seed: int = 0) -> None:
    """Build the index of a table in a folder, whole or not at all.

    The vectors are copied as they are stored, so that memory holds the sample and the codes: a byte for eight
    numbers, and 8 bytes a row.

    Raises:
        RedDinoError: no space left, or vectors that are not finite.
    """
    faiss = faiss_for(len(table))
    started = time.perf_counter()
    with writing(folder), draft_folder(folder.parent, folder.name) as draft:
        new = draft / "index"
        new.mkdir()
        _copy_vectors(table, new / VECTORS_FILE)
        dim, dtype = int(table.meta["dim"]), str(table.meta["dtype"])
        stored = StoredVectors(new / VECTORS_FILE, len(table), dim, dtype)
        lists, sample = _learned(faiss, stored, seed)
        with stage("filling the index") as advance:
            for start, vectors in stored.blocks():
                lists.add(_padded(unit_vectors(vectors)))
                advance(start + len(vectors), len(stored))
        faiss.write_index(lists, str(new / LISTS_FILE))
        notes = _noted(faiss, table, lists, sample, seed)
        del lists
        notes = _measured(Index(notes, _mapped(faiss, new), stored))
        done = notes.model_copy(update={"seconds": round(time.perf_counter() - started, 1)})
        (new / ABOUT_FILE).write_text(json.dumps(done.model_dump(), indent=1) + "\n", "utf-8")
        _sync(new)
        shutil.rmtree(folder, ignore_errors=True)
        new.replace(folder)
        sync_folder(folder.parent)
    log.info(
        "built the index '%s' (%s) in %.0f s: it finds %.1f %% of the %d nearest of %d rows",
        folder,
        done.kind,
        done.seconds,
        100 * done.recall,
        TOP,
        done.queries,
    )


def _noted(faiss: Any, table: TableOnDisk, lists: Any, sample: int, seed: int) -> IndexNotes:
    """Return the notes of an index that is not measured yet."""
    meta = table.meta
    origin = provenance(seed=seed, data=str(meta["data"]), model=str(meta["weights_hash"]))
    return IndexNotes(
        format=FORMAT,
        table=table.fingerprint(),
        rows=len(table),
        dim=int(meta["dim"]),
        dtype=meta["dtype"],
        kind=f"IVF{lists.nlist},PQ{lists.pq.M}x{lists.pq.nbits}",
        lists=lists.nlist,
        probed=1,
        shortlist=SHORTLIST,
        sample=sample,
        seed=seed,
        queries=min(QUERIES, len(table)),
        recall=0.0,
        seconds=0.0,
        provenance={**origin, "faiss": faiss.__version__},
    )


def _sync(folder: Path) -> None:
    """Make the files of a folder survive a power cut, before it gets its name."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _opened(faiss: Any, folder: Path, notes: IndexNotes) -> Index:
    if not (folder / LISTS_FILE).is_file():
        raise RedDinoError(f"'{folder}' is damaged: delete it, and the same command builds it again")
    return Index(notes, _mapped(faiss, folder), open_vectors(folder, notes))


def _mapped(faiss: Any, folder: Path) -> Any:
    """Return the lists of an index, whose codes stay on disk until they are searched."""
    try:
        return faiss.read_index(str(folder / LISTS_FILE), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    except RuntimeError as error:
        raise RedDinoError(
            f"'{folder}' cannot be read as an index: delete it, and the same command builds it again"
        ) from error


def _copy_vectors(table: TableOnDisk, path: Path) -> None:
    """Write the vectors (n, d) of a table to one file, as they are stored."""
    # Not through a memory map: on a full disk, that ends the process without a message.
    with path.open("wb") as file, stage("copying the vectors") as advance:
        for block in table.blocks(vectors=True):
            file.write(np.ascontiguousarray(block.vectors, table.meta["dtype"]).data)
            advance(block.start + len(block), len(table))


def _learned(faiss: Any, stored: StoredVectors, seed: int) -> tuple[Any, int]:
    """Return an index without vectors whose lists and codes are learned from a sample, and its size."""
    rows, padded = len(stored), stored.dim + -stored.dim % NUMBERS_A_BYTE
    # About as many as a list has rows; of more, filling the index would take longer than it saves later.
    lists = 2 ** round(math.log2(max(1.0, 0.8 * math.sqrt(rows))))
    lists = max(1, min(lists, rows // SAMPLED_A_LIST))
    sample = min(rows, max(LEAST_SAMPLE, SAMPLED_A_LIST * lists))
    chosen = np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False))
    with stage("learning the index"):
        learned = _padded(unit_vectors(_some(stored, chosen)))
        coarse = faiss.IndexFlatIP(padded)
        # A code of b bits stands for one of 2 ** b vectors.
        bits = min(8, int(math.log2(sample)))
        index = faiss.IndexIVFPQ(
            coarse, padded, lists, padded // NUMBERS_A_BYTE, bits, faiss.METRIC_INNER_PRODUCT
        )
        index.own_fields = True
        coarse.this.disown()
        for parameters in (index.cp, index.pq.cp):
            parameters.niter, parameters.seed = ROUNDS, seed % 2**31
            # faiss prints warnings of its own where a sample is small.
            parameters.min_points_per_centroid = 1
        index.train(learned)
    return index, sample


def _some(stored: StoredVectors, rows: Indices) -> Stored:
    """Return the vectors (n, d) of many rows (n,), which are sorted."""
    found = [
        vectors[rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + len(vectors))] - start]
        for start, vectors in stored.blocks()
    ]
    return np.concatenate(found)


def _measured(index: Index) -> IndexNotes:
    """Return the notes of an index with its recall, probing as few lists as reach what is wanted."""
    draw = np.random.default_rng(index.notes.seed + 1)
    rows = np.sort(draw.choice(index.notes.rows, index.notes.queries, replace=False))
    queries = unit_vectors(index.vectors.take(rows))
    own = {place: rows[place : place + 1] for place in range(len(rows))}
    candidates = Candidates(index.notes.rows, own=own)
    top = min(TOP, index.notes.rows - 1)
    with stage("measuring the index"):
        exact = nearest_in(index.vectors.blocks(), queries, top, candidates).rows
        probed = min(4, index.notes.lists)
        while True:
            notes = index.notes.model_copy(update={"probed": probed})
            found = Index(notes, index.lists, index.vectors).search(queries, top, candidates).rows
            recall = float(
                np.mean([len(np.intersect1d(a, b)) / top for a, b in zip(exact, found, strict=True)])
            )
            if recall >= WANTED or probed >= notes.lists:
                return notes.model_copy(update={"recall": round(recall, 4)})
            probed = min(2 * probed, notes.lists)


def _padded(vectors: Real) -> Real:
    """Return vectors (n, d) with zeros up to a length that the codes divide, which changes no distance."""
    more = -vectors.shape[1] % NUMBERS_A_BYTE
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, more))) if more else vectors, np.float32)


def _alike(candidates: Candidates, queries: int) -> Iterator[Indices]:
    """Yield the numbers of queries that exclude the same rows but themselves."""
    if candidates.groups is None or candidates.own_groups is None:
        yield np.arange(queries)
        return
    for group in np.unique(candidates.own_groups).tolist():
        yield np.flatnonzero(candidates.own_groups == group)


def _most_own(candidates: Candidates, queries: Indices) -> int:
    return max((len(candidates.own.get(query, ())) for query in queries.tolist()), default=0)
