"""Cohorts of synthetic patients: disease, blood counts, shapes of cells and laboratory, with known truth.

Two traits of a patient are independent: one that blood counts show (small, pale cells, low haemoglobin), and
one that only the shapes of cells show (teardrops, schistocytes). The disease follows from both, with weights
that set what the picture adds to the counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.synthetic.choices import Adds
from reddino.synthetic.morphologies import MORPHOLOGIES
from reddino.synthetic.patients import Patient, draw_patient

Real = NDArray[np.float64]
#: Weights of the trait of blood counts and of the trait of shapes in the log odds of the disease.
_WEIGHTS: dict[Adds, tuple[float, float]] = {
    "nothing": (1.6, 0.0),
    "something": (1.3, 1.3),
    "everything": (0.0, 2.2),
}
#: The names of a cohort's clinical columns, in order.
CLINICAL_COLUMNS = ("age", "sex", "hb_g_dl", "mcv_fl", "rdw_percent", "platelets_10e9_l", "wbc_10e9_l")
DISEASED, HEALTHY = "disease", "control"


@dataclass(frozen=True)
class CohortPatient:
    """A patient of a cohort.

    Attributes:
        name: id.
        laboratory: number of the laboratory, from 0.
        diseased: the truth.
        counted: the trait that blood counts show, standard normal.
        shaped: the trait that shapes show, standard normal.
        visible: what of `counted` the cells show as well: all of it, or nothing.
        clinical: values by `CLINICAL_COLUMNS`, None where missing.
    """

    name: str
    laboratory: int
    diseased: bool
    counted: float
    shaped: float
    visible: float
    clinical: tuple[float | str | None, ...]

    def mix(self) -> Real:
        """Return the fraction of each of `MORPHOLOGIES`: the trait of shapes moves poikilocytes."""
        parts = np.array([_USUAL.get(shape, 0.002) for shape in MORPHOLOGIES])
        parts[[MORPHOLOGIES.index(shape) for shape in _SHAPED]] *= np.exp(0.9 * self.shaped)
        parts[[MORPHOLOGIES.index(shape) for shape in _COUNTED]] *= np.exp(0.9 * self.visible)
        return np.asarray(parts / parts.sum(), dtype=np.float64)

    def patient(self, seed: int) -> Patient:
        """Return the patient whose smears the renderer draws."""
        drawn = draw_patient(seed, "healthy")
        habit = replace(
            drawn.habit,
            diameter=float(np.clip(drawn.habit.diameter - 0.3 * self.visible, 6.0, 8.9)),
            chromia=float(drawn.habit.chromia * np.exp(-0.08 * self.visible)),
        )
        mix = tuple(float(part) for part in self.mix())
        return replace(drawn, profile=DISEASED if self.diseased else HEALTHY, mix=mix, habit=habit)


_USUAL = {
    "normal": 0.72, "ovalocyte": 0.06, "target": 0.03, "burr": 0.03, "stomatocyte": 0.03,
    "teardrop": 0.03, "schistocyte": 0.02, "microcyte": 0.04, "hypochromia": 0.03,
}  # fmt: skip
#: Shapes that follow each trait.
_SHAPED, _COUNTED = ("teardrop", "schistocyte"), ("microcyte", "hypochromia")


def draw_cohort(
    patients: int = 300,
    *,
    adds: Adds = "something",
    laboratories: int = 3,
    confounded: bool = False,
    missing: float = 0.08,
    seed: int = 0,
) -> list[CohortPatient]:
    """Draw the patients of a cohort; a pure function of its arguments.

    Args:
        patients: how many; some four in ten have the disease.
        adds: what the picture adds to blood counts: nothing, where the disease follows the trait of counts
            alone, which cells then do not show; something; or everything, where it follows the trait of
            shapes alone.
        laboratories: that patients come from.
        confounded: most of the diseased come from the first laboratory, most others from the rest.
        missing: fraction of the values of each clinical column that are missing.
        seed: not negative.

    Raises:
        RedDinoError: a number out of its range.
    """
    if adds not in _WEIGHTS:
        raise RedDinoError(f"no such effect: '{adds}'; choose from {', '.join(_WEIGHTS)}")
    for name, value in (("patients", patients), ("laboratories", laboratories)):
        if value < 1:
            raise RedDinoError(f"a cohort needs {name} of 1 or more, not {value}")
    if not 0 <= missing < 1 or seed < 0:
        raise RedDinoError(f"missing lies in 0..1, below 1, and seed from 0, not {missing} and {seed}")
    rng = np.random.default_rng([seed, 11])
    counted, shaped = rng.standard_normal((2, patients))
    of_counts, of_shapes = _WEIGHTS[adds]
    odds = -0.5 + of_counts * counted + of_shapes * shaped
    diseased = rng.random(patients) < 1 / (1 + np.exp(-odds))
    laboratory = rng.integers(laboratories, size=patients)
    if confounded and laboratories > 1:
        own = rng.random(patients) < 0.8
        rest = 1 + rng.integers(laboratories - 1, size=patients)
        laboratory = np.where(own == diseased, 0, rest)
    values = _blood_counts(rng, counted)
    lost = rng.random(values.shape) < missing
    sexes = np.where(rng.random(patients) < 0.55, "f", "m")
    visible = np.zeros(patients) if adds == "nothing" else counted
    found = []
    for one in range(patients):
        numbers: list[float | str | None] = [
            None if lost[one, column] else round(float(values[one, column]), 1)
            for column in range(values.shape[1])
        ]
        clinical = (numbers[0], str(sexes[one]), *numbers[1:])
        found.append(
            CohortPatient(
                f"c{seed}-{one:04d}", int(laboratory[one]), bool(diseased[one]),
                float(counted[one]), float(shaped[one]), float(visible[one]), clinical,
            )
        )  # fmt: skip
    return found


def _blood_counts(rng: np.random.Generator, counted: Real) -> Real:
    """Return (n, 6): age, Hb, MCV, RDW, platelets, white cells; the trait lowers Hb and MCV, raises RDW."""
    noise = rng.standard_normal((6, len(counted)))
    return np.stack(
        [
            np.clip(48 + 17 * noise[0], 1, 98),
            np.clip(13.4 - 1.3 * counted + 0.9 * noise[1], 4, 19),
            np.clip(88.0 - 5.0 * counted + 4.0 * noise[2], 55, 125),
            np.clip(13.8 + 1.0 * counted + 0.9 * noise[3], 11, 30),
            np.clip(255 * np.exp(0.28 * noise[4]), 10, 1500),
            np.clip(7.0 * np.exp(0.3 * noise[5]), 0.5, 60),
        ],
        axis=1,
    )
