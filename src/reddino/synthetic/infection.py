"""A hard parasite task: several stages and appearances, and look-alikes on cells that are not infected.

Whether a cell is infected does not follow from its shape (any shape may be), and little from how much dye it
holds: most cells that are not infected bear something else, and few infected ones do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reddino.synthetic.cells import RedCell
from reddino.synthetic.lookalikes import LOOKALIKES
from reddino.synthetic.parasites import STAGES
from reddino.synthetic.patients import Patient
from reddino.synthetic.scene import Scene

#: Diseases of infected patients: those whose red cells are mostly round.
HOSTS = ("malaria", "healthy", "iron deficiency", "megaloblastic anaemia", "liver disease", "renal failure")
#: Fraction of a patient's red cells that are infected; drawn evenly for each patient.
INFECTED = (0.25, 0.55)
#: Fraction of the other cells that bear look-alikes, drawn evenly for each patient, and that of infected ones
#: against it: a cell is not known to be infected by holding something.
ALIKE, ALIKE_ON_INFECTED = (0.45, 0.85), 0.35
#: Expected fraction of each of `STAGES` among a patient's parasites (parts).
STAGE_PARTS = (0.6, 0.26, 0.05, 0.09)
#: Typical strength of the stain of parasites and look-alikes.
AMOUNT = 1.5
#: Fraction of look-alikes that come with another one on the same cell.
ANOTHER = 0.25


@dataclass(frozen=True)
class _Infection:
    """The infection of a patient's cells, and the strength of their stain on a slide."""

    infected: float
    stages: tuple[float, ...]
    alike: float
    kinds: tuple[float, ...]
    amount: float


def _draw(patient: Patient) -> _Infection:
    rng = np.random.default_rng([patient.seed, 11])
    return _Infection(
        infected=float(rng.uniform(*INFECTED)),
        stages=tuple(map(float, rng.dirichlet(5.0 * np.array(STAGE_PARTS)))),
        alike=float(rng.uniform(*ALIKE)),
        kinds=tuple(map(float, rng.dirichlet(1.2 * np.ones(len(LOOKALIKES))))),
        amount=float(AMOUNT * np.exp(0.15 * rng.standard_normal())),
    )


def _marked(rng: np.random.Generator, cell: RedCell, made: _Infection) -> RedCell:
    shape = "normal" if cell.morphology in STAGES else cell.morphology
    cell = replace(cell, morphology=shape, rings=())
    size = cell.diameter
    if rng.random() < made.infected:
        stage = str(rng.choice(list(STAGES), p=made.stages))
        amount = made.amount * float(np.exp(0.25 * rng.standard_normal()))
        cell = replace(cell, morphology=stage, marks=STAGES[stage](rng, size, amount))
    more = rng.random() < made.alike * (ALIKE_ON_INFECTED if cell.morphology in STAGES else 1.0)
    while more:
        kind = str(rng.choice(list(LOOKALIKES), p=made.kinds))
        amount = made.amount * float(np.exp(0.3 * rng.standard_normal()))
        cell = replace(cell, marks=cell.marks + LOOKALIKES[kind](rng, size, amount))
        more = rng.random() < ANOTHER
    return cell


def infected(scene: Scene, patient: Patient) -> Scene:
    """Draw a scene's parasites again, and look-alikes on its cells; a pure function of its arguments.

    Cells that held a parasite count as normal ones first. Then each cell may be infected; its morphology then
    is the stage.
    """
    rng = np.random.default_rng([scene.texture, 12])
    made = _draw(patient)
    return replace(scene, cells=tuple(_marked(rng, cell, made) for cell in scene.cells))
