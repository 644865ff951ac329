"""Which bodies lie where on a whole slide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reddino.synthetic.patients import Patient
from reddino.synthetic.whole_slide.bank import Bank
from reddino.synthetic.whole_slide.layout import DENSITY, EMPTY, FEATHERED, THICK, Layout

Real = NDArray[np.float64]
Numbers = NDArray[np.int64]

#: Rounds in which places are tried; places that are tried at once, as a fraction of those wanted.
_ROUNDS, _TRIED = 14, 0.3
#: Fraction of an air bubble's and a pen mark's depth (um) below which cells are not hidden.
_HIDDEN = 2.0


@dataclass(frozen=True)
class Bodies:
    """The bodies of a slide, in the order in which they were laid.

    Attributes:
        stamp: (n,) numbers in the bank.
        left, top: (n,) of the stamp, in pixels.
        zone: (n,) number of the zone.
        fault: (n,) kind of the fault at the body's centre; "" without.
    """

    stamp: Numbers
    left: Numbers
    top: Numbers
    zone: NDArray[np.uint8]
    fault: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.stamp)

    def select(self, which: NDArray[np.generic]) -> Bodies:
        """Return some of them."""
        return Bodies(*(values[which] for values in vars(self).values()))


def populate(
    layout: Layout, bank: Bank, patient: Patient, seed: int, *, px_per_um: float, crowd: float = 1.0
) -> Bodies:
    """Lay the bodies of a slide; a pure function of its arguments.

    Args:
        layout: of the slide.
        bank: painted bodies.
        patient: whose blood it is.
        seed: not negative.
        px_per_um: pixels in a micrometre.
        crowd: multiplies how densely red cells lie.
    """
    rng = np.random.default_rng([seed, 23])
    places = _cell_places(layout, rng, patient.habit.diameter, crowd)
    zones = layout.zone(*places.T)
    flat = zones == FEATHERED
    stamps = np.where(flat, rng.choice(bank.flat, len(places)), rng.choice(bank.round, len(places)))
    parts = [(stamps, places)]
    area = layout.width * layout.height / 1e4
    for numbers, often in ((bank.white, patient.white), (bank.platelets, patient.platelets)):
        spots = _anywhere(layout, rng, int(rng.poisson(often * area)))
        parts.append((rng.choice(numbers, len(spots)), spots[layout.zone(*spots.T) != EMPTY]))
        parts[-1] = (parts[-1][0][: len(parts[-1][1])], parts[-1][1])
    grains = _precipitate(layout, rng)
    parts.append((rng.choice(bank.specks, len(grains)), grains))
    return _laid(layout, bank, parts, px_per_um)


def _laid(layout: Layout, bank: Bank, parts: list[tuple[Numbers, Real]], px_per_um: float) -> Bodies:
    """Lay stamps at whole pixels; leave out what an air bubble or a pen mark hides."""
    stamps = np.concatenate([numbers for numbers, _ in parts])
    places = np.concatenate([spots for _, spots in parts])
    middle = np.array([stamp.centre for stamp in bank.stamps])[stamps]
    corner = np.rint(places * px_per_um - middle).astype(np.int64)
    places = (corner + middle) / px_per_um
    fault = np.full(len(stamps), "", dtype=object)
    hidden = np.zeros(len(stamps), np.bool_)
    for one in reversed(layout.faults):
        depth = one.depth(*places.T)
        fault[depth > 0] = one.kind
        if one.kind in ("air bubble", "pen mark"):
            hidden |= depth > _HIDDEN
    laid = Bodies(stamps.astype(np.int64), corner[:, 0], corner[:, 1], layout.zone(*places.T), fault)
    return laid.select(~hidden)


def _anywhere(layout: Layout, rng: np.random.Generator, count: int) -> Real:
    return rng.uniform((0.0, 0.0), (layout.width, layout.height), (count, 2))


def _cell_places(layout: Layout, rng: np.random.Generator, diameter: float, crowd: float) -> Real:
    """Return the centres (n, 2) of red cells: apart in the monolayer, on each other in the thick part."""
    from scipy.spatial import cKDTree  # slow to import

    wanted = _wanted(layout, rng, crowd)
    kept = np.empty((0, 2))
    near = np.empty(0)
    waiting = rng.permutation(wanted)
    for _ in range(_ROUNDS):
        if not len(waiting):
            break
        gap = diameter * np.where(
            layout.zone(*waiting.T) == THICK,
            rng.uniform(0.3, 0.7, len(waiting)),
            np.where(rng.random(len(waiting)) < 0.08, rng.uniform(0.6, 1.0, len(waiting)), 1.06),
        )
        every = np.concatenate([kept, waiting])
        reach = np.concatenate([near, gap])
        pairs = cKDTree(every).query_pairs(1.1 * diameter, output_type="ndarray")
        apart = np.hypot(*(every[pairs[:, 0]] - every[pairs[:, 1]]).T)
        close = pairs[apart < np.minimum(reach[pairs[:, 0]], reach[pairs[:, 1]])]
        # The later of two that are too close moves.
        moving = np.unique(close.max(axis=1)) if len(close) else np.empty(0, np.int64)
        stays = np.ones(len(every), np.bool_)
        stays[moving] = False
        stays[: len(kept)] = True
        kept, near, loose = every[stays], reach[stays], every[~stays]
        waiting = _moved(layout, rng, loose, 3.0 * diameter)
    return kept


def _wanted(layout: Layout, rng: np.random.Generator, crowd: float) -> Real:
    """Return places (n, 2) as densely as the zones have cells, however close."""
    most = max(max(ends) for ends in DENSITY.values()) * crowd
    count = int(rng.poisson(most * layout.width * layout.height / 1e4))
    spots = _anywhere(layout, rng, count)
    return spots[rng.random(count) * most < crowd * layout.density(*spots.T)]


def _moved(layout: Layout, rng: np.random.Generator, spots: Real, far: float) -> Real:
    """Move places a little, within their zone."""
    moved = spots + far * rng.standard_normal(spots.shape)
    inside = (
        (moved[:, 0] >= 0) & (moved[:, 1] >= 0) & (moved[:, 0] < layout.width) & (moved[:, 1] < layout.height)
    )
    moved = np.where(inside[:, None], moved, spots)
    same = layout.zone(*moved.T) == layout.zone(*spots.T)
    return np.where(same[:, None], moved, spots)


def _precipitate(layout: Layout, rng: np.random.Generator) -> Real:
    """Return the places (n, 2) of the grains of precipitated stain, denser in the middle of each patch."""
    found = [np.empty((0, 2))]
    for fault in layout.faults:
        if fault.kind != "precipitate":
            continue
        left, top, right, bottom = fault.box()
        count = int(rng.poisson(420.0 * (right - left) * (bottom - top) / 1e4))
        spots = rng.uniform((left, top), (right, bottom), (count, 2))
        spots = spots[fault.depth(*spots.T) > 0]
        found.append(spots)
    return np.concatenate(found)
