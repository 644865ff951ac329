"""Cutting commutes with turning and flipping the picture; the settings of a view survive their metadata."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reddino.views.cutting import cut_square
from reddino.views.spec import ViewSpec

PICTURE = arrays.arrays(np.uint8, st.tuples(st.integers(8, 24), st.integers(8, 24), st.just(3)))
#: Of little contrast, so that what the kernel overshoots is not cut off between its two directions.
SOFT = arrays.arrays(
    np.uint8, st.tuples(st.integers(8, 24), st.integers(8, 24), st.just(3)), elements=st.integers(96, 160)
)
#: Squares that shrink more than this are averaged in blocks first, which begin at their left and upper edge.
LARGEST_SHRINKING = 2.7
#: Of a square, in sixteenths of a pixel, so that mirrored coordinates are exact.
SIXTEENTHS = st.integers(0, 16 * 24).map(lambda number: number / 16)
SIDE = st.integers(2 * 16, 12 * 16).map(lambda number: number / 16)


@given(SOFT, SIXTEENTHS, SIXTEENTHS, SIDE, st.integers(4, 16))
@settings(deadline=None)
def test_cut_square__of_a_flipped_or_turned_picture_is_flipped_or_turned(
    picture: np.ndarray, cx: float, cy: float, side: float, output: int
) -> None:
    height, width = picture.shape[:2]
    cx, cy, side = cx % width, cy % height, min(side, LARGEST_SHRINKING * output)
    cut = cut_square(picture, cx, cy, side, output).astype(int)
    flipped = cut_square(np.ascontiguousarray(picture[:, ::-1]), width - cx, cy, side, output).astype(int)
    turned = cut_square(np.ascontiguousarray(picture.transpose(1, 0, 2)), cy, cx, side, output).astype(int)
    # Resampling rounds in one direction and then in the other.
    assert np.abs(flipped[:, ::-1] - cut).max() <= 1
    assert np.abs(turned.transpose(1, 0, 2) - cut).max() <= 1


@given(PICTURE, st.integers(2, 6), st.integers(0, 30), st.integers(0, 30))
@settings(deadline=None)
def test_cut_square__on_whole_pixels_copies_them(picture: np.ndarray, half: int, x: int, y: int) -> None:
    height, width = picture.shape[:2]
    if half * 2 > min(height, width):
        return
    x, y = half + x % (width - 2 * half + 1), half + y % (height - 2 * half + 1)
    cut = cut_square(picture, x, y, 2 * half, 2 * half)
    assert np.array_equal(cut, picture[y - half : y + half, x - half : x + half])


@given(
    PICTURE.filter(lambda picture: min(picture.shape[:2]) >= 8),
    SIXTEENTHS,
    SIXTEENTHS,
    SIDE,
    st.integers(4, 16),
)
@settings(deadline=None)
def test_cut_square__of_one_colour_has_that_colour(
    picture: np.ndarray, cx: float, cy: float, side: float, output: int
) -> None:
    plain = np.broadcast_to(picture[0, 0], picture.shape).copy()
    cut = cut_square(plain, cx % picture.shape[1], cy % picture.shape[0], side, output)
    assert cut.shape == (output, output, 3) and (cut == picture[0, 0]).all()


@given(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["image", "cells", "patches", "random"]),
            "side": st.floats(0.5, 300, width=32),
            "unit": st.sampled_from(["px", "diameters"]),
            "output": st.integers(1, 512),
            "border": st.sampled_from(["pad", "drop"]),
            "seed": st.integers(0, 9),
        }
    )
)
def test_view_spec__metadata_make_the_same_view(settings_of_view: dict[str, Any]) -> None:
    spec = ViewSpec(**settings_of_view)
    again = ViewSpec(**spec.metadata())
    assert again.metadata() == spec.metadata()
    assert again.needs_diameters == spec.needs_diameters
