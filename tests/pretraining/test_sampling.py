"""Which patch is which sample: every one once an epoch, seeded, in pixels or cell diameters."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.image_index import ImageIndex
from reddino.pretraining.data.sampling import Patch, PatchOrder, PatchSpec, sample_rng


def index_of(
    sizes: list[tuple[int, int]], sources: list[str] | None = None, diameter: float = 20.0, scale: float = 1.0
) -> ImageIndex:
    """An index of images of the given (width, height)."""
    count = len(sizes)
    width, height = (np.array(side, np.int64) for side in zip(*sizes, strict=True))
    names, codes = np.unique(sources or ["a"] * count, return_inverse=True)
    return ImageIndex(
        row=np.arange(count),
        height=height,
        width=width,
        offset=np.zeros(count, np.int64),
        scale=np.full(count, scale),
        cell_diameter=np.full(count, diameter),
        source=codes,
        source_names=names,
        hashes=np.zeros((count, 2), np.uint64),
    )


def patches(order: PatchOrder, numbers: range, seed: int = 0) -> list[Patch]:
    return [order.patch(number, sample_rng(seed, number)) for number in numbers]


def epoch(order: PatchOrder, number: int = 0) -> list[Patch]:
    length = order.samples_per_epoch
    return patches(order, range(number * length, (number + 1) * length))


SIZES = [(64, 48), (40, 40), (100, 64), (20, 90)]


@pytest.mark.parametrize("unit", ["px", "image"])
def test_order__has_every_image_once_an_epoch(unit: Any) -> None:
    order = PatchOrder(index_of(SIZES), PatchSpec(16, unit, an_epoch="one"), seed=1)
    assert order.samples_per_epoch == 4
    for number in range(3):
        assert sorted(patch.image for patch in epoch(order, number)) == [0, 1, 2, 3]


def test_order__counts_by_area() -> None:
    order = PatchOrder(index_of(SIZES), PatchSpec(16), seed=1)
    assert Counter(patch.image for patch in epoch(order)) == {0: 12, 1: 4, 2: 24, 3: 5}


@pytest.mark.parametrize("sizes", [SIZES, [(64, 48)]])
def test_grid__covers_each_image_without_overlap_once_an_epoch(sizes: list[tuple[int, int]]) -> None:
    order = PatchOrder(index_of(sizes), PatchSpec(16, layout="grid"), seed=1)
    covered = [np.zeros((height, width), int) for width, height in sizes]
    for patch in epoch(order, 2):
        covered[patch.image][patch.y : patch.y + patch.height, patch.x : patch.x + patch.width] += 1
    assert all(image.max() == 1 for image in covered)
    assert covered[0].min() == 1  # 64 x 48 is whole patches


def test_order__differs_between_seeds_and_epochs_and_stays_otherwise() -> None:
    index, spec = index_of([(160, 160)] * 5), PatchSpec(16)
    order = PatchOrder(index, spec, seed=1)
    first, second = epoch(order), epoch(order, 1)
    assert first != second
    assert first != epoch(PatchOrder(index, spec, seed=2))
    assert patches(PatchOrder(index, spec, seed=1), range(490, 510)) == first[490:] + second[:10]


def test_random_patches__lie_inside_and_anywhere() -> None:
    order = PatchOrder(index_of([(60, 40)]), PatchSpec(16, an_epoch="one"), seed=3)
    drawn = patches(order, range(600))
    assert {patch.x for patch in drawn} == set(range(45))
    assert {patch.y for patch in drawn} == set(range(25))
    assert all((patch.width, patch.height) == (16, 16) for patch in drawn)


def test_side__follows_the_unit_and_the_stored_scale() -> None:
    index = replace(index_of([(200, 200)], diameter=20.0, scale=0.5), um_per_px=np.array([0.1]))
    sides = {
        unit: epoch(PatchOrder(index, PatchSpec(4, unit), seed=0))[0].width
        for unit in ("px", "diameters", "um", "image")
    }
    assert sides == {"px": 2, "diameters": 80, "um": 20, "image": 200}


def test_side__is_at_most_that_of_the_image() -> None:
    patch = epoch(PatchOrder(index_of([(90, 30)]), PatchSpec(64), seed=0))[0]
    assert (patch.width, patch.height, patch.y) == (30, 30, 0)


def test_image_unit__takes_all_of_the_image() -> None:
    patch = epoch(PatchOrder(index_of([(90, 30)]), PatchSpec(64, "image"), seed=0))[0]
    assert patch == Patch(0, 0, 0, 90, 30)


def test_diameters__must_be_known() -> None:
    index = index_of([(90, 30)], sources=["lab 3"], diameter=float("nan"))
    with pytest.raises(RedDinoError, match="'lab 3'"):
        PatchOrder(index, PatchSpec(2, "diameters"), seed=0)
    PatchOrder(index, PatchSpec(20), seed=0)
    for um in (np.empty(0), np.array([np.nan])):
        with pytest.raises(RedDinoError, match="fill the column um_per_px"):
            PatchOrder(replace(index, um_per_px=um), PatchSpec(12, "um"), seed=0)


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, (90, 10)), (0.0, (50, 50)), (0.5, (75, 25))])
def test_source_exponent__sets_the_shares_of_an_epoch(exponent: float, expected: tuple[int, int]) -> None:
    index = index_of([(16, 16)] * 100, sources=["big"] * 90 + ["small"] * 10)
    order = PatchOrder(index, PatchSpec(16, source_exponent=exponent), seed=0)
    images = Counter(patch.image for patch in epoch(order))
    big = [images[image] for image in range(90)]
    small = [images[image] for image in range(90, 100)]
    assert (sum(big), sum(small)) == expected
    assert max(big) - min(big) <= 1 and max(small) - min(small) <= 1


def test_order__of_a_million_patches_is_fast() -> None:
    index = index_of([(1120, 1120)] * 50_000)
    started = time.perf_counter()
    order = PatchOrder(index, PatchSpec(224), seed=0)
    assert order.samples_per_epoch == 1_250_000
    patches(order, range(9 * 1_250_000, 9 * 1_250_000 + 100))
    assert time.perf_counter() - started < 5.0


CELLS = np.array(
    [[0, 30, 20], [0, 5, 20], [2, 50, 32], [2, 50.4, 33.6], [3, 10, 85], [3, 10, 45]], np.float64
)


def test_order__goes_round_each_cell_that_fits_once_an_epoch() -> None:
    index = replace(index_of(SIZES, ["a", "a", "b", "b"]), cells=CELLS)
    order = PatchOrder(index, PatchSpec(16, layout="cells"), seed=1)
    assert order.samples_per_epoch == 4  # one cell is too near the left edge, and one too near the lower
    for number in range(2):
        found = sorted((patch.image, patch.x, patch.y, patch.width) for patch in epoch(order, number))
        assert found == [(0, 22, 12, 16), (2, 42, 24, 16), (2, 42, 26, 16), (3, 2, 37, 16)]
    together = PatchOrder(index, PatchSpec(16, layout="cells", batch_from="source", batch=2), seed=1)
    assert [patch.image // 2 for patch in epoch(together)].count(1) == 3


def test_order__refuses_layout_cells_without_cells() -> None:
    with pytest.raises(RedDinoError, match=r"marks 0 cells.*find cells with `reddino cells`"):
        PatchOrder(index_of(SIZES), PatchSpec(16, layout="cells"), seed=1)
    with pytest.raises(RedDinoError, match=r"marks 1 cells.*make data\.patch_side smaller"):
        PatchOrder(replace(index_of(SIZES), cells=CELLS[1:2]), PatchSpec(16, layout="cells"), seed=1)
