"""Patients: disease profiles that decide the mix of shapes, the size and the haemoglobin of red cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.synthetic.cells import Habit
from reddino.synthetic.morphologies import MORPHOLOGIES


@dataclass(frozen=True)
class Profile:
    """A disease: expected fraction of each shape (parts, not normalised) and typical red-cell indices.

    `diameter` is the mean cell diameter in micrometres, `cv` its coefficient of variation, `chromia` the
    haemoglobin against normal, `crowd` the red cells in 10,000 square micrometres, `platelets` and `white`
    the same for those, `blue` the fraction of polychromatic cells.
    """

    shapes: dict[str, float]
    diameter: float = 7.4
    cv: float = 0.06
    chromia: float = 1.0
    crowd: float = 68.0
    platelets: float = 4.0
    white: float = 0.5
    blue: float = 0.02


PROFILES: dict[str, Profile] = {
    "healthy": Profile({"normal": 30, "ovalocyte": 1.5, "stomatocyte": 1, "target": 0.7, "burr": 0.8}),
    "hereditary spherocytosis": Profile(
        {"spherocyte": 14, "normal": 11, "microcyte": 2, "macrocyte": 1.5, "stomatocyte": 1.2},
        diameter=7.1,
        cv=0.09,
        chromia=1.08,
        crowd=58,
        blue=0.08,
    ),
    "hereditary elliptocytosis": Profile(
        {
            "elliptocyte": 14,
            "ovalocyte": 8,
            "normal": 7,
            "schistocyte": 1,
            "teardrop": 0.8,
            "stomatocyte": 0.6,
        },
        cv=0.08,
    ),
    "thalassaemia": Profile(
        {
            "target": 9,
            "microcyte": 6,
            "hypochromia": 6,
            "normal": 5,
            "teardrop": 2,
            "schistocyte": 1.5,
            "ovalocyte": 1.5,
        },
        diameter=6.7,
        cv=0.12,
        chromia=0.82,
        crowd=66,
        blue=0.05,
    ),
    "iron deficiency": Profile(
        {"hypochromia": 11, "microcyte": 7, "normal": 6, "elliptocyte": 3, "target": 1.5, "teardrop": 1},
        diameter=6.6,
        cv=0.12,
        chromia=0.8,
        crowd=58,
        platelets=8,
    ),
    "sickle cell disease": Profile(
        {
            "sickle": 9,
            "normal": 11,
            "target": 4,
            "ovalocyte": 2,
            "macrocyte": 1.5,
            "spherocyte": 1,
            "schistocyte": 1,
        },
        diameter=7.4,
        cv=0.1,
        crowd=52,
        platelets=6,
        white=0.8,
        blue=0.1,
    ),
    "malaria": Profile(
        {"ring-stage parasite": 9, "normal": 18, "burr": 1, "macrocyte": 0.8, "target": 0.5},
        crowd=60,
        platelets=2,
        blue=0.03,
    ),
    "megaloblastic anaemia": Profile(
        {"macrocyte": 12, "ovalocyte": 5, "normal": 8, "teardrop": 2, "schistocyte": 1, "target": 0.6},
        diameter=8.1,
        cv=0.12,
        chromia=1.06,
        crowd=46,
        platelets=2.5,
    ),
    "renal failure": Profile(
        {"burr": 13, "normal": 13, "schistocyte": 1, "spherocyte": 0.6, "teardrop": 0.5}, crowd=54
    ),
    "microangiopathic haemolysis": Profile(
        {"schistocyte": 9, "normal": 11, "spherocyte": 3.5, "microcyte": 2, "macrocyte": 1.5, "burr": 1.5},
        cv=0.11,
        crowd=50,
        platelets=1,
        blue=0.12,
    ),
    "liver disease": Profile(
        {"target": 7, "stomatocyte": 8, "macrocyte": 4, "normal": 8, "burr": 1, "ovalocyte": 0.8},
        diameter=7.8,
        cv=0.08,
        crowd=54,
        platelets=2.5,
    ),
    "myelofibrosis": Profile(
        {"teardrop": 10, "ovalocyte": 4, "normal": 10, "elliptocyte": 1.5, "schistocyte": 1, "microcyte": 1},
        diameter=7.2,
        cv=0.1,
        crowd=54,
        white=1.2,
        blue=0.05,
    ),
}


@dataclass(frozen=True)
class Patient:
    """A patient whose blood is on the slides. `mix` gives the fraction of each of `MORPHOLOGIES`."""

    seed: int
    profile: str
    mix: tuple[float, ...]
    crowd: float
    platelets: float
    white: float
    habit: Habit


def draw_patient(seed: int, profile: str | None = None) -> Patient:
    """Draw a patient; a pure function of its arguments.

    Args:
        seed: not negative.
        profile: a name of `PROFILES`; None draws one.

    Raises:
        RedDinoError: no such profile.
    """
    if profile is not None and profile not in PROFILES:
        raise RedDinoError(f"no disease profile is called {profile!r}; known are: {', '.join(PROFILES)}")
    rng = np.random.default_rng([seed, 1])
    name = str(rng.choice(list(PROFILES)))
    name = profile or name
    typical = PROFILES[name]
    # a little of everything: every slide has a few odd cells, and healthy people have some too
    parts = np.array([typical.shapes.get(shape, 0.0) + 0.12 for shape in MORPHOLOGIES])
    mix = rng.dirichlet(0.9 * parts)
    mix = 0.9 * mix + 0.1 * parts / parts.sum()
    return Patient(
        seed=seed,
        profile=name,
        mix=tuple(float(m) for m in mix),
        crowd=float(1.25 * typical.crowd * np.exp(0.18 * rng.standard_normal())),
        platelets=float(typical.platelets * np.exp(0.4 * rng.standard_normal())),
        white=typical.white,
        habit=Habit(
            diameter=float(np.clip(typical.diameter + 0.35 * rng.standard_normal(), 6.0, 8.9)),
            cv=float(typical.cv * np.exp(0.2 * rng.standard_normal())),
            chromia=float(typical.chromia * np.exp(0.09 * rng.standard_normal())),
            blue=typical.blue,
            wobble=float(rng.uniform(0.02, 0.065)),
            pallor_depth=float(rng.uniform(0.3, 0.72)),
            pallor_radius=float(rng.uniform(0.32, 0.54)),
        ),
    )
