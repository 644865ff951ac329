"""Fields whose bodies are known: the open collections by their boxes, synthetic smears by their truth."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.kinds import KINDS
from reddino.smears.decode import decode_image
from reddino.synthetic.camera import render_field
from reddino.synthetic.infection import infected
from reddino.synthetic.patients import PROFILES, draw_patient
from reddino.synthetic.random_sources import random_source
from reddino.synthetic.scene import make_scene
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.truth import boxes

Floats = NDArray[np.float64]
RED, WHITE, PLATELET, CLUMP, ARTEFACT = range(len(KINDS))
#: What a body is by its label; every other label is that of a red cell.
NAMES = {"WBC": WHITE, "white cell": WHITE, "Platelets": PLATELET, "platelet": PLATELET}


@dataclass(frozen=True)
class Field:
    """A picture and its labelled bodies.

    Attributes:
        lab: the laboratory.
        name: of the picture.
        image: (H, W, 3) RGB.
        boxes: (n, 4) x, y, w, h in pixels; w = 0 where only a point is known.
        kinds: (n,) `RED`, `WHITE` or `PLATELET`.
        labels: (n,) as the collection has them.
        exact: no body is without a label.
    """

    lab: str
    name: str
    image: NDArray[np.uint8]
    boxes: Floats
    kinds: NDArray[np.int64]
    labels: tuple[str, ...]
    exact: bool = False

    @property
    def centres(self) -> Floats:
        return self.boxes[:, :2] + self.boxes[:, 2:] / 2

    def alone(self) -> NDArray[np.bool_]:
        """Return which bodies (n,) are red cells that no other labelled one overlaps by much."""
        if not self.boxes[:, 2].any():
            return np.asarray(self.kinds == RED, dtype=np.bool_)
        low = np.maximum(self.boxes[:, None, :2], self.boxes[None, :, :2])
        ends = self.boxes[:, :2] + self.boxes[:, 2:]
        common = np.clip(np.minimum(ends[:, None], ends[None]) - low, 0, None).prod(axis=2)
        np.fill_diagonal(common, 0)
        sizes = np.maximum(self.boxes[:, 2:].prod(axis=1), 1e-9)
        return np.asarray((self.kinds == RED) & (common.max(axis=1) < 0.2 * sizes))

    def kind_of(self, box: Floats) -> tuple[int, str] | None:
        """Return what a found piece (4,) is, with the label of a red cell; None: not known."""
        inside = ((self.centres > box[:2]) & (self.centres < box[:2] + box[2:])).all(axis=1)
        if not self.boxes[:, 2].any():
            mine = np.flatnonzero(inside)
            return (RED, self.labels[mine[0]]) if len(mine) == 1 else (CLUMP, "") if len(mine) else None
        low = np.maximum(box[:2], self.boxes[:, :2])
        high = np.minimum(box[:2] + box[2:], self.boxes[:, :2] + self.boxes[:, 2:])
        common = np.clip(high - low, 0, None).prod(axis=1)
        area, sizes = float(box[2] * box[3]), np.maximum(self.boxes[:, 2:].prod(axis=1), 1e-9)
        red = self.kinds == RED
        held = np.flatnonzero(inside & red & (common > 0.6 * sizes))
        if len(held) >= 2:
            return (CLUMP, "") if area > 1.35 * sizes[held].max() else None
        white = (self.kinds == WHITE) & (common > 0.5 * area)
        if white.any():
            # a box of a white cell holds corners of its neighbours too
            apart = np.abs(self.centres - (box[:2] + box[2:] / 2)) / np.maximum(self.boxes[:, 2:] / 2, 1e-9)
            middle = np.hypot(*apart.T) < 0.6
            return (WHITE, "found") if (white & middle).any() and not len(held) else None
        united = common / (area + sizes - common)
        best = int(united.argmax()) if len(united) else -1
        if best >= 0 and self.kinds[best] == RED and united[best] > 0.5:
            return RED, self.labels[best]
        alone = not (common[red] > 0.3 * area).any()
        if best >= 0 and self.kinds[best] == PLATELET and united[best] > 0.3 and alone:
            return PLATELET, "found"
        return (ARTEFACT, "nothing there") if self.exact and common.sum() < 0.1 * area else None


def real_fields(
    smears: Path, collection: str, limit: int | None = None, tables: Sequence[str] = ("manifest.csv",)
) -> Iterator[Field]:
    """Yield the labelled pictures of a collection, at most `limit`, evenly spaced in the order of their path.

    Args:
        smears: folder of the collections.
        collection: folder in it.
        limit: pictures, at most.
        tables: in which its labels are.
    """
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    for table in tables:
        with (smears / collection / table).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["x"]:
                    rows[row["path"]].append(row)
    paths = sorted(rows)
    chosen = np.linspace(0, len(paths) - 1, min(limit or len(paths), len(paths))).astype(int)
    for path in (paths[number] for number in chosen.tolist()):
        bodies = rows[path]
        labels = tuple(row["label"] for row in bodies)
        yield Field(
            lab=bodies[0]["source"],
            name=path,
            image=decode_image(smears / collection / path),
            boxes=np.array([[float(row[side] or 0) for side in "xywh"] for row in bodies]),
            kinds=np.array([WHITE if name.startswith("WBC") else NAMES.get(name, RED) for name in labels]),
            labels=labels,
        )


def synthetic_fields(seed: int, random: int, patients: int) -> Iterator[Field]:
    """Yield fields of all named and `random` random laboratories, rich in white cells and platelets.

    Every second one has parasites of all stages and remnants of nuclei in its red cells.
    """
    labs = [*SOURCES.values(), *(random_source(seed, number) for number in range(random))]
    for lab, source in enumerate(labs):
        for number in range(patients):
            profile = list(PROFILES)[(lab * patients + number) % len(PROFILES)]
            drawn = draw_patient(1000 * seed + 17 * lab + number, profile)
            patient = replace(drawn, white=5.0, platelets=10.0, crowd=drawn.crowd * (0.8 + 0.4 * (lab % 3)))
            scene = make_scene(patient, number)
            if (lab + number) % 2 == 0:
                scene = infected(scene, patient)
            bodies = boxes(scene, source, bystanders=True, visible=0.0)
            labels = tuple(body.label for body in bodies)
            yield Field(
                lab="synthetic" if source.name in SOURCES else "synthetic-random",
                name=f"{source.name}-{number}",
                image=render_field(scene, source, number),
                boxes=np.array([[body.x, body.y, body.w, body.h] for body in bodies]),
                kinds=np.array([NAMES.get(name, RED) for name in labels]),
                labels=labels,
                exact=True,
            )
