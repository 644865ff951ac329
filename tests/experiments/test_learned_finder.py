"""Parts of the learned finder: its targets, its peaks and outlines, its corrections, and how it is scored."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch

from cell_finding import Field
from finder.finders import diameters, parted
from finder.looking import doubtful, sheet, tile
from finder.network import StarNetwork, star_loss
from finder.pictures import real_lesson, synthetic_lessons
from finder.scoring import Found, differences, overlapping, pairs, rates, score
from finder.stars import Stars, distinct, peaks, shared
from finder.targets import DIRECTIONS, RAYS, ellipse, outline_distances, star_targets, uncut
from finder.training import BATCH, CROP, Course, batch, chances, normalised, teach, turned
from kinds.fields import Field as KindField

SICKLE = np.array([[2.0, 2], [12, 4], [20, 12], [21, 20], [15, 13], [9, 8]])


def walked(point: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Return how far one gets from a point in each direction, in small steps, without leaving an outline."""
    from matplotlib.path import Path

    reached = np.zeros(RAYS)
    steps = np.arange(0, 60, 0.01)
    for ray, direction in enumerate(DIRECTIONS):
        inside = Path(outline).contains_points(point + steps[:, None] * direction)
        reached[ray] = steps[np.argmin(inside)]
    return reached


@pytest.mark.parametrize("outline", [ellipse((3.2, 1.1, 14.0, 9.0)), SICKLE])
def test_outline_distances__are_those_that_one_can_walk(outline: np.ndarray) -> None:
    points = np.random.default_rng(0).uniform(0, 22, (60, 2))
    rays, nearest, inside = outline_distances(points, outline)
    assert 5 < inside.sum() < 55
    closed = np.concatenate([outline, outline[:1]])
    along = np.concatenate([a + np.linspace(0, 1, 500)[:, None] * (b - a) for a, b in pairwise(closed)])
    for row, point in enumerate(points):
        walk = walked(point, outline)
        assert inside[row] == (walk[0] > 0)
        assert nearest[row] == pytest.approx(np.hypot(*(along - point).T).min(), abs=0.02)
        if inside[row]:
            assert rays[row] == pytest.approx(walk, abs=0.03)


def test_star_targets__of_two_discs_keep_both_middles_and_both_whole_outlines() -> None:
    discs = [ellipse((5, 5, 10, 10)), ellipse((9, 5, 10, 10))]
    targets = star_targets(discs, (20, 24))
    row = targets.depth[10]
    assert row[9] > 0.85
    assert row[14] > 0.85
    assert row[11] < 0.8
    # half a step left of its middle (10, 10), a disc of radius 5 ends 5.5 to the right: inside the other one
    assert targets.rays[10, 9, 0] == pytest.approx(5.5, abs=0.1)
    assert targets.owner[10, 6] == 0
    assert targets.owner[10, 17] == 1
    assert targets.owner[0, 0] == -1
    assert targets.depth.max() <= 1


def test_star_targets__of_a_cut_cell_reach_past_the_border() -> None:
    targets = star_targets([ellipse((-4, 5, 10, 10))], (20, 20))
    assert targets.rays[10, 0, RAYS // 2] == pytest.approx(4.5, abs=0.1)
    assert targets.depth[10, 0] == targets.depth.max()


@pytest.mark.parametrize(
    ("box", "whole"),
    [
        ((30, 30, 20, 18), (30, 30, 20, 18)),
        ((0, 30, 8, 20), (-12, 30, 20, 20)),
        ((90, 30, 10, 20), (90, 30, 20, 20)),
        ((0, 0, 8, 6), (-12, -14, 20, 20)),
        ((0, 30, 22, 20), (0, 30, 22, 20)),
    ],
)
def test_uncut__goes_on_past_the_border(box: tuple[int, ...], whole: tuple[int, ...]) -> None:
    assert uncut(box, (100, 100), 20.0).tolist() == list(whole)


def test_turned__distances_are_those_of_the_turned_picture() -> None:
    outline = ellipse((4, 5, 14, 8)) @ np.array([[1.0, 0.2], [0, 1]])
    rays = np.rint(10 * star_targets([outline], (24, 24)).rays).astype(np.uint8)
    mirrored = outline * np.array([-1, 1]) + np.array([24, 0])
    again = np.rint(10 * star_targets([mirrored], (24, 24)).rays).astype(np.uint8)
    assert np.abs(turned(rays, True, False).astype(int) - again).max() <= 1
    again = np.rint(10 * star_targets([outline[:, ::-1]], (24, 24)).rays).astype(np.uint8)
    assert np.abs(turned(rays, False, True).astype(int) - again).max() <= 1


def test_peaks__and_outlines_give_the_cells_back() -> None:
    boxes = np.array([[5, 5, 10, 10], [10, 5, 10, 10], [30, 12, 8, 12]], float)
    targets = star_targets([ellipse(box) for box in boxes], (40, 50))
    found = distinct(peaks(targets.depth, targets.rays.transpose(2, 0, 1)))
    assert len(found) == 3
    back = found.boxes(50, 40)
    for box in boxes:
        assert np.abs(back - box).max(axis=1).min() < 0.6


def test_shared__is_that_of_two_squares() -> None:
    square = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])
    assert shared(square, square + np.array([5, 0])) == pytest.approx(1 / 3, abs=0.03)
    assert shared(square, square + np.array([20, 0])) == 0


def test_distinct__keeps_the_deeper_of_one_cell_and_both_of_two() -> None:
    places = np.array([[10.0, 10], [11, 10], [16, 10]])
    disc = 5 * DIRECTIONS
    stars = Stars(places, places[:, None] + disc, np.array([0.9, 0.8, 0.7]))
    assert distinct(stars).places.tolist() == [[10, 10], [16, 10]]


def test_parted__a_large_cell_gives_way_to_two_and_the_others_stay() -> None:
    classical = np.array([[0, 0, 34, 20], [100, 0, 34, 20], [200, 0, 20, 20], [300, 0, 34, 20]], float)
    two = np.array([[0, 0, 20, 20], [14, 0, 20, 20]])
    learned = np.concatenate([two, two + np.array([100, 0, 0, 0]), [[201, 0, 20, 20], [300, 0, 20, 20]]])
    large = np.array([True, False, True, True])
    gone, new = parted(classical, large, learned.astype(float))
    assert gone.tolist() == [True, False, False, False]
    assert new.tolist() == [True, True, False, False, False, False]


def test_parted__two_cells_that_both_finders_see_stay() -> None:
    boxes = np.array([[0, 0, 20, 20], [12, 0, 20, 20]], float)
    gone, new = parted(boxes, np.ones(2, bool), boxes + np.array([1, 0, 0, 0]))
    assert not gone.any()
    assert not new.any()


def test_diameters__of_stars_are_in_typical_cells() -> None:
    places = np.array([[10.0, 10], [30, 10]])
    outlines = places[:, None] + np.array([5, 2.5])[:, None, None] * DIRECTIONS
    assert diameters(Stars(places, outlines, np.ones(2))) == pytest.approx([1, 0.5], rel=0.02)


def test_overlapping__is_of_boxes_that_share_more_than_discs_that_touch() -> None:
    turn = np.sqrt(0.5) * 20
    touching = np.array([[0, 0, 20, 20], [turn, turn, 20, 20]])
    assert not overlapping(touching).any()
    near = np.array([[0, 0, 20, 20], [14, 0, 20, 20], [100, 0, 20, 20], [5, 5, 0, 0]], float)
    assert overlapping(near).tolist() == [True, True, False, False]


def test_pairs__are_the_most_that_brute_force_finds() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        truth, found = rng.uniform(0, 30, (4, 2)), rng.uniform(0, 30, (5, 2))
        near = np.linalg.norm(truth[:, None] - found[None], axis=2) < 10
        most = max(sum(near[row, column] for row, column in enumerate(p)) for p in permutations(range(5), 4))
        rows, columns = pairs(truth, found, 10.0)
        assert len(rows) == most
        assert near[rows, columns].all()


def field() -> Field:
    boxes = np.array([[0, 0, 20, 20], [14, 0, 20, 20], [60, 60, 20, 20]], float)
    return Field(np.zeros((100, 100, 3), np.uint8), boxes, 20.0)


def test_score__counts_overlapping_cells_and_what_strays_among_them() -> None:
    boxes = np.array([[0, 0, 20, 20], [60, 60, 20, 20], [6, 5, 8, 8], [90, 40, 10, 20]], float)
    found = score(field(), lambda _: Found(boxes, np.array([0, 0, 0, 1], bool), 22.0))
    assert found.counts.tolist() == [3, 4, 3, 2, 2, 2, 1]
    assert found.error == pytest.approx(10)
    by = rates(found.counts)
    assert by["f1"] == pytest.approx(2 * 2 / 6)
    assert by["close_f1"] == pytest.approx(2 * 1 / 4)


def test_differences__of_a_finder_from_itself_are_none() -> None:
    boxes = field().boxes
    few = score(field(), lambda _: Found(boxes[:1], np.zeros(1, bool), 20.0))
    scores = [few, score(field(), lambda _: Found(boxes, np.zeros(3, bool), 20.0))]
    assert differences(scores, scores)["f1"] == (0, 0, 0)
    assert differences(scores[:1], scores[1:])["recall"][0] == pytest.approx(2 / 3)


def test_doubtful__is_a_parted_cell_with_a_part_that_has_no_label() -> None:
    boxes = np.array([[0, 0, 34, 20], [50, 60, 34, 20]], float)
    before = Found(boxes, np.zeros(2, bool), 20.0)
    parts = np.array([[0, 0, 20, 20], [14, 0, 20, 20], [47, 60, 20, 20], [60, 60, 20, 20]], float)
    (shown,) = doubtful(field(), before, Found(parts, np.zeros(4, bool), 20.0))
    assert shown.tolist() == parts[2:].tolist()
    strip = tile(field(), shown)
    assert len({tuple(colour) for colour in strip.reshape(-1, 3).tolist()}) > 2
    assert sheet([strip] * 4, 60).shape == (2 * strip.shape[0], 3 * strip.shape[1], 3)


def test_normalised__undoes_light_and_contrast() -> None:
    pixels = np.random.default_rng(0).uniform(50, 200, (40, 40, 3))
    dim = normalised(0.5 * pixels + np.array([20, 10, 30]))
    assert np.abs(dim - normalised(pixels)).mean() < 0.15 * np.abs(normalised(pixels)).mean()


def test_real_lesson__leaves_open_what_no_label_has() -> None:
    image = np.full((200, 200, 3), 230, np.uint8)
    rows, columns = np.mgrid[0:200, 0:200]
    for x, y in ((50, 50), (120, 50), (50, 120), (120, 120)):
        image[np.hypot(columns - x, rows - y) < 20] = (200, 120, 140)
    boxes = np.array([[30.0, 30, 40, 40], [100, 30, 40, 40], [30, 100, 40, 40]])
    known = KindField("bccd", "f", image, boxes, np.zeros(3, np.int64), ("RBC",) * 3)
    lesson = real_lesson(known, np.random.default_rng(0))
    assert lesson is not None
    at = lesson.depth.shape[0] / 200
    assert lesson.depth[int(50 * at), int(50 * at)] > 200
    assert lesson.depth[int(120 * at), int(120 * at)] == 0
    assert not lesson.known[int(120 * at), int(120 * at)]
    assert lesson.known[int(85 * at), int(85 * at)]


def test_teach__lowers_the_loss_on_drawn_smears() -> None:
    lessons = list(synthetic_lessons(3, labs=2, fields=1))
    assert all(lesson.depth.max() > 200 for lesson in lessons)
    torch.manual_seed(0)
    network = StarNetwork((8, 8, 8))
    drawn = batch(lessons, chances(lessons), np.random.default_rng(1))
    assert drawn[0].shape == (BATCH, 3, CROP, CROP)

    def loss() -> float:
        with torch.inference_mode():
            pixels, depth, known, outlined, rays = drawn
            return float(star_loss(network(pixels), depth, rays, known, outlined))

    before = loss()
    teach(network, lessons, Course(steps=30))
    assert loss() < 0.9 * before
