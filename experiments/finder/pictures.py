"""Pictures to learn from, all at one scale, with what is known of every place in them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from finder.network import LOOK, STEP
from finder.targets import Floats, ellipse, star_targets, uncut
from kinds.fields import RED, Field, real_fields
from reddino.foundations.atomic import atomic_path
from reddino.rbc.finding import find_cells
from reddino.rbc.measures import Cells
from reddino.synthetic.camera import render_field
from reddino.synthetic.cells import RedCell
from reddino.synthetic.infection import infected
from reddino.synthetic.morphologies import MORPHOLOGIES, draw_cell
from reddino.synthetic.patients import PROFILES, Patient, draw_patient
from reddino.synthetic.random_sources import random_source
from reddino.synthetic.scene import Scene, make_scene

Picture = NDArray[np.uint8]
#: Pictures of each collection, at most.
LEARNED = {"bccd": 200, "draaslan_bcd": 100, "txl_pbc": 320, "chula_rbc12": 150}
#: Side of a cell's tight box over that of its labelled box, by laboratory.
TIGHT = {"bccd": 0.88, "raabin_iran": 0.92, "pbc_barcelona": 0.96}
#: Laboratories whose labels leave out hardly a cell.
COMPLETE = frozenset(("draaslan_ankara", "synthetic"))
#: Spread (half the range of the logarithm) of the scale at which a picture is shown.
SPREAD = 0.22
#: Grid steps are kept in parts of this: distances up to 25 in a byte.
FINE = 10.0
#: Fraction of the cells of a crowded synthetic scene on which another one is laid.
CROWDED = 0.5


@dataclass(frozen=True)
class Lesson:
    """A picture at the scale of the network, and what is known of the places of its grid.

    Attributes:
        lab: the laboratory.
        pixels: (H, W, 3) RGB; H and W divisible by 8.
        depth: (h, w) in parts of 255.
        rays: (h, w, 16) in parts of `FINE`.
        known: (h, w) whether the depth counts.
        outlined: (h, w) whether the distances count.
    """

    lab: str
    pixels: Picture
    depth: NDArray[np.uint8]
    rays: NDArray[np.uint8]
    known: NDArray[np.bool_]
    outlined: NDArray[np.bool_]


def looked_at(image: Picture, diameter: float) -> tuple[Picture, tuple[float, float]]:
    """Return a picture at the scale of the network, filled up to sides divisible by 8, and x and y scale."""
    height, width = image.shape[:2]
    size = (max(8, round(width * LOOK / diameter)), max(8, round(height * LOOK / diameter)))
    way = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
    small = cv2.resize(image, size, interpolation=way)
    below, right = -size[1] % 8, -size[0] % 8
    filled = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(filled, np.uint8), (size[0] / width, size[1] / height)


def _lesson(
    field: Field,
    diameter: float,
    outlines: list[Floats],
    outlined: list[bool],
    *,
    unsure: list[Floats],
    band: float,
) -> Lesson:
    """Lay a field out; outlines and what is unsure are in its pixels, `band` is a border of unknown ones."""
    pixels, scale = looked_at(field.image, diameter)
    grid = np.array(scale) / STEP
    shape = (pixels.shape[0] // STEP, pixels.shape[1] // STEP)
    targets = star_targets([outline * grid for outline in outlines], shape)
    doubt = np.zeros(shape, np.uint8)
    for outline in unsure:
        cv2.fillPoly(doubt, [np.rint(outline * grid - 0.5).astype(np.int32)], 1)
    doubt = cv2.dilate(doubt, np.ones((3, 3), np.uint8))
    high, wide = (round(side * share) for side, share in zip(field.image.shape[:2], grid[::-1], strict=True))
    steps = round(band * float(grid.mean()))
    if steps:
        doubt[:steps] = doubt[high - steps :] = 1
        doubt[:, :steps] = doubt[:, wide - steps :] = 1
    doubt[high:] = 1
    doubt[:, wide:] = 1
    owned = targets.owner >= 0
    exact = np.array([*outlined, False])[targets.owner]
    return Lesson(
        field.lab, pixels, np.rint(255 * targets.depth).astype(np.uint8),
        np.rint(np.clip(FINE * targets.rays, 0, 255)).astype(np.uint8), (doubt == 0) | owned, exact & owned,
    )  # fmt: skip


def real_lesson(field: Field, rng: np.random.Generator) -> Lesson | None:
    """Lay a labelled field out; None where the classical finder sees no scale.

    Boxes stand for the ellipse in them; a point for the cell that the classical finder has there, else for a
    disc. What the classical finder has and no label does is left open where labels miss cells.
    """
    cells = find_cells(field.image)
    typical = cells.typical_diameter
    if not np.isfinite(typical):
        return None
    found = np.stack([cells.x, cells.y, cells.w, cells.h], axis=1)
    size = (field.image.shape[1], field.image.shape[0])
    outlines: list[Floats] = []
    outlined: list[bool] = []
    red = field.kinds == RED
    boxed = bool(field.boxes[:, 2].any())
    for box in field.boxes[red]:
        whole, exact = (
            (_tight(box, field.lab, size, typical), True) if boxed else _at(box[:2], found, field, typical)
        )
        outlines.append(ellipse(whole.tolist()))
        outlined.append(exact)
    unsure = (
        [] if field.lab in COMPLETE else [ellipse(found[row].tolist()) for row in _unlabelled(field, cells)]
    )
    diameter = typical * float(np.exp(rng.uniform(-SPREAD, SPREAD)))
    return _lesson(field, diameter, outlines, outlined, unsure=unsure, band=0.0 if boxed else 0.5 * typical)


def _tight(box: Floats, lab: str, size: tuple[int, int], typical: float) -> Floats:
    whole = uncut(box.tolist(), size, typical / TIGHT.get(lab, 1.0))
    return np.concatenate(
        [whole[:2] + whole[2:] * (1 - TIGHT.get(lab, 1.0)) / 2, whole[2:] * TIGHT.get(lab, 1.0)]
    )


def _at(point: Floats, found: Floats, field: Field, typical: float) -> tuple[Floats, bool]:
    """Return the box of the cell that is labelled by a point, and whether it is known well."""
    inside = (np.abs(found[:, :2] + found[:, 2:] / 2 - point) < 0.25 * typical).all(axis=1)
    rows = np.flatnonzero(inside)
    if len(rows) == 1:
        box = found[rows[0]]
        others = ((field.boxes[:, :2] > box[:2]) & (field.boxes[:, :2] < box[:2] + box[2:])).all(axis=1)
        if others.sum() == 1:
            return box, True
    side = 0.95 * typical
    return np.array([point[0] - side / 2, point[1] - side / 2, side, side]), False


def _unlabelled(field: Field, cells: Cells) -> list[int]:
    """Return the rows of found cells that no label has, and that are not part of a white cell or platelet."""
    rows = []
    red = field.kinds == RED
    other = field.boxes[~red]
    for row in range(len(cells)):
        box = np.array([cells.x[row], cells.y[row], cells.w[row], cells.h[row]])
        centre = box[:2] + box[2:] / 2
        reach = np.maximum(0.5 * field.boxes[red, 2:], 0.35 * cells.typical_diameter)
        labelled = (np.abs(field.centres[red] - centre) < reach).all(axis=1).any()
        in_other = (np.abs(other[:, :2] + other[:, 2:] / 2 - centre) < other[:, 2:] / 2).all(axis=1).any()
        if not labelled and not in_other:
            rows.append(row)
    return rows


def real_lessons(smears: Path, collection: str, seed: int) -> Iterator[Lesson]:
    """Yield the lessons of a collection."""
    rng = np.random.default_rng([seed, len(collection)])
    for field in real_fields(smears, collection, LEARNED[collection]):
        made = real_lesson(field, rng)
        if made is not None:
            yield made


def crowded(scene: Scene, patient: Patient, rng: np.random.Generator) -> Scene:
    """Lay further cells of the patient on those of a scene, a quarter to nine tenths of a diameter away."""
    more: list[RedCell] = []
    mix = np.array(patient.mix) / sum(patient.mix)
    for cell in scene.cells:
        if rng.random() < CROWDED:
            other = draw_cell(rng, str(rng.choice(MORPHOLOGIES, p=mix)), patient.habit)
            turn, apart = rng.uniform(0, 2 * np.pi), cell.diameter * rng.uniform(0.28, 0.95)
            more.append(
                other.moved(cell.x + apart * float(np.cos(turn)), cell.y + apart * float(np.sin(turn)))
            )
    return replace(scene, cells=scene.cells + tuple(more))


def synthetic_lessons(seed: int, labs: int, fields: int) -> Iterator[Lesson]:
    """Yield fields of random laboratories: half of them crowded, half infected, rich in white cells."""
    rng = np.random.default_rng([seed, 5])
    for lab in range(labs):
        source = random_source(seed, lab)
        for number in range(fields):
            profile = list(PROFILES)[(lab * fields + number) % len(PROFILES)]
            patient = draw_patient(1000 * seed + 31 * lab + number, profile)
            patient = replace(patient, white=3.0, platelets=8.0)
            scene = make_scene(patient, number, width=70.0, height=70.0)
            if rng.random() < 0.5:
                scene = infected(scene, patient)
            if rng.random() < 0.6:
                scene = crowded(scene, patient, rng)
            image = render_field(scene, source, number)
            step = np.array([image.shape[1] / scene.width, image.shape[0] / scene.height])
            places = [np.array([cell.x, cell.y]) for cell in scene.cells]
            outlines = [
                (cell.outline[:: max(1, len(cell.outline) // 32)] + place) * step
                for cell, place in zip(scene.cells, places, strict=True)
            ]
            typical = float(np.median([cell.diameter for cell in scene.cells])) * source.px_per_um
            diameter = 1.035 * typical * float(np.exp(rng.uniform(-SPREAD, SPREAD)))
            none = np.zeros((0, 4))
            field = Field("synthetic", source.name, image, none, np.zeros(0, np.int64), ())
            yield _lesson(field, diameter, outlines, [True] * len(outlines), unsure=[], band=0.0)


def kept(file: Path, lessons: Iterator[Lesson]) -> list[Lesson]:
    """Return lessons; from the file, where it holds them already. The file is this experiment's own."""
    if not file.is_file():
        with atomic_path(file) as partial, partial.open("wb") as stream:
            pickle.dump(list(lessons), stream, protocol=5)
    with file.open("rb") as stream:
        read: list[Lesson] = pickle.load(stream)
    return read
