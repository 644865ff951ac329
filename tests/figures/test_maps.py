"""Maps show each point once, in the look of its label, and measure how labels clump."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn import legend_of, points_of
from matplotlib.colors import to_hex, to_rgb
from scipy.spatial.distance import pdist
from skimage.color import rgb2lab

from reddino.figures.maps import map_figure, paired_map_figure, same_label_fraction, shaded_density
from reddino.figures.palette import NO_LABEL, PALETTE, Groups


def test_map_figure__draws_each_class_once_with_its_own_look() -> None:
    labels = [f"class {i % 12:02d}" for i in range(60)]
    xy = np.random.default_rng(0).normal(size=(60, 2))
    (axes,) = map_figure(xy, labels, "map").axes
    drawn: list[Any] = list(axes.collections)
    looks = {(to_hex(one.get_facecolor()[0]), one.get_paths()[0].vertices.tobytes()) for one in drawn}
    assert len(axes.collections) == len(looks) == 12
    assert sum(len(points_of(dots)) for dots in axes.collections) == 60


def test_paired_map_figure__shows_the_same_points_by_class_and_by_source() -> None:
    xy = np.random.default_rng(1).normal(size=(30, 2))
    figure = paired_map_figure(xy, ["a", "b", ""] * 10, ["lab 1"] * 20 + ["lab 2"] * 10, "both")
    left, right = figure.axes
    assert [len(axes.collections) for axes in (left, right)] == [3, 2]
    texts = legend_of(left)
    assert sorted(texts) == ["a (10)", "b (10)", "no label (10)"]


def test_draw_map__numbers_thirty_classes_on_the_map_and_in_the_legend() -> None:
    xy = np.random.default_rng(0).normal(size=(300, 2))
    (axes,) = map_figure(xy, [f"class {i % 30}" for i in range(300)], "map").axes
    assert sorted(int(text.get_text()) for text in axes.texts) == list(range(1, 31))
    legend = legend_of(axes)
    assert legend[0] == "1  class 0 (10)"
    assert legend[10] == "11  class 10 (10)"


def test_draw_map__of_two_hundred_patients_names_those_that_clump() -> None:
    draw = np.random.default_rng(0)
    patients = np.repeat(np.arange(200), 20)
    xy = draw.uniform(0, 100, size=(4000, 2))
    for number in (7, 120):
        xy[patients == number] = draw.normal((number, -30), 0.5, size=(20, 2))
    (axes,) = map_figure(xy, [f"p{i}" for i in patients], "by patient").axes
    assert legend_of(axes) == ["8  p7 (20)", "121  p120 (20)"]
    assert sorted(text.get_text() for text in axes.texts) == ["121", "8"]
    assert "200 labels" in axes.get_title()


def test_draw_map__from_twenty_thousand_points_shades_density() -> None:
    xy = np.random.default_rng(0).normal(size=(20_000, 2))
    (axes,) = map_figure(xy, ["a"] * 19_990 + ["rare"] * 10, "map").axes
    assert len(axes.images) == 1
    assert [len(points_of(dots)) for dots in axes.collections] == [10]


def test_shaded_density__has_the_colour_of_the_majority_and_fades_with_few_points() -> None:
    xy = np.array([[0.1, 0.1]] * 9 + [[0.1, 0.1]] * 4 + [[0.9, 0.9]])
    index = np.array([0] * 9 + [1] * 4 + [1])
    corners = np.zeros(2), np.ones(2)
    picture = shaded_density(xy, index, ["#ff0000", "#0000ff"], corners, pixels=2)
    full, faint = picture[0, 0], picture[1, 1]
    assert full[0] == 1.0
    assert full[1] == full[2] < 0.1
    assert faint[2] == 1.0
    assert full[1] < faint[0] == faint[1] < 1
    assert (picture[0, 1] == 1).all()


def test_same_label_fraction__equals_counting_by_hand() -> None:
    draw = np.random.default_rng(2)
    xy, labels = draw.normal(size=(50, 2)), draw.integers(0, 3, 50)
    gaps = ((xy[:, None] - xy[None]) ** 2).sum(axis=2)
    np.fill_diagonal(gaps, np.inf)
    near = gaps.argsort(axis=1)[:, :10]
    by_hand = [(labels[near[labels == i]] == i).mean() for i in range(3)]
    share, chance = same_label_fraction(xy, Groups.of([str(label) for label in labels]))
    assert share == pytest.approx(by_hand)
    pairs = labels[:, None] == labels[None]
    assert chance == pytest.approx((pairs.sum() - 50) / (50 * 49))


def test_groups__are_in_natural_order_and_leave_the_unlabelled_grey() -> None:
    groups = Groups.of(["slide 10", "", "slide 2", "slide 2"])
    assert groups.names == ("", "slide 2", "slide 10")
    assert groups.index.tolist() == [2, 0, 1, 1]
    assert [colour for colour, _ in groups.styles()] == [NO_LABEL, PALETTE[0], PALETTE[1]]


def test_palette__stays_apart_for_those_who_see_no_red_or_no_green() -> None:
    # Projections of linear RGB by Vienot, Brettel and Mollon (1999): protanopes and deuteranopes.
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    colours = np.array([to_rgb(colour) for colour in PALETTE]) ** 2.2
    for eye in (np.eye(3), protan, deutan):
        seen = np.clip(colours @ eye.T, 0, 1)
        lab = rgb2lab(seen[None] ** (1 / 2.2))[0]
        gaps = pdist(lab)
        assert gaps.min() > 10
