"""Cells of overlapping regions are kept exactly once."""

import numpy as np

from reddino.regions.joining import kept_once


def _boxes(*centres: tuple[float, float]) -> np.ndarray:
    return np.array([(x - 15, y - 15, 30.0, 30.0) for x, y in centres])


def test_kept_once__one_of_two_that_both_regions_claim() -> None:
    boxes = _boxes((100.0, 50.0), (103.0, 51.0))
    assert kept_once(boxes, np.array([0, 1]), np.array([True, True]), 30.0).tolist() == [True, False]


def test_kept_once__one_of_two_that_each_region_leaves_to_the_other() -> None:
    boxes = _boxes((101.0, 50.0), (99.0, 50.0))
    assert kept_once(boxes, np.array([0, 1]), np.array([False, False]), 30.0).tolist() == [True, False]


def test_kept_once__the_sure_one_of_a_pair() -> None:
    boxes = _boxes((101.0, 50.0), (102.0, 50.0))
    assert kept_once(boxes, np.array([0, 1]), np.array([False, True]), 30.0).tolist() == [False, True]


def test_kept_once__the_whole_one_of_a_pair_that_one_region_cuts() -> None:
    boxes, own = _boxes((100.0, 50.0), (103.0, 51.0)), np.array([True, True])
    for cut in ([True, False], [False, True]):
        kept = kept_once(boxes, np.array([0, 1]), own, 30.0, cut=np.array(cut))
        assert kept.tolist() == [not one for one in cut]


def test_kept_once__not_what_only_a_neighbour_saw() -> None:
    boxes = _boxes((101.0, 50.0), (300.0, 50.0))
    assert kept_once(boxes, np.array([0, 1]), np.array([False, True]), 30.0).tolist() == [False, True]


def test_kept_once__both_of_two_that_touch_or_overlap() -> None:
    boxes = _boxes((90.0, 50.0), (110.0, 50.0))
    assert kept_once(boxes, np.array([0, 1]), np.array([True, True]), 30.0).all()
    # Within one region, the finder itself decides.
    close = _boxes((90.0, 50.0), (95.0, 50.0))
    assert kept_once(close, np.array([0, 0]), np.array([True, True]), 30.0).all()


def test_kept_once__a_cell_at_the_corner_of_four_regions() -> None:
    boxes = _boxes((100.0, 100.0), (101.0, 99.0), (99.0, 101.0), (100.0, 101.0))
    for own in ([True] * 4, [False] * 4, [False, True, False, True]):
        kept = kept_once(boxes, np.arange(4), np.array(own), 30.0)
        assert kept.sum() == 1


def test_kept_once__large_overlap_far_centres() -> None:
    boxes = np.array([(0.0, 0.0, 80.0, 30.0), (22.0, 0.0, 80.0, 30.0)])
    assert kept_once(boxes, np.array([0, 1]), np.array([True, True]), 30.0).sum() == 1
