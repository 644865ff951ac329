"""Cells are drawn from the best squares, spread over them."""

import numpy as np

from reddino.regions.choosing import spread_over


def _squares(count: int, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    place = np.repeat(np.arange(count), each)
    return place, np.ones(count * each, np.int64), 1.0 - place / count


def test_spread_over__takes_the_best_squares_evenly() -> None:
    place, rank, score = _squares(40, 25)
    taken = spread_over(place, rank, score, 100, 0)
    assert len(taken) == 100
    counts = np.bincount(place[taken], minlength=40)
    assert counts[:12].min() >= 8 and counts[12:].sum() == 0


def test_spread_over__best_areas_first() -> None:
    place, rank, score = _squares(40, 25)
    rank = np.where(place >= 20, 1, 2)
    taken = spread_over(place, rank, score, 100, 0)
    assert place[taken].min() >= 20


def test_spread_over__follows_from_its_seed_alone() -> None:
    place, rank, score = _squares(20, 30)
    first = spread_over(place, rank, score, 50, 3)
    assert np.array_equal(first, spread_over(place, rank, score, 50, 3))
    assert not np.array_equal(first, spread_over(place, rank, score, 50, 4))


def test_spread_over__takes_all_of_few_and_fills_up_from_large_squares() -> None:
    place, rank, score = _squares(3, 4)
    assert len(spread_over(place, rank, score, 50, 0)) == 12
    uneven = np.repeat([0, 1], [3, 100])
    taken = spread_over(uneven, np.ones(103, np.int64), np.ones(103), 50, 0)
    assert len(taken) == 50 and np.sum(uneven[taken] == 0) == 3
