"""Sheets show the rows they should: neighbours by brute force, means, outliers by score."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from drawn import image_of
from matplotlib.colors import to_hex
from row_colours import colour_of

from reddino.figures.sheets import (
    MOST_ROWS,
    OTHER,
    SAME,
    classes_figure,
    find_neighbourhoods,
    mean_picture,
    neighbours_figure,
    outliers_figure,
    typical_queries,
)

DRAW = np.random.default_rng(0)
VECTORS = DRAW.normal(size=(40, 5)).astype(np.float32)
SOURCES = [f"lab {i % 2}" for i in range(40)]
IMAGES = [f"image {i // 4}" for i in range(40)]
LABELS = [("a", "b")[i // 20] for i in range(40)]
Cut = Callable[..., np.ndarray]


def test_find_neighbourhoods__ranks_other_images_of_the_source_and_other_sources() -> None:
    found = find_neighbourhoods(VECTORS, SOURCES, IMAGES, np.array([3, 20]), k=4)
    for place, query in enumerate((3, 20)):
        gaps = np.linalg.norm(VECTORS.astype(float) - VECTORS[query], axis=1)
        order = gaps.argsort().tolist()
        own = [i for i in order if SOURCES[i] == SOURCES[query] and IMAGES[i] != IMAGES[query]][:4]
        other = [i for i in order if SOURCES[i] != SOURCES[query]][:4]
        assert found.own[place].tolist() == own
        assert found.other[place].tolist() == other
        assert np.allclose(found.own_distances[place], gaps[own], rtol=1e-5)


def test_typical_queries__take_classes_in_turn_from_each_source() -> None:
    queries = typical_queries(VECTORS, LABELS, SOURCES, most=4)
    kinds = [(LABELS[row], SOURCES[row]) for row in queries]
    assert sorted(kinds) == [("a", "lab 0"), ("a", "lab 1"), ("b", "lab 0"), ("b", "lab 1")]
    members = [i for i in range(40) if (LABELS[i], SOURCES[i]) == kinds[0]]
    gaps = np.linalg.norm(VECTORS[members].astype(float) - VECTORS[members].mean(axis=0), axis=1)
    assert queries[0] == members[gaps.argsort()[(len(members) - 1) // 2]]


def test_neighbours_figure__shows_the_rows_framed_by_whether_the_label_agrees(
    colour_cut: Cut,
) -> None:
    found = find_neighbourhoods(VECTORS, SOURCES, IMAGES, np.array([3]), k=2)
    shown = [axes for axes in neighbours_figure(found, colour_cut, LABELS, SOURCES).axes if axes.images]
    rows = [3, *found.own[0], *found.other[0]]
    assert [tuple(image_of(axes)[0, 0]) for axes in shown] == [colour_of(row) for row in rows]
    for axes, row in zip(shown[1:], rows[1:], strict=True):
        expected = SAME if LABELS[row] == LABELS[3] else OTHER
        assert to_hex(axes.spines["left"].get_edgecolor()).upper() == expected


def test_classes_figure__shows_the_mean_and_the_cells_nearest_to_the_mean_vector(colour_cut: Cut) -> None:
    shown = [axes for axes in classes_figure(VECTORS, LABELS, colour_cut, k=3).axes if axes.images]
    assert len(shown) == 8
    mean = np.rint(np.mean([colour_of(row) for row in range(20)], axis=0))
    assert image_of(shown[0])[0, 0].tolist() == mean.tolist()
    gaps = np.linalg.norm(VECTORS[:20].astype(float) - VECTORS[:20].mean(axis=0), axis=1)
    nearest = gaps.argsort()[:3]
    assert [tuple(image_of(axes)[0, 0]) for axes in shown[1:4]] == [colour_of(row) for row in nearest]


def test_mean_picture__is_the_same_in_blocks(colour_cut: Cut) -> None:
    rows = np.arange(17)
    assert np.array_equal(mean_picture(colour_cut, rows, block=5), mean_picture(colour_cut, rows))


def test_outliers_figure__shows_the_highest_scores_of_each_source_first(colour_cut: Cut) -> None:
    scores = DRAW.uniform(0.5, 2, 40)
    scores[6] = np.nan
    shown = [axes for axes in outliers_figure(scores, SOURCES, LABELS, colour_cut, k=3).axes if axes.images]
    for line in (0, 1):
        members = [i for i in range(line, 40, 2) if i != 6]
        expected = sorted(members, key=lambda i: -scores[i])[:3]
        found = [tuple(image_of(axes)[0, 0]) for axes in shown[3 * line : 3 * line + 3]]
        assert found == [colour_of(row) for row in expected]


def test_sheets__of_hundreds_of_classes_and_sources_show_the_largest_and_say_so(colour_cut: Cut) -> None:
    # Names 0 to 199, of which 0 to 59 have three rows, the rest two.
    names = [str(i) for i in range(200) for _ in range(3 if i < MOST_ROWS else 2)]
    vectors = np.random.default_rng(0).normal(size=(len(names), 3)).astype(np.float32)
    classes = classes_figure(vectors, names, colour_cut, k=1)
    outliers = outliers_figure(np.ones(len(names)), names, names, colour_cut, k=1)
    for figure, kind in ((classes, "classes"), (outliers, "sources")):
        assert figure.texts[0].get_text().endswith(f" | the 60 largest of 200 {kind}")
        titles = {axes.get_title().split()[0] for axes in figure.axes if axes.get_title()}
        assert titles == {str(i) for i in range(MOST_ROWS)}
        # matplotlib draws 65,500 pixels at most; page and command draw 150 an inch.
        assert figure.get_figheight() * 150 < 65_500 / 4
