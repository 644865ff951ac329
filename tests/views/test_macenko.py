"""Macenko's separation: as a kept library has it, and true to dyes that are known."""

from __future__ import annotations

import numpy as np
import pytest
from dyed_pictures import DYES, dyed

from reddino.views.macenko import Stains, absorbance, remix, separate

LIGHT = np.full(3, 240.0)
WANTED = Stains(np.array([[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]]), np.array([1.9705, 1.0308]))


@pytest.mark.parametrize("light", [(200, 210, 190), (235, 225, 200)])
def test_macenko__is_that_of_torchstain(light: tuple[int, int, int]) -> None:
    normalizers = pytest.importorskip("torchstain.numpy.normalizers", reason="pip install torchstain")
    library = normalizers.NumpyMacenkoNormalizer()
    assert np.array_equal(library.HERef, WANTED.vectors)
    image = dyed(light)
    wanted, _, _ = library.normalize(image, Io=240, alpha=1, beta=0.15, stains=False)
    counted = absorbance(image.reshape(-1, 3), LIGHT)
    own = separate(counted[~(counted < 0.15).any(axis=1)], counted)
    assert own is not None
    found = remix(image, own, WANTED, LIGHT, LIGHT).astype(int)
    # The library adds one to intensities without taking it away again, and cuts off what is past the point.
    assert np.abs(found - (wanted.astype(int) - 1))[wanted < 254].max() <= 1


def test_separate__finds_dyes_that_are_known() -> None:
    light = np.array([201.0, 211.0, 191.0])
    found = absorbance(dyed().reshape(-1, 3), light)
    stains = separate(found[found.max(axis=1) > 0.2], found)
    assert stains is not None
    # Nuclei lie within cells: pure azure is nowhere, and what is taken for it holds eosin too.
    assert np.degrees(np.arccos(stains.vectors[:, 1] @ DYES[:, 1])) < 3
    assert stains.vectors[0, 0] > stains.vectors[0, 1]
    normal = np.cross(DYES[:, 0], DYES[:, 1])
    assert np.abs(normal / np.linalg.norm(normal) @ stains.vectors).max() < 0.05


def test_separate__needs_a_plane() -> None:
    rng = np.random.default_rng(0)
    one = rng.uniform(0.2, 1, (100, 1)) * DYES[:, 1]
    for pixels in (one, one[:1], np.zeros((0, 3)), np.zeros((50, 3)), np.full((50, 3), 0.3)):
        assert separate(pixels, pixels) is None


def test_separate__is_the_same_whichever_way_the_axes_point() -> None:
    # Colours on both sides of the mean, where angles from a fixed axis would pass from 180 to -180 degrees.
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0.05, 1, (4000, 2)) @ DYES.T
    stains = separate(pixels, pixels)
    assert stains is not None
    assert stains.vectors == pytest.approx(DYES, abs=0.05)
    assert stains.amounts == pytest.approx([1, 1], abs=0.1)


def test_remix__in_its_own_stains_changes_nothing() -> None:
    image, light = dyed(noise=0.0), np.array([201.0, 211.0, 191.0])
    own = Stains(DYES, np.ones(2))
    assert np.abs(remix(image, own, own, light, light).astype(int) - image).max() <= 2


def test_remix__gives_glass_the_light_of_the_reference() -> None:
    glass = np.full((4, 4, 3), (200, 210, 190), np.uint8)
    found = remix(glass, Stains(DYES, np.ones(2)), WANTED, np.array([201.0, 211.0, 191.0]), LIGHT)
    assert (found == 239).all()
