"""Folders of fitted models of patients: a description in JSON, and arrays as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reddino.foundations import locks
from reddino.foundations.atomic import atomic_path, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.structured import fit, read_json
from reddino.foundations.version import __version__
from reddino.patients.choices import PictureKind
from reddino.patients.features import FittedPicture
from reddino.patients.patient_model import Linear, PatientModel, clinical_of, clinical_state

DESCRIPTION, ARRAYS = "patients.json", "patients.safetensors"


class _Column(BaseModel):
    """How a clinical column becomes numbers."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    categories: tuple[str, ...] | None = None
    median: float | None = None
    mean: float | None = None
    scale: Annotated[float, Field(gt=0)] | None = None
    tells_missing: bool | None = None


class _ModelFile(BaseModel):
    """What `patients.json` holds."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    columns: tuple[tuple[str, Literal["number", "category"]], ...]
    units: tuple[str, ...] | None = None
    clinical: tuple[_Column, ...]
    picture_kind: PictureKind
    embedding: dict[str, Any]
    report: dict[str, Any]
    provenance: dict[str, Any]
    arrays_hash: str
    version: str


def require_free(folder: Path) -> None:
    """Refuse a folder that holds a model of patients."""
    taken = f"{folder} already holds a model of patients; choose another folder or delete it"
    locks.require_free(folder / DESCRIPTION, taken)


def save_patient_model(folder: Path, model: PatientModel) -> None:
    """Write a model, each file whole, the description last."""
    require_free(folder)
    arrays = _arrays(model)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / ARRAYS) as partial:
        save_file(arrays, partial)
    content = {
        "classes": model.classes,
        "columns": model.columns,
        "units": model.units,
        "clinical": clinical_state(model.clinical),
        "picture_kind": model.picture_kind,
        "embedding": model.embedding,
        "report": model.report,
        "provenance": model.provenance,
        "arrays_hash": _hash(arrays),
        "version": __version__,
    }
    write_text(
        folder / DESCRIPTION, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    )


def open_patient_model(folder: str | Path) -> PatientModel:
    """Read a model of patients.

    Raises:
        RedDinoError: it is missing, damaged, or mixed from two models.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        raise RedDinoError(
            f"{folder} is no model of patients: it holds no {DESCRIPTION}; make one with reddino patients fit"
        )
    origin = f"{folder / DESCRIPTION} cannot be read as a model of patients of RedDino {__version__}"
    content = fit(_ModelFile, read_json(folder / DESCRIPTION), origin)
    arrays = _read_arrays(folder / ARRAYS)
    if _hash(arrays) != content.arrays_hash:
        raise RedDinoError(
            f"{folder}: {ARRAYS} does not belong to {DESCRIPTION}; the folder was mixed or damaged"
        )
    state = [column.model_dump(exclude_none=True) for column in content.clinical]
    whole = [{"categories"}, {"median", "mean", "scale", "tells_missing"}]
    counts = {len(state), len(content.columns if content.units is None else content.units)}
    if counts != {len(content.columns)} or any(one.keys() not in whole for one in state):
        raise RedDinoError(f"{origin}: clinical: does not fit the columns")
    clinical = clinical_of(state)
    return PatientModel(
        classes=content.classes,
        columns=content.columns,
        clinical=clinical,
        picture=FittedPicture(
            np.empty(0), arrays["picture_mean"], arrays["picture_scale"], arrays["picture_axes"]
        ),
        picture_kind=content.picture_kind,
        of_clinical=Linear(arrays["clinical_weights"], arrays["clinical_bias"]),
        of_picture=Linear(arrays["picture_weights"], arrays["picture_bias"]),
        fusion=Linear(arrays["fusion_weights"], arrays["fusion_bias"]),
        embedding=content.embedding,
        report=content.report,
        provenance=content.provenance,
        units=content.units,
    )


def _arrays(model: PatientModel) -> dict[str, np.ndarray[Any, Any]]:
    found = {
        "picture_mean": model.picture.mean,
        "picture_scale": model.picture.scale,
        "picture_axes": model.picture.axes,
    }
    heads = {"clinical": model.of_clinical, "picture": model.of_picture, "fusion": model.fusion}
    for name, head in heads.items():
        found |= {f"{name}_weights": head.weights, f"{name}_bias": head.bias}
    return {name: np.ascontiguousarray(values, dtype=np.float64) for name, values in found.items()}


_SHAPES = {
    "picture_mean": 1, "picture_scale": 1, "picture_axes": 2, "clinical_weights": 2, "clinical_bias": 1,
    "picture_weights": 2, "picture_bias": 1, "fusion_weights": 2, "fusion_bias": 1,
}  # fmt: skip


def _read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        arrays = load_file(path)
    except (ValueError, TypeError, KeyError, AttributeError, SafetensorError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(f"{path} cannot be read as a model of patients: {reason}") from error
    if {name: values.ndim for name, values in arrays.items()} != _SHAPES:
        raise RedDinoError(f"{path} does not hold the arrays of a model of patients")
    if any(values.dtype != np.float64 or not np.isfinite(values).all() for values in arrays.values()):
        raise RedDinoError(f"{path} holds numbers that are no finite float64")
    return arrays


def _hash(arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    return hash_bytes(*(name.encode() + arrays[name].tobytes() for name in sorted(arrays)))
