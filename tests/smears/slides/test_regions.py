"""Regions cover a slide: their cores without overlap, their rectangles with a margin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reddino.smears.formats.samples import Samples
from reddino.smears.slides.interface import Rectangle, SlideReader
from reddino.smears.slides.regions import region_margin, slide_regions


class Blank(SlideReader):
    """A slide without a file."""

    def __init__(self, width: int, height: int, um: float | None) -> None:
        self.path, self.size, self.level_sizes = Path("blank.svs"), (width, height), ((width, height),)
        self.um_per_px, self.about = um, {}

    def _samples(self, rectangle: Rectangle, level: int, plane: int, channel: int) -> Samples:
        raise AssertionError

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("width", "height", "um"), [(5000, 2100, 0.25), (4097, 100, None), (2048, 2048, 1.0), (1, 1, None)]
)
def test_slide_regions__cover_every_pixel_once(width: int, height: int, um: float | None) -> None:
    regions = slide_regions(Blank(width, height, um))
    margin = region_margin(um)
    seen = np.zeros((height, width), np.uint8)
    for number, region in enumerate(regions):
        x, y, w, h = region.core
        assert region.number == number
        assert max(w, h) <= 2048
        seen[y : y + h, x : x + w] += 1
        left, top = max(0, x - margin), max(0, y - margin)
        right, bottom = min(width, x + w + margin), min(height, y + h + margin)
        assert region.rectangle == (left, top, right - left, bottom - top)
    assert (seen == 1).all()
    assert [region.core[:2][::-1] for region in regions] == sorted(
        region.core[:2][::-1] for region in regions
    )


def test_slide_regions__are_of_one_size() -> None:
    """No sliver of a few pixels is left at the right border."""
    widths = {region.core[2] for region in slide_regions(Blank(2048 * 3 + 5, 100, None))}
    assert max(widths) - min(widths) <= 1


def test_region_margin__is_a_length_on_the_slide() -> None:
    assert region_margin(0.25) == 160
    assert region_margin(0.1) == 400
    assert region_margin(None) == 160
