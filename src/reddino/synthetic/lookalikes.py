"""Objects that are mistaken for parasites: stain, dirt, platelets, remnants of the nucleus, bubbles.

Lengths are in micrometres, `size` is the cell's diameter, `amount` how strongly it is stained (1 is usual),
and marks are drawn around the cell's centre.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reddino.synthetic import outlines
from reddino.synthetic.cells import Mark
from reddino.synthetic.parasites import Marks, somewhere, spot, spots


def _texture(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def precipitate(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw one to seven sharp grains of stain, close together, on the cell or next to it."""
    place = somewhere(rng, 0.52 * size)
    reach = float(rng.uniform(0.2, 1.2))
    grains = tuple(
        outlines.fragment(rng) * float(np.exp(rng.normal(np.log(0.22), 0.4))) + place + somewhere(rng, reach)
        for _ in range(int(rng.integers(1, 8)))
    )
    blue = float(rng.uniform(0.0, 0.4))
    return (Mark(grains, (0.0, blue * amount, 0.75 * amount, 0.3), soft=0.12, outside=True),)


def dirt(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a dark grain above the cell, with a bright seam."""
    shape = outlines.fragment(rng) * float(rng.uniform(0.2, 0.7)) + somewhere(rng, 0.5 * size)
    return (
        Mark((shape,), (0.3, 0.0, 0.0, float(rng.uniform(1.0, 3.5))), soft=0.2, outside=True),
        Mark((shape,), (0.0, 0.0, 0.0, -float(rng.uniform(0.2, 1.0))), line=0.35, outside=True),
    )


def platelet(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a platelet that lies on the cell.

    It is a blue body with purple granules in its middle, in a pale seam.
    """
    place = somewhere(rng, 0.42 * size)
    radius = float(rng.uniform(0.6, 1.45))
    body = spot(rng, np.zeros(2), radius, 0.3)
    granules = body * float(rng.uniform(0.45, 0.75)) + somewhere(rng, 0.2 * radius)
    purple, blue = float(rng.uniform(0.35, 0.75)) * amount, float(rng.uniform(0.15, 0.5)) * amount
    texture, grain = _texture(rng), float(rng.uniform(0.2, 0.6))
    return (
        Mark((body * 1.35 + place,), haemoglobin=float(rng.uniform(0.7, 1.0)), soft=0.5, outside=True),
        Mark((body + place,), (0.0, blue, 0.15 * amount, 0.0), 1.0, 0.3, 0.0, grain, texture, outside=True),
        Mark((granules + place,), (0.0, 0.0, purple, 0.0), 1.0, 0.5, 0.0, grain, texture, outside=True),
    )


def nuclear_remnant(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a Howell-Jolly body: a smooth round purple dot, mostly one and away from the middle."""
    dots = tuple(
        spot(rng, somewhere(rng, 0.42 * size), float(rng.uniform(0.25, 0.6)), 0.05)
        for _ in range(1 + int(rng.random() < 0.15))
    )
    return (Mark(dots, (0.0, 0.0, 0.8 * amount, 0.0), soft=0.2),)


def stippling(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw basophilic stippling: fine or coarse blue dots all over the cell."""
    coarse = float(rng.uniform(0.07, 0.17))
    dots = spots(rng, int(rng.integers(14, 45)), 0.44 * size, (0.7 * coarse, 1.4 * coarse))
    return (Mark(dots, (0.0, float(rng.uniform(0.3, 0.8)) * amount, 0.1, 0.0), soft=0.12),)


def siderotic_granules(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw Pappenheimer bodies: a few small dots near the cell's edge, close together."""
    turn, out = float(rng.uniform(0.0, 2.0 * np.pi)), float(rng.uniform(0.2, 0.42)) * size
    place = out * np.array([np.cos(turn), np.sin(turn)])
    dots = tuple(body + place for body in spots(rng, int(rng.integers(2, 7)), 0.7, (0.12, 0.26)))
    return (Mark(dots, (0.0, 0.35 * amount, 0.45 * amount, 0.0), soft=0.15),)


def bubble(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw drying artefacts and bubbles: one to four pale discs with a dark or bright rim."""
    discs = spots(rng, int(rng.choice([1, 2, 3, 4], p=[0.6, 0.2, 0.12, 0.08])), 0.4 * size, (0.25, 1.2))
    rim = float(rng.uniform(0.6, 2.5)) * (1.0 if rng.random() < 0.75 else -0.5)
    return (
        Mark(discs, haemoglobin=float(rng.uniform(0.3, 0.85)), soft=0.25),
        Mark(discs, (0.0, 0.0, 0.0, rim), line=float(rng.uniform(0.12, 0.3))),
    )


def stain_ring(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw the edge of a dried drop of stain.

    It is a blue to purple line around a clear or tinted disc, without chromatin.
    """
    disc = spot(rng, somewhere(rng, 0.4 * size), float(rng.uniform(0.35, 1.5)), 0.3)
    blue, purple = float(rng.uniform(0.2, 0.6)) * amount, float(rng.uniform(0.0, 0.25)) * amount
    return (
        Mark((disc,), (0.0, float(rng.uniform(-0.05, 0.2)), 0.0, 0.0), float(rng.uniform(0.75, 1.0)), 0.3),
        Mark(
            (disc,),
            (0.0, blue, purple, 0.0),
            line=float(rng.uniform(0.12, 0.35)),
            grain=0.5,
            texture=_texture(rng),
        ),
    )


def smudge(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a patch of stain without a clear edge, as large as a trophozoite: remains of a platelet."""
    radius = size * float(rng.uniform(0.14, 0.33))
    shape = (
        outlines.fragment(rng)
        if rng.random() < 0.5
        else outlines.disc(rng, 0.5, float(rng.uniform(1.0, 2.2)))
    )
    patch = outlines.turned(shape, float(rng.uniform(0.0, 2.0 * np.pi))) * radius
    blue, purple = float(rng.uniform(0.2, 0.6)) * amount, float(rng.uniform(0.0, 0.35)) * amount
    return (
        Mark(
            (patch + somewhere(rng, 0.5 * size - 0.7 * radius),),
            (0.0, blue, purple, 0.0),
            float(rng.uniform(0.7, 1.0)),
            float(rng.uniform(0.3, 1.2)),
            grain=float(rng.uniform(0.2, 0.7)),
            texture=_texture(rng),
            outside=bool(rng.random() < 0.5),
        ),
    )


def mottled(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a young red cell: blue all over or over much of it, evenly or mottled."""
    area = spot(rng, somewhere(rng, 0.15 * size), size * float(rng.uniform(0.3, 0.55)), 0.15)
    dyes = (0.0, float(rng.uniform(0.15, 0.45)) * amount, float(rng.uniform(0.0, 0.08)), 0.0)
    soft, grain = float(rng.uniform(0.3, 1.5)), float(rng.uniform(0.1, 0.9))
    return (Mark((area,), dyes, float(rng.uniform(0.7, 1.0)), soft, grain=grain, texture=_texture(rng)),)


LOOKALIKES: dict[str, Callable[[np.random.Generator, float, float], Marks]] = {
    "precipitate": precipitate,
    "dirt": dirt,
    "platelet": platelet,
    "nuclear remnant": nuclear_remnant,
    "stippling": stippling,
    "siderotic granules": siderotic_granules,
    "bubble": bubble,
    "stain ring": stain_ring,
    "smudge": smudge,
    "mottled": mottled,
}
"""How each look-alike is drawn: (rng, the cell's diameter, how strongly it is stained) to marks."""
