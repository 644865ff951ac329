"""Dealing: squares stay with their pixels, whatever the batches; forecasts of what a pass will have."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from smear_fields import SIZE, make_fields

from reddino.embedding.batches import Forecast, rebatch
from reddino.views.by_image import ViewsByImage
from reddino.views.choices import ViewKind
from reddino.views.placing import SQUARE
from reddino.views.spec import ViewSpec


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_rebatch__keeps_rows_with_their_pixels(size: int) -> None:
    numbers = np.arange(23)
    pixels = numbers.astype(np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    borders = [0, 1, 1, 9, 14, 23]
    squares = np.zeros(23, SQUARE)
    squares["row"] = numbers
    stacks = [(squares[a:b], pixels[a:b]) for a, b in pairwise(borders)]
    batches = list(rebatch(stacks, size))
    assert all(len(rows) == size for rows, _ in batches[:-1])
    assert np.array_equal(np.concatenate([rows["row"] for rows, _ in batches]), numbers)
    assert np.array_equal(np.concatenate([images for _, images in batches]), pixels)


@pytest.mark.parametrize(
    ("kind", "totals"),
    [("cells", [84, 84, 77]), ("image", [12, 12, 11]), ("random", [24, 24, 22]), ("patches", [0, 144, 72])],
)
def test_forecast__from_what_is_listed_or_from_the_mean(
    tmp_path: Path, kind: ViewKind, totals: list[int]
) -> None:
    views = ViewsByImage(make_fields(tmp_path), ViewSpec(kind=kind, side=20, output=SIZE, per_image=2))
    forecast = Forecast(views, [(0, 12)], 0)
    seen = [forecast.total()]
    forecast.see(0, {"cells": 7, "image": 1, "random": 2, "patches": 12}[kind])
    seen.append(forecast.total())
    forecast.see(1, 0)  # an image that failed
    seen.append(forecast.total())
    assert seen == totals
