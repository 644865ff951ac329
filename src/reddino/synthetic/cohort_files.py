"""Folders of synthetic cohorts: pictures with their manifest, a clinical table, and the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import write_csv
from reddino.foundations.locks import require_free
from reddino.foundations.stages import watched
from reddino.foundations.version import __version__
from reddino.smears.manifest import Manifest, read_manifest
from reddino.synthetic.choices import Adds
from reddino.synthetic.cohorts import CLINICAL_COLUMNS, DISEASED, HEALTHY, CohortPatient, draw_cohort
from reddino.synthetic.random_sources import named_source
from reddino.synthetic.scene import FIELD
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.write import SOURCE_PREFIX, Settings, SyntheticField, write_field, write_rows


def write_cohort(
    folder: Path,
    *,
    patients: int = 100,
    fields: int = 1,
    adds: Adds = "something",
    laboratories: int = 3,
    confounded: bool = False,
    missing: float = 0.08,
    field_um: float = FIELD,
    seed: int = 0,
) -> Manifest:
    """Draw a cohort and write it: pictures, clinical.csv, truth.csv, synthetic.json, and manifest.csv last.

    Args:
        folder: where to write; must not hold a manifest yet.
        patients: in all.
        fields: pictures of each patient.
        adds: what the picture adds to the blood counts.
        laboratories: of `SOURCES`, the first so many.
        confounded: the disease goes together with the laboratory.
        missing: fraction of the values of each clinical column that are missing.
        field_um: side of a field in micrometres.
        seed: what everything follows from; not negative.

    Raises:
        RedDinoError: a setting is out of range, or the folder already holds a manifest.
    """
    if not 1 <= laboratories <= len(SOURCES):
        raise RedDinoError(f"a cohort comes from 1 to {len(SOURCES)} laboratories, not {laboratories}")
    if fields < 1 or not field_um >= 10.0:
        raise RedDinoError(
            f"a cohort needs fields of 1 or more, of 10 um or more, not {fields} and {field_um}"
        )
    members = draw_cohort(
        patients, adds=adds, laboratories=laboratories, confounded=confounded, missing=missing, seed=seed
    )
    taken = f"{folder} already holds a manifest.csv; write a cohort to a new folder"
    require_free(folder / "manifest.csv", taken)
    names = list(SOURCES)[:laboratories]
    settings = Settings(
        seed=seed,
        sources=tuple(names),
        patients_per_source=patients,
        slides_per_patient=1,
        fields_per_patient=fields,
        every_source=False,
        bystanders=False,
        field_um=field_um,
    )
    seeds = np.random.default_rng([seed, 12]).integers(2**31, size=patients)
    jobs = [
        SyntheticField(
            member.patient(int(own)), member.name, 0, number, (named_source(names[member.laboratory]),)
        )
        for member, own in zip(members, seeds, strict=True)
        for number in range(fields)
    ]
    rows = [row for job in watched(jobs, "drawing fields") for row in write_field(folder, job, settings)]
    _write_tables(folder, members, names)
    used = {"version": __version__, "cohort": adds, "confounded": confounded, "missing": missing}
    used |= {"patients": patients, "fields": fields, "sources": names, "field_um": field_um, "seed": seed}
    write_text(folder / "synthetic.json", json.dumps(used, indent=2) + "\n")
    write_rows(folder / "manifest.csv", rows)
    return read_manifest(folder / "manifest.csv")


def _write_tables(folder: Path, members: list[CohortPatient], names: list[str]) -> None:
    """Write clinical.csv, as a laboratory would give it, and truth.csv with both traits."""
    write_csv(
        folder / "clinical.csv",
        ("patient", "source", *CLINICAL_COLUMNS, "diagnosis"),
        [
            (
                one.name,
                SOURCE_PREFIX + names[one.laboratory],
                *("" if value is None else str(value) for value in one.clinical),
                DISEASED if one.diseased else HEALTHY,
            )
            for one in members
        ],
    )
    write_csv(
        folder / "truth.csv",
        ("patient", "diagnosis", "trait_of_counts", "trait_of_shapes"),
        [
            (one.name, DISEASED if one.diseased else HEALTHY, f"{one.counted:.4f}", f"{one.shaped:.4f}")
            for one in members
        ],
    )
