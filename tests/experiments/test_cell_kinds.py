"""How views come by their kind: by boxes that overlap, by what is drawn, and where the head is sure."""

from __future__ import annotations

import numpy as np
import pytest

from cell_kinds import operating_point
from kinds.fields import ARTEFACT, CLUMP, PLATELET, RED, WHITE, Field, synthetic_fields
from kinds.foreign import with_foreign
from kinds.inclusions import altered
from kinds.views import field_views

GROUND = np.array((228, 224, 230), np.uint8)


def field(*, exact: bool = False) -> Field:
    """Two red cells that overlap, one apart, a white cell and a platelet."""
    boxes = np.array(
        [[10, 10, 40, 40], [35, 10, 40, 40], [200, 10, 40, 40], [100, 100, 80, 80], [10, 200, 12, 12]]
    )
    kinds = np.array([RED, RED, RED, WHITE, PLATELET])
    image = np.broadcast_to(GROUND, (300, 300, 3)).copy()
    return Field(
        "lab", "f.png", image, boxes.astype(float), kinds, ("RBC",) * 3 + ("WBC", "Platelets"), exact
    )


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((200, 11, 40, 38), RED),
        ((10, 10, 65, 40), CLUMP),
        ((120, 120, 40, 40), WHITE),
        ((11, 201, 11, 11), PLATELET),
        ((96, 96, 20, 20), None),  # the corner of a white cell's box, where a neighbour may lie
        ((250, 250, 30, 30), None),  # nobody labelled it
    ],
)
def test_kind_of__a_found_piece_by_the_boxes(box: tuple[int, ...], kind: int | None) -> None:
    known = field().kind_of(np.array(box, float))
    assert (known and known[0]) == kind


def test_kind_of__nothing_where_every_body_has_a_box_is_an_artefact() -> None:
    known = field(exact=True).kind_of(np.array([250.0, 250, 30, 30]))
    assert known is not None
    assert known[0] == ARTEFACT


def test_alone__is_a_red_cell_that_no_other_overlaps() -> None:
    assert field().alone().tolist() == [False, False, True, False, False]


def test_with_foreign__changes_the_picture_where_it_says() -> None:
    image, seen = field().image, 0
    for seed in range(12):
        painted, mask = with_foreign(image, 40.0, np.random.default_rng(seed))
        changed = (painted != image).any(axis=2)
        seen += bool(mask.any())
        assert not mask.any() or changed[mask].mean() > 0.9
    assert seen > 8  # the faintest and softest things are seen nowhere


def test_altered__leaves_the_surroundings_alone() -> None:
    y, x = np.mgrid[0:112, 0:112] - 55.5
    disc = np.hypot(x, y) < 35
    pixels = np.where(disc[..., None], np.array((200, 150, 160)), GROUND).astype(np.uint8)
    made = altered(pixels, 70.0, np.random.default_rng(3))
    away = np.hypot(x, y) > 42
    assert np.abs(made.astype(int) - pixels)[away].max() <= 1
    assert (made[disc] != pixels[disc]).mean() > 0.2


def test_field_views__of_a_synthetic_field_hold_red_cells_and_artefacts() -> None:
    made = next(synthetic_fields(0, random=0, patients=1))
    views = list(field_views(made, 0))
    kinds = {view.kind for view in views}
    assert {RED, ARTEFACT} <= kinds
    assert {view.pixels.shape for view in views} == {(112, 112, 3)}
    again = list(field_views(made, 0))
    assert all((one.pixels == two.pixels).all() for one, two in zip(views, again, strict=True))


def test_operating_point__loses_no_more_than_two_per_cent_of_any_shape() -> None:
    red = np.concatenate([np.full(96, 0.9), [0.34] * 4, np.full(100, 0.9), np.full(50, 0.0), np.zeros(3)])
    probabilities = np.stack([red, 1 - red], axis=1)
    groups = np.array(["a: sickle"] * 100 + ["a: normal"] * 100 + [""] * 50 + ["a: rare"] * 3)
    kinds = np.full(len(red), RED)
    assert operating_point(kinds, probabilities, groups) == 0.7
    assert operating_point(kinds, probabilities, np.where(groups == "a: sickle", "", groups)) == 0.5
