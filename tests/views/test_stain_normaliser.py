"""Stain normalisation of pictures: what becomes alike, what stays, and what is left as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from dyed_pictures import DYES, dyed

from reddino.smears.decode import decode_image
from reddino.smears.manifest import read_manifest
from reddino.views.choices import Stain
from reddino.views.stain_normaliser import StainNormaliser, normalise_stain
from reddino.views.stain_reference import REFERENCE

BOTH: tuple[Stain, ...] = ("reinhard", "macenko")
PURPLE, PALE = (200, 210, 190), (245, 225, 215)


def normalised(image: np.ndarray, stain: Stain) -> np.ndarray:
    found = normalise_stain(image, stain)
    assert not isinstance(found, str), found
    return found


def colours(image: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean colours of the cells and of the glass; `of` tells which is which."""
    cells = of[..., 1] < 0.85 * np.median(of[..., 1])
    return image[cells].mean(axis=0), image[~cells].mean(axis=0)


@pytest.mark.parametrize("stain", BOTH)
def test_normalise__brings_two_laboratories_nearer(stain: Stain) -> None:
    one, other = dyed(PURPLE), dyed(PALE, strength=0.7)
    before = [np.abs(a - b).max() for a, b in zip(colours(one, one), colours(other, other), strict=True)]
    after = [
        np.abs(a - b).max()
        for a, b in zip(
            colours(normalised(one, stain), one), colours(normalised(other, stain), other), strict=True
        )
    ]
    assert min(before) > 20
    assert max(after) < 9


@pytest.mark.parametrize("stain", BOTH)
@pytest.mark.parametrize("cells", [6, 40])
def test_normalise__keeps_background_background_however_many_cells_there_are(
    stain: Stain, cells: int
) -> None:
    image = dyed(cells=cells)
    found = normalised(image, stain)
    of_cells, of_glass = colours(found, image)
    assert of_glass == pytest.approx(REFERENCE.light - 1, abs=14)
    assert (of_glass - of_cells)[1] > 30


@pytest.mark.parametrize("stain", BOTH)
def test_normalise__moves_no_edge(stain: Stain) -> None:
    image = dyed(noise=0.3)
    edges = [cv2.Laplacian(one[..., 1], cv2.CV_64F).ravel() for one in (image, normalised(image, stain))]
    assert np.corrcoef(*edges)[0, 1] > 0.9


def noise() -> np.ndarray:
    draw = np.random.default_rng(0)
    return np.clip(draw.normal(210, 3, (120, 150, 3)), 0, 255).astype(np.uint8)


def grey() -> np.ndarray:
    return np.repeat(dyed()[..., 1:2], 3, axis=2)


def dark() -> np.ndarray:
    return (dyed() // 5).astype(np.uint8)


UNUSABLE: dict[str, tuple[Callable[[], np.ndarray], tuple[Stain, ...]]] = {
    "empty glass": (noise, BOTH),
    "one colour": (lambda: np.full((64, 64, 3), 200, np.uint8), BOTH),
    "black": (lambda: np.zeros((64, 64, 3), np.uint8), BOTH),
    "white": (lambda: np.full((64, 64, 3), 255, np.uint8), BOTH),
    "tiny": (lambda: np.full((2, 2, 3), (10, 200, 100), np.uint8), BOTH),
    "grey": (grey, BOTH),
    "dark": (dark, BOTH),
    "one stain": (lambda: dyed(nuclei=False), ("macenko",)),
    "no dyes": (lambda: dyed(dyes=np.array([[0.9, -0.6], [0.3, 0.7], [0.2, 0.4]])), ("macenko",)),
}


@pytest.mark.parametrize(
    ("name", "stain"), [(name, stain) for name, (_, stains) in UNUSABLE.items() for stain in stains]
)
def test_normaliser__leaves_a_picture_as_it_is_where_nothing_can_be_estimated(
    name: str, stain: Stain, caplog: pytest.LogCaptureFixture
) -> None:
    image, normaliser = UNUSABLE[name][0](), StainNormaliser(stain)
    before = image.copy()
    found = normaliser.of("a.png", image)
    assert np.array_equal(found, before) and np.array_equal(image, before)
    assert list(normaliser.left) == ["a.png"]
    with caplog.at_level(logging.WARNING):
        normaliser.report()
    assert "the stain of 1 picture could not be estimated" in caplog.text
    assert normaliser.left["a.png"] in caplog.text


def test_normalise__stretches_a_pale_colour_so_far_and_no_further() -> None:
    # A picture with hardly any colour: as far as the reference its noise would become colour.
    image = dyed(strength=0.25, noise=2.0)
    found = normalise_stain(image, "reinhard")
    assert (
        isinstance(found, str)
        or np.abs(np.diff(found.astype(int), axis=1)).mean()
        < 4.5 * np.abs(np.diff(image.astype(int), axis=1)).mean()
    )


def test_normaliser__of_none_gives_the_same_pixels_back() -> None:
    image, normaliser = noise(), StainNormaliser("none")
    assert normaliser.of("a.png", image) is image
    assert not normaliser.left


def test_reference__is_the_one_that_tables_were_made_with() -> None:
    # Tables record the name of the way alone: another reference would need another name.
    assert REFERENCE.light.tolist() == [197, 199, 191]
    assert REFERENCE.lab.mean.tolist() == [68.4, 6.8, 0.9]
    assert REFERENCE.lab.spread.tolist() == [14.1, 9.0, 9.6]
    assert REFERENCE.stains.vectors.T.tolist() == [[0.622, 0.682, 0.385], [0.257, 0.928, 0.27]]
    assert REFERENCE.stains.amounts.tolist() == [0.93, 1.53]
    assert np.linalg.norm(REFERENCE.stains.vectors, axis=0) == pytest.approx([1, 1], abs=1e-2)
    assert DYES.shape == REFERENCE.stains.vectors.shape


@pytest.mark.smears
@pytest.mark.parametrize("stain", BOTH)
def test_normalise__brings_real_laboratories_nearer(smears: Path, stain: Stain) -> None:
    # Two laboratories of which one stains red cells pink on green glass, the other purple on pink.
    found: dict[str, list[list[np.ndarray]]] = {}
    for source in ("sigtuple_fields", "txl_pbc"):
        manifest = read_manifest(smears / source / "manifest.csv")
        images = [decode_image(manifest.root / name) for name in manifest.images()[0][:6]]
        pairs = [(image, normalise_stain(image, stain)) for image in images]
        kept = [pair for pair in pairs if not isinstance(pair[1], str)]
        assert len(kept) >= 3
        found[source] = [[one.mean(axis=(0, 1)) for one in side] for side in zip(*kept, strict=True)]
    one, other = (np.array(sides).mean(axis=1) for sides in found.values())
    before, after = np.abs(one - other).mean(axis=1)
    assert after < before
