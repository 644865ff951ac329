"""Folders of synthetic smears: pictures, a manifest with the truth, and a note of the settings."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from reddino.foundations.atomic import atomic_path, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import require_free
from reddino.foundations.stages import watched
from reddino.foundations.version import __version__
from reddino.smears.manifest import Manifest, read_manifest
from reddino.synthetic.camera import encode, photograph
from reddino.synthetic.choices import Parasites
from reddino.synthetic.infection import HOSTS, infected
from reddino.synthetic.paint import paint
from reddino.synthetic.patients import PROFILES, Patient, draw_patient
from reddino.synthetic.random_sources import named_source, source_names
from reddino.synthetic.scene import FIELD, Scene, make_scene
from reddino.synthetic.sources import SOURCES, Source, faded
from reddino.synthetic.truth import CellBox, boxes

COLUMNS = (
    *("path", "source", "slide", "patient", "group", "x", "y", "w", "h", "label", "cell_diameter"),
    *("scene", "cell", "diameter_um", "visible", "profile"),
)
#: Before a laboratory's name in manifests, so that no real collection is taken for a synthetic one.
SOURCE_PREFIX = "drawn-"
#: The parasites of a smear: those of the diseases' own mix of shapes, or those of `infection`.
PARASITES: tuple[Parasites, ...] = get_args(Parasites)


@dataclass(frozen=True)
class Settings:
    """Everything the pictures follow from, as recorded in `synthetic.json`."""

    seed: int
    sources: tuple[str, ...]
    patients_per_source: int
    slides_per_patient: int
    fields_per_patient: int
    every_source: bool
    bystanders: bool
    field_um: float
    strength: float = 1.0
    parasites: Parasites = "usual"

    def lab(self, name: str) -> Source:
        """Return a laboratory at the strength of these smears."""
        return faded(named_source(name), self.strength)


@dataclass(frozen=True)
class SyntheticField:
    """One scene to be photographed under one or all sources."""

    patient: Patient
    patient_id: str
    slide: int
    number: int
    sources: tuple[Source, ...]

    @property
    def slide_id(self) -> str:
        """Name of the slide."""
        return f"{self.patient_id}-s{self.slide}"

    @property
    def scene_id(self) -> str:
        """Name of the scene."""
        return f"{self.slide_id}-f{self.number}"


def _checked(settings: Settings) -> Settings:
    for name in settings.sources:
        named_source(name)
    if not settings.sources or len(set(settings.sources)) < len(settings.sources):
        raise RedDinoError("synthetic smears need at least one source, and each source only once")
    for name in ("patients_per_source", "slides_per_patient", "fields_per_patient"):
        if getattr(settings, name) < 1:
            raise RedDinoError(f"synthetic smears need {name} of at least 1, not {getattr(settings, name)}")
    if not settings.field_um >= 10.0:
        raise RedDinoError(
            f"synthetic smears need field_um of at least 10 micrometres, not {settings.field_um}"
        )
    if not 0.0 <= settings.strength <= 1.0:
        raise RedDinoError(f"the strength of sources lies between 0 and 1, and is not {settings.strength}")
    if settings.parasites not in PARASITES:
        raise RedDinoError(f"parasites are {' or '.join(PARASITES)}, not {settings.parasites!r}")
    if settings.seed < 0:
        raise RedDinoError(f"the seed of synthetic smears must not be negative, but is {settings.seed}")
    return settings


def _cohort(settings: Settings, name: str) -> list[tuple[str, Patient]]:
    """Return the patients of a laboratory (or "any"): every disease comes once before one comes twice."""
    key = zlib.crc32(name.encode())
    rng = np.random.default_rng([settings.seed, key])
    count = settings.patients_per_source
    diseases = HOSTS if settings.parasites == "hard" else tuple(PROFILES)
    order = np.concatenate([rng.permutation(diseases) for _ in range(-(-count // len(diseases)))])
    seeds = rng.integers(2**31, size=count)
    return [
        (f"{name}-{settings.seed}-p{k:02d}", draw_patient(int(seeds[k]), str(order[k]))) for k in range(count)
    ]


def _fields(settings: Settings) -> Iterator[SyntheticField]:
    """Yield every scene, in the order in which it is written."""
    labs: dict[str, tuple[Source, ...]] = {name: (settings.lab(name),) for name in settings.sources}
    if settings.every_source:
        labs = {"any": tuple(settings.lab(name) for name in settings.sources)}
    for name, sources in labs.items():
        for patient_id, patient in _cohort(settings, name):
            for number in range(settings.fields_per_patient):
                yield SyntheticField(
                    patient, patient_id, number % settings.slides_per_patient, number, sources
                )


def slide_patients(settings: Settings) -> dict[tuple[str, int], Patient]:
    """Return whose blood is on each slide, by the slide's id and its number among those of the patient."""
    return {(field.slide_id, field.slide): field.patient for field in _fields(settings)}


def _row(
    field: SyntheticField, path: str, source: Source, box: CellBox, *, paired: bool
) -> dict[str, object]:
    # a picture's truth is known to a fraction of a pixel; two decimals keep the table small
    return {
        "path": path,
        "source": f"{SOURCE_PREFIX}{source.name}",
        "slide": field.slide_id,
        "patient": field.patient_id,
        "group": field.scene_id if paired else "",
        **{side: f"{getattr(box, side):.2f}" for side in ("x", "y", "w", "h")},
        "label": box.label,
        "cell_diameter": f"{source.cell_px:g}",
        "scene": field.scene_id,
        "cell": f"{field.scene_id}-{box.cell}",
        "diameter_um": f"{box.diameter:.3f}",
        "visible": f"{box.visible:.3f}",
        "profile": field.patient.profile,
    }


def write_field(folder: Path, field: SyntheticField, settings: Settings) -> Iterator[dict[str, object]]:
    """Write the pictures of one scene; yield the manifest's rows."""
    side = settings.field_um
    scene: Scene = make_scene(field.patient, field.number, slide=field.slide, width=side, height=side)
    if settings.parasites == "hard":
        scene = infected(scene, field.patient)
    maps = paint(scene)
    for source in field.sources:
        path = f"{source.name}/{field.scene_id}{source.suffix}"
        # each photograph has its own light, focus and noise
        seed = int(np.random.SeedSequence([field.patient.seed, field.number, 8]).generate_state(1)[0])
        with atomic_path(folder / path) as partial:
            partial.write_bytes(encode(photograph(maps, scene, source, seed), source))
        for box in boxes(scene, source, bystanders=settings.bystanders):
            yield _row(field, path, source, box, paired=settings.every_source)


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write the rows of a manifest with the truth."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_smears(
    folder: Path,
    *,
    sources: Sequence[str] = tuple(SOURCES),
    patients_per_source: int = 12,
    fields_per_patient: int = 2,
    slides_per_patient: int = 1,
    seed: int = 0,
    every_source: bool = False,
    bystanders: bool = False,
    field_um: float = FIELD,
    strength: float = 1.0,
    parasites: Parasites = "usual",
) -> Manifest:
    """Write synthetic smears with their truth: pictures, `manifest.csv` (last) and `synthetic.json`.

    The manifest has one row per red cell, with its box, its shape and the source's nominal `cell_diameter` in
    pixels. Further columns: `scene` and `cell` (alike under every source), `diameter_um`, `visible` and
    `profile` (the disease).

    Args:
        folder: where to write; must not hold a manifest yet.
        sources: names of `SOURCES`, of random ones (`random-101-03`), or `random:COUNT` for the first COUNT
            that `random_sources` draws for `seed`.
        patients_per_source: patients of each laboratory; with `every_source`, patients in all.
        fields_per_patient: pictures of each patient (and source), spread over the slides.
        slides_per_patient: slides of each patient.
        seed: what every picture follows from; not negative.
        every_source: photograph the same scenes in every laboratory; `group` then names the scene.
        bystanders: give white cells and platelets rows too ('white cell', 'platelet').
        field_um: side of a field in micrometres.
        strength: how much the laboratories differ: 0 not at all, 1 as in `SOURCES`.
        parasites: 'usual', rings in the cells of a few patients; or 'hard', parasites of several stages in a
            quarter to half of every patient's cells, and stain, platelets, bubbles and more on most others,
            which keep the label of their shape (`infection`).

    Raises:
        RedDinoError: a setting is out of range, or the folder already holds a manifest.
    """
    settings = _checked(
        Settings(
            seed=seed,
            sources=source_names(tuple(sources), seed),
            patients_per_source=patients_per_source,
            slides_per_patient=slides_per_patient,
            fields_per_patient=fields_per_patient,
            every_source=every_source,
            bystanders=bystanders,
            field_um=field_um,
            strength=strength,
            parasites=parasites,
        )
    )
    require_free(
        folder / "manifest.csv",
        f"{folder} already holds a manifest.csv; write synthetic smears to a new folder",
    )
    fields = watched(list(_fields(settings)), "drawing fields")
    rows = [row for field in fields for row in write_field(folder, field, settings)]
    write_text(
        folder / "synthetic.json", json.dumps({"version": __version__, **asdict(settings)}, indent=2) + "\n"
    )
    write_rows(folder / "manifest.csv", rows)
    return read_manifest(folder / "manifest.csv")
