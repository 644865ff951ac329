"""Views of red cells and of what is none, cut as the package cuts them, with what they show."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from kinds.fields import ARTEFACT, CLUMP, PLATELET, RED, WHITE, Field, Floats
from kinds.foreign import Picture, with_foreign
from reddino.embedding.kinds import INPUT, SIDE
from reddino.rbc.finding import find_cells
from reddino.rbc.measures import Cells
from reddino.views.cutting import cut_square

#: Views of one kind of one field, at most; synthetic fields are few and give more red cells.
MOST = {RED: 4, WHITE: 5, PLATELET: 4, CLUMP: 5, ARTEFACT: 4}
MOST_SYNTHETIC = {**MOST, RED: 12}
#: Labelled red cells of a field, of those, that are cut as they are listed and not as they are found.
LISTED = 2
#: Labels without a shape, and the largest piece, in typical diameters, that is taken for one such cell.
PLAIN, LARGEST_PLAIN = frozenset(("RBC", "red blood cell", "auto_round")), 1.3
#: Diameter, in typical ones, of what the border must leave of a piece: its view is half a mirror image.
LEAST_OF_CUT = 0.75
#: Length in diameters from which a piece may be a clump.
LONG = 1.2
#: Spread (standard deviation of the logarithm) of the sides of the views: a diameter is never quite right.
SPREAD = 0.06


@dataclass(frozen=True)
class View:
    """A view and what it shows.

    Attributes:
        pixels: (112, 112, 3) RGB.
        kind: number of the kind.
        lab, picture: where it comes from.
        label: of a red cell its shape, else how the view was come by.
        sides: width and height of a found piece in red-cell diameters, where they are of interest.
    """

    pixels: Picture
    kind: int
    lab: str
    picture: str
    label: str
    sides: tuple[float, float] = (np.nan, np.nan)


@dataclass(frozen=True)
class _Place:
    """Where a view is to be cut: centre (2,) and kind, with its label."""

    centre: Floats
    kind: int
    label: str


def _boxes(cells: Cells) -> Floats:
    return np.stack([cells.x, cells.y, cells.w, cells.h], axis=1)


def _centres(boxes: Floats) -> Floats:
    return np.asarray(boxes[:, :2] + boxes[:, 2:] / 2)


def found_places(field: Field, cells: Cells) -> list[_Place]:
    """Return the found pieces of a field of which the labels tell what they are."""
    places = []
    sizes = (cells.diameter / cells.typical_diameter).tolist()
    for box, cut, size in zip(_boxes(cells), cells.touches_border.tolist(), sizes, strict=True):
        known = field.kind_of(box)
        if known is None or (cut and (known[0] == CLUMP or size < LEAST_OF_CUT)):
            continue
        # where not every cell is labelled, a piece that is too large holds another without a label
        if known[0] == RED and known[1] in PLAIN and size > LARGEST_PLAIN:
            continue
        places.append(_Place(box[:2] + box[2:] / 2, *known))
    return places


def listed_places(field: Field) -> list[_Place]:
    """Return the labelled bodies of a field."""
    return [
        _Place(centre, int(kind), label if kind == RED else "listed")
        for centre, kind, label in zip(field.centres, field.kinds, field.labels, strict=True)
    ]


def field_views(field: Field, seed: int) -> Iterator[View]:
    """Yield views of a field's found pieces, of its listed white cells and platelets, and of artefacts."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{field.lab} {field.name}".encode())])
    cells = find_cells(field.image)
    typical = cells.typical_diameter
    if not np.isfinite(typical):
        return
    listed = listed_places(field)
    by_kind: dict[int, list[_Place]] = defaultdict(list)
    for place in found_places(field, cells) + [place for place in listed if place.kind in (WHITE, PLATELET)]:
        by_kind[place.kind].append(place)
    most = MOST_SYNTHETIC if field.exact else MOST
    for kind, places in sorted(by_kind.items()):
        chosen = [places[row] for row in rng.permutation(len(places))[: most[kind]].tolist()]
        if kind == RED:
            reds = [place for place, alone in zip(listed, field.alone(), strict=True) if alone]
            chosen += [reds[row] for row in rng.permutation(len(reds))[:LISTED].tolist()]
        for place in chosen:
            yield _cut(field, field.image, typical * float(np.exp(SPREAD * rng.standard_normal())), place)
    yield from _artefacts(field, cells, rng)


def _artefacts(field: Field, cells: Cells, rng: np.random.Generator) -> Iterator[View]:
    """Draw something into the field; yield what is found of it, places on it, and one place with nothing."""
    typical, size = cells.typical_diameter, field.image.shape[1::-1]
    painted, mask = with_foreign(field.image, typical, rng)
    # what was there before stays what it is: cells, and white cells that the finder leaves out
    bodies = np.concatenate([_centres(_boxes(cells)), field.centres])
    reach = np.concatenate([np.full(len(cells), 0.45 * typical), _reach(field, typical)])
    places = []
    found = find_cells(painted, typical)
    for box in _boxes(found):
        x, y, w, h = np.maximum(np.rint(box), 0).astype(int).tolist()
        centre = box[:2] + box[2:] / 2
        if mask[y : y + h, x : x + w].mean() > 0.25 and not _near(centre, bodies, reach):
            places.append(_Place(centre, ARTEFACT, "found"))
    ys, xs = np.nonzero(mask)
    for row in rng.permutation(len(xs))[:40].tolist():
        centre = np.array([xs[row], ys[row]], np.float64)
        if not _near(centre, bodies, 1.5 * reach):
            places.append(_Place(centre, ARTEFACT, "drawn"))
    for place in places[: MOST[ARTEFACT]]:
        yield _cut(field, painted, typical, place)
    for _ in range(30):
        centre = rng.uniform([0, 0], size)
        if not _near(centre, bodies, 2.0 * reach):
            yield _cut(field, field.image, typical, _Place(centre, ARTEFACT, "empty"))
            break


def _reach(field: Field, typical: float) -> Floats:
    """Return how far (n,) from its centre a labelled body reaches, in pixels, and a little less."""
    return np.asarray(np.maximum(0.45 * typical, 0.45 * field.boxes[:, 2:].max(axis=1, initial=0)))


def _near(centre: Floats, bodies: Floats, reach: Floats) -> bool:
    return bool((np.hypot(*(bodies - centre).T) < reach).any())


def _cut(field: Field, image: Picture, diameter: float, place: _Place) -> View:
    x, y = place.centre.tolist()
    pixels = cut_square(image, x, y, SIDE * diameter, INPUT)
    return View(pixels, place.kind, field.lab, field.name, place.label)


def abnormal_views(field: Field, most_normal: int, normal: frozenset[str]) -> Iterator[View]:
    """Yield the found red cells of a field: all of an odd class, and some of the others."""
    cells = find_cells(field.image)
    if not np.isfinite(cells.typical_diameter):
        return
    places = [place for place in found_places(field, cells) if place.kind == RED]
    common = [place for place in places if place.label in normal]
    rng = np.random.default_rng(zlib.crc32(field.name.encode()))
    chosen = [common[row] for row in rng.permutation(len(common))[:most_normal].tolist()]
    for place in [place for place in places if place.label not in normal] + chosen:
        yield _cut(field, field.image, cells.typical_diameter, place)


def long_pieces(field: Field) -> Iterator[View]:
    """Yield the found pieces of a field longer than `LONG`: of one red cell or several by the labels."""
    cells = find_cells(field.image)
    typical = cells.typical_diameter
    if not np.isfinite(typical):
        return
    for box, cut in zip(_boxes(cells), cells.touches_border.tolist(), strict=True):
        known = field.kind_of(box)
        width, height = (box[2:] / typical).tolist()
        if not cut and known is not None and known[0] in (RED, CLUMP) and max(width, height) >= LONG:
            view = _cut(field, field.image, typical, _Place(box[:2] + box[2:] / 2, *known))
            yield replace(view, sides=(width, height))
