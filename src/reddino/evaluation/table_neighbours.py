"""What k-NN loses by seeking neighbours in a sample: against the exact ones among all cells of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.embedding.view_encoder import Vectors
from reddino.evaluation import knn
from reddino.evaluation.chosen_rows import ChosenRows
from reddino.evaluation.classifiers import NEIGHBOURS, unit_length
from reddino.evaluation.nearest import nearest
from reddino.evaluation.protocol import Mask, TablePredictions, Tested
from reddino.evaluation.question import SIDES_GIVEN, Question
from reddino.evaluation.row_facts import NONE, RowFacts
from reddino.evaluation.sampling import DrawnSample, NeighbourLoss
from reddino.evaluation.splits import Split
from reddino.foundations.stages import stage

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

#: Tested cells, drawn at random, whose neighbours are sought among all cells of the table.
QUERIES = 1_000


@dataclass(frozen=True)
class _Query:
    """Some tested cells of one split.

    Attributes:
        vectors: (q, d) of the cells.
        among: which combinations (k,) of values train, as far as values decide.
        without: rows of the table that do not train, sorted.
    """

    vectors: Vectors
    among: Mask
    without: Indices


def with_neighbour_loss(
    predictions: TablePredictions, table: TableOnDisk, chosen: ChosenRows, question: Question
) -> TablePredictions:
    """Return predictions of a sample with what their k-NN loses against all cells of the table.

    Neighbours are exact: the vectors of all cells that may train are read once, a row group at a time. Cells
    train that neither are tested by the split, nor share a group with those that are where groups stay
    together. Few-shot trains on the same few cells whatever the table holds, and loses nothing.
    """
    names = [name for name in predictions.tests[0].predictions if name in NEIGHBOURS]
    if chosen.sample is None or not names or question.protocol == "few-shot":
        return predictions
    queries, tests, places = [], [], []
    for split, test, own in _drawn(predictions, question.seed):
        among, without = _training(split, chosen, question)
        queries.append(_Query(predictions.emb.vectors[test.rows[own]], among, without))
        tests.append(test)
        places.append(own)
    classes = _class_numbers(chosen.facts, predictions.names)
    losses = []
    for cosine in (False, True):
        mine = [name for name in names if name.startswith("cosine") == cosine]
        if mine:
            most = max(NEIGHBOURS[name] for name in mine)
            found = _nearest_classes(table, chosen.facts, classes, queries, most, cosine=cosine)
            losses += [_loss(name, tests, places, found) for name in mine]
    count = sum(map(len, places))
    sample = replace(chosen.sample, queries=count, neighbours=tuple(losses))
    return replace(predictions, sample=sample, notes=_notes(predictions.notes, chosen.sample, sample))


def _notes(notes: Sequence[str], before: DrawnSample, after: DrawnSample) -> tuple[str, ...]:
    """Return notes with the sentences on a sample brought up to date."""
    return (*after.notes(), *notes[len(before.notes()) :])


def _drawn(predictions: TablePredictions, seed: int) -> list[tuple[Split, Tested, Indices]]:
    """Return the tests of which cells were drawn, each with its split and the places of these cells."""
    splits = [split for split in predictions.plan.splits for _ in split.tests]
    sizes = np.array([len(test.rows) for test in predictions.tests], np.int64)
    total = int(sizes.sum())
    draw = np.random.default_rng([seed, QUERIES])
    places = np.sort(draw.choice(total, min(QUERIES, total), replace=False))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    found = []
    for number, (split, test) in enumerate(zip(splits, predictions.tests, strict=True)):
        own = places[(places >= starts[number]) & (places < starts[number + 1])] - starts[number]
        if len(own):
            found.append((split, test, own))
    return found


def _training(split: Split, chosen: ChosenRows, question: Question) -> tuple[Mask, Indices]:
    """Return which combinations of values train in a split, and rows of the table that do not."""
    facts = chosen.facts
    tested = np.sort(chosen.rows[np.concatenate([rows for _, rows in split.tests])])
    takes_part = facts.class_of != NONE
    if question.protocol == "kfold":
        return takes_part, tested
    own = facts.combination[tested]
    if question.protocol not in SIDES_GIVEN:
        return takes_part & ~np.isin(facts.group_of, facts.group_of[own]), tested
    sides = facts.side_of[facts.combination[chosen.rows[split.train]]]
    among = takes_part & np.isin(facts.side_of, sides) & ~np.isin(facts.apart_of, facts.apart_of[own])
    return among, tested


def _class_numbers(facts: RowFacts, names: Sequence[str]) -> Indices:
    """Return the class (k,) of each combination by the numbers of `names`; further classes come after."""
    number = {name: place for place, name in enumerate(dict.fromkeys([*names, *facts.classes]))}
    of_class = np.array([number[name] for name in facts.classes], np.int64)
    found: Indices = np.where(facts.class_of == NONE, NONE, of_class[facts.class_of])
    return found


def _nearest_classes(
    table: TableOnDisk,
    facts: RowFacts,
    classes: Indices,
    queries: Sequence[_Query],
    k: int,
    *,
    cosine: bool,
) -> list[Indices]:
    """Return the classes (q, k) of the nearest cells that train, nearest first, for each of `queries`."""
    wanted = [unit_length(one.vectors) if cosine else one.vectors for one in queries]
    best = [(np.full((len(one), k), np.inf), np.zeros((len(one), k), np.int64)) for one in wanted]
    everyone = facts.class_of[facts.combination] != NONE
    with stage("comparing with all cells") as advance:
        for block in table.blocks(["path"], vectors=True, among=everyone):
            inside = everyone[block.start : block.start + len(block)]
            taking = block.columns.filter(pa.array(inside))
            require_finite(Embeddings(block.vectors[inside], taking, table.meta))
            vectors = block.vectors.astype(np.float32)
            vectors = unit_length(vectors) if cosine else vectors
            stop = block.start + len(block)
            own = facts.combination[block.start : stop]
            for number, one in enumerate(queries):
                train = one.among[own]
                barred = one.without[
                    np.searchsorted(one.without, block.start) : np.searchsorted(one.without, stop)
                ]
                train[barred - block.start] = False
                rows = np.flatnonzero(train)
                if len(rows):
                    near = _nearest(vectors[rows], classes[own[rows]], wanted[number], k)
                    best[number] = _merged(best[number], near)
            advance(stop, len(table))
    return [found for _, found in best]


def _nearest(train: Vectors, classes: Indices, queries: Vectors, k: int) -> tuple[Real, Indices]:
    """Return squared distances (q, <= k) of the nearest of some cells, and their classes."""
    found = nearest(train, queries, min(k, len(train)))
    apart = np.empty(found.shape)
    for row, query in enumerate(queries):
        gaps = train[found[row]].astype(np.float64) - query
        apart[row] = np.einsum("ij,ij->i", gaps, gaps)
    return apart, classes[found]


def _merged(best: tuple[Real, Indices], near: tuple[Real, Indices]) -> tuple[Real, Indices]:
    """Return the nearest (q, k) of what was found before and of a block; equals in the table's order."""
    k = best[0].shape[1]
    apart, classes = (np.concatenate(pair, axis=1) for pair in zip(best, near, strict=True))
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(apart, order, axis=1), np.take_along_axis(classes, order, axis=1)


def _loss(
    name: str, tests: Sequence[Tested], places: Sequence[Indices], found: Sequence[Indices]
) -> NeighbourLoss:
    predicted: Mapping[bool, list[Indices]] = {True: [], False: []}
    for test, own, classes in zip(tests, places, found, strict=True):
        truth = test.truth[own]
        predicted[True].append(test.predictions[name].predicted[own] == truth)
        predicted[False].append(knn.vote(classes[:, : NEIGHBOURS[name]]) == truth)
    in_sample, in_table = (float(np.concatenate(predicted[way]).mean()) for way in (True, False))
    return NeighbourLoss(name, in_sample, in_table)
