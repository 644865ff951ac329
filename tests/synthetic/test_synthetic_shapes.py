"""Each rendered morphology has the geometry that names it, measured on the painted haemoglobin."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import find_peaks
from skimage.measure import label, regionprops

from reddino.synthetic.canvas import BLUE, CHROMATIN, HAEMOGLOBIN, PX_PER_UM
from reddino.synthetic.morphologies import MORPHOLOGIES, draw_cell
from reddino.synthetic.paint import paint
from reddino.synthetic.patients import draw_patient
from reddino.synthetic.scene import Scene, Slide

SIDE = 18.0
CLEAN = Slide(haemoglobin=1.0, blue=1.0, chromatin=1.0, specks=0.0, crowd=1.0, overlap=0.0, plasma=0.0)


@cache
def drawn(morphology: str, count: int = 40) -> list[NDArray[np.float32]]:
    """Dye maps of single cells of different patients, each in the middle of an empty field."""
    maps = []
    for seed in range(count):
        rng = np.random.default_rng([seed, 99])
        cell = draw_cell(rng, morphology, draw_patient(seed).habit).moved(SIDE / 2, SIDE / 2)
        cell = replace(cell, blur=0.0)
        maps.append(paint(Scene(SIDE, SIDE, CLEAN, (cell,), (), (), (), seed)))
    return maps


def masks(morphology: str) -> list[NDArray[np.bool_]]:
    return [m[..., HAEMOGLOBIN] > 0.1 for m in drawn(morphology)]


def median(morphology: str, attribute: str) -> float:
    return float(np.median([getattr(regionprops(label(m))[0], attribute) for m in masks(morphology)]))


def aspect(morphology: str) -> float:
    cells = [regionprops(label(m))[0] for m in masks(morphology)]
    return float(np.median([c.axis_major_length / c.axis_minor_length for c in cells]))


def diameters(morphology: str) -> NDArray[np.float64]:
    """Equal-area diameters in micrometres."""
    return np.array([2 * np.sqrt(m.sum() / np.pi) / PX_PER_UM for m in masks(morphology)])


def ring_profile(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean haemoglobin in ten rings from the centre of mass to the boundary (in equal-area radii)."""
    haemoglobin = maps[..., HAEMOGLOBIN]
    ys, xs = np.nonzero(haemoglobin > 0.1)
    radius = np.sqrt(len(xs) / np.pi)
    ring = np.minimum(np.hypot(xs - xs.mean(), ys - ys.mean()) / radius * 10, 9.99).astype(int)
    values = haemoglobin[ys, xs]
    # the innermost two rings are one: so few pixels lie in the first that it can be empty
    ring = np.maximum(ring, 1)
    return np.array([values[ring == max(k, 1)].mean() for k in range(10)])


def boundary_peaks(mask: NDArray[np.bool_], smooth: float, prominence: float, height: float) -> int:
    """Maxima of the boundary's distance from the centroid, in equal-area radii, of at least `height`."""
    ys, xs = np.nonzero(mask)
    cy, cx = ys.mean(), xs.mean()
    angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    steps = np.arange(0, 80, 0.25)
    soft = gaussian_filter(mask.astype(float), 1.0)
    rows = np.clip(np.rint(cy + np.outer(np.sin(angles), steps)).astype(int), 0, mask.shape[0] - 1)
    columns = np.clip(np.rint(cx + np.outer(np.cos(angles), steps)).astype(int), 0, mask.shape[1] - 1)
    reach = (soft[rows, columns] > 0.5).sum(axis=1) * 0.25
    reach = gaussian_filter(reach, smooth, mode="wrap") / np.sqrt(mask.sum() / np.pi)
    lowest = int(reach.argmin())
    reach = np.concatenate([np.roll(reach, -lowest), [reach[lowest]]])
    return len(find_peaks(reach, prominence=prominence, height=height)[0])


@pytest.mark.parametrize("morphology", MORPHOLOGIES)
def test_paint__one_cell_is_one_piece_of_its_stated_size(morphology: str) -> None:
    for seed, mask in enumerate(masks(morphology)):
        rng = np.random.default_rng([seed, 99])
        cell = draw_cell(rng, morphology, draw_patient(seed).habit)
        sizes = sorted((r.area for r in regionprops(label(mask))), reverse=True)
        assert sum(sizes[1:]) < 0.02 * sizes[0]
        drawn_area = (mask.sum()) / PX_PER_UM**2
        assert drawn_area == pytest.approx(np.pi * cell.diameter**2 / 4, rel=0.08)


def test_paint__elongation_orders_elliptocyte_ovalocyte_normal() -> None:
    assert aspect("normal") < 1.15 < aspect("ovalocyte") < 1.6 < aspect("elliptocyte")


def test_paint__sizes_name_macrocyte_and_microcyte() -> None:
    assert diameters("microcyte").max() < 6.7
    assert diameters("macrocyte").min() > 7.9
    assert 6.1 < diameters("normal").min() < diameters("normal").max() < 8.7


def test_paint__sizes_of_the_other_shapes_overlap_the_normal_ones() -> None:
    low, high = np.quantile(diameters("normal"), [0.1, 0.9])
    for morphology in (
        "target",
        "stomatocyte",
        "ovalocyte",
        "elliptocyte",
        "teardrop",
        "burr",
        "hypochromia",
    ):
        found = diameters(morphology)
        assert ((found > low) & (found < high)).mean() > 0.25, morphology


def test_paint__pallor_of_normal_and_hypochromic_cells_and_none_in_spherocytes() -> None:
    def centre(morphology: str) -> float:
        """Haemoglobin of the middle against the band at 0.7 to 0.9 radii."""
        return float(np.median([p[:2].mean() / p[7:9].mean() for p in map(ring_profile, drawn(morphology))]))

    assert centre("spherocyte") > 0.98
    assert centre("normal") < 0.85
    assert centre("hypochromia") < centre("normal") - 0.15


def test_paint__target_has_a_dark_centre_in_a_pale_ring() -> None:
    profiles = np.array([ring_profile(maps) for maps in drawn("target")])
    pale = profiles[:, 2:7].min(axis=1)
    # means over whole rings: a bull's eye beside the centre shows less in them than to the eye
    against = np.maximum(pale / profiles[:, 0], pale / profiles[:, 7:9].max(axis=1))
    assert against.max() < 0.95
    assert np.median(against) < 0.8


def test_paint__stomatocyte_pallor_is_a_slit() -> None:
    def pallor_aspect(maps: NDArray[np.float32]) -> float:
        haemoglobin = gaussian_filter(maps[..., HAEMOGLOBIN], 1.5)
        ys, xs = np.mgrid[: haemoglobin.shape[0], : haemoglobin.shape[1]]
        inside = haemoglobin > 0.1
        cy, cx = ys[inside].mean(), xs[inside].mean()
        middle = np.hypot(ys - cy, xs - cx) < 0.75 * np.sqrt(inside.sum() / np.pi)
        values = haemoglobin[middle]
        pale = middle & (haemoglobin < (values.min() + values.max()) / 2)
        region = max(regionprops(label(pale)), key=lambda r: r.area)
        return float(region.axis_major_length / max(region.axis_minor_length, 1.0))

    slit = np.median([pallor_aspect(m) for m in drawn("stomatocyte")])
    assert slit > 1.9
    assert np.median([pallor_aspect(m) for m in drawn("normal")]) < 1.5


def test_paint__burr_has_many_boundary_maxima_and_teardrop_one() -> None:
    burr = [boundary_peaks(m, 1.5, 0.03, 0.9) for m in masks("burr")]
    normal = [boundary_peaks(m, 1.5, 0.03, 0.9) for m in masks("normal")]
    assert np.median(burr) >= 10
    assert np.quantile(burr, 0.1) >= 8
    assert np.quantile(normal, 0.9) <= 5
    # the far side of the head is a faint second maximum
    assert {boundary_peaks(m, 4.0, 0.1, 1.3) for m in masks("teardrop")} == {1}
    assert {boundary_peaks(m, 4.0, 0.1, 1.15) for m in masks("elliptocyte")} == {2}


def test_paint__sickle_is_hollow_on_one_side_and_elliptocyte_is_not() -> None:
    assert median("sickle", "solidity") < 0.9
    assert median("elliptocyte", "solidity") > 0.95
    assert aspect("sickle") > 2.2


def test_paint__schistocyte_is_small_and_angular() -> None:
    def roundness(mask: NDArray[np.bool_]) -> float:
        region = regionprops(label(mask))[0]
        return float(4 * np.pi * region.area / region.perimeter**2)

    assert np.median([roundness(m) for m in masks("schistocyte")]) < 0.85
    assert np.median([roundness(m) for m in masks("normal")]) > 0.87
    assert np.median(diameters("schistocyte")) < np.median(diameters("normal")) - 0.8


def test_paint__only_the_parasitised_cell_holds_chromatin_and_a_blue_ring() -> None:
    for maps in drawn("ring-stage parasite"):
        assert maps[..., CHROMATIN].max() > 0.3
        assert (maps[..., BLUE] > 0.15).sum() / PX_PER_UM**2 > 0.3
        dots = regionprops(label(maps[..., CHROMATIN] > 0.25))
        assert all(d.equivalent_diameter_area / PX_PER_UM < 1.6 for d in dots)
    assert all(m[..., CHROMATIN].max() == 0.0 for m in drawn("normal"))
