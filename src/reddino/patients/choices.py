"""Choices of the patient-level evaluation, for the command line; nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal, get_args

#: What is left out as a whole: patients in folds, or each source in turn.
PatientProtocol = Literal["patients", "leave-one-source-out"]
#: The picture of a patient that linear models read.
PictureKind = Literal["mean", "moments"]
#: Models beyond those that are always scored.
OptionalModel = Literal["boosted", "attention", "set-transformer"]
#: Of these, models over cells.
OVER_CELLS: tuple[OptionalModel, ...] = ("attention", "set-transformer")

PATIENT_PROTOCOLS: tuple[PatientProtocol, ...] = get_args(PatientProtocol)
PICTURE_KINDS: tuple[PictureKind, ...] = get_args(PictureKind)
OPTIONAL_MODELS: tuple[OptionalModel, ...] = get_args(OptionalModel)
