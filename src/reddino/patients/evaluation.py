"""Evaluation of a cohort: does the picture of the cells add to the clinical columns?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.classification.classifier import Classifier
from reddino.classification.predict import predict_embeddings
from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import short
from reddino.patients.attention import AttentionSettings
from reddino.patients.bags import Bags
from reddino.patients.cautions import confounded_sources, few_patients, leaking_columns
from reddino.patients.choices import OVER_CELLS, OptionalModel, PatientProtocol, PictureKind
from reddino.patients.clinical_columns import require_some
from reddino.patients.cohort import Cohort
from reddino.patients.features import ClinicalFeatures, Features, PictureFeatures
from reddino.patients.protocol import PatientQuestion, Repeat, run_protocol
from reddino.patients.scores import Power, ResultRow, powers, score_models

Rows = NDArray[np.int64]
#: What follows the name of a model that reads the class fractions of a classifier.
FRACTIONS = ", class fractions"


@dataclass(frozen=True)
class PatientScores:
    """The scores of a cohort by one protocol.

    Attributes:
        protocol: how patients were held out.
        classes: names; AUROC and curves of two classes are those of the second.
        patients: ids (n,), truth: (n,) their class numbers, sources: (n,).
        repeats: predictions.
        rows: scores and differences.
        powers: what a difference would take.
        notes: for the reader.
    """

    protocol: PatientProtocol
    classes: tuple[str, ...]
    patients: tuple[str, ...]
    truth: Rows
    sources: tuple[str, ...]
    repeats: tuple[Repeat, ...]
    rows: tuple[ResultRow, ...]
    powers: tuple[Power, ...]
    notes: tuple[str, ...]

    def row(self, model: str, metric: str = "auroc") -> ResultRow | None:
        """Return a score, or None where it is not there."""
        return next((row for row in self.rows if (row.model, row.metric) == (model, metric)), None)


def evaluate_cohort(
    cohort: Cohort,
    *,
    positive: str | None = None,
    picture: PictureKind = "mean",
    classifier: Classifier | None = None,
    protocol: PatientProtocol = "patients",
    folds: int = 5,
    repeats: int = 10,
    also: Sequence[OptionalModel] = (),
    attention: AttentionSettings | None = None,
    seed: int = 0,
) -> list[PatientScores]:
    """Score clinical columns alone, the picture alone, and both.

    Args:
        cohort: patients with a target.
        positive: of two classes, the one whose probability is scored; the second by name, if None.
        picture: what the linear models read of the cells.
        classifier: whose class fractions are another picture.
        protocol: with leave-one-source-out, the ordinary protocol follows for comparison.
        folds: of the ordinary protocol.
        repeats: of it, each with other folds.
        also: models beyond the linear ones.
        attention: settings of the attention models.
        seed: of folds, fits and resamples.

    Raises:
        RedDinoError: no target, too few patients of a class, or no column that can be used.
    """
    if cohort.clinical.target is None:
        raise RedDinoError("patients are scored by a target: name its column with --target")
    if folds < 2 or repeats < 1:
        raise RedDinoError(f"folds must be 2 or more and repeats 1 or more, not {folds} and {repeats}")
    classes, truth = _classes(cohort.clinical.target, positive)
    if cohort.clinical.columns:
        require_some(cohort.clinical.columns, "the clinical table")
    columns = cohort.clinical.used
    question = PatientQuestion(
        truth,
        classes,
        ClinicalFeatures(columns) if columns else None,
        _pictures(cohort, picture, classifier),
        Bags.of(cohort.cells.vectors, cohort.patient, len(cohort)) if set(also) & set(OVER_CELLS) else None,
        cohort.sources,
    )
    cautions = [
        *cohort.notes,
        *(
            []
            if columns
            else ["The clinical table has no column except id and target: the picture stands alone."]
        ),
        *([] if classifier is None else [_classifier_note(classifier, cohort.table.meta)]),
        *leaking_columns(columns, truth, classes),
        *few_patients(truth, classes),
    ]
    wanted: list[PatientProtocol] = [protocol] if protocol == "patients" else [protocol, "patients"]
    found = []
    for one in wanted:
        made = run_protocol(
            question, protocol=one, folds=folds, repeats=repeats, also=also, attention=attention, seed=seed
        )
        rows = score_models(truth, len(classes), made, seed)
        found.append(
            PatientScores(
                one, classes, cohort.clinical.patients, truth, cohort.sources,
                tuple(made), tuple(rows), tuple(powers(truth, made)),
                (*cautions, *_source_notes(cohort.sources, truth, one)),
            )
        )  # fmt: skip
    return [replace(found[0], notes=(*found[0].notes, *_fall(found))), *found[1:]]


def _classes(target: Sequence[str], positive: str | None) -> tuple[tuple[str, ...], Rows]:
    names = sorted(set(target))
    if positive is not None:
        if positive not in names:
            raise RedDinoError(
                f"no patient is '{short(positive)}': --positive takes {', '.join(map(short, names))}"
            )
        if len(names) != 2:
            raise RedDinoError(f"--positive is for two classes, and there are {len(names)}: leave it out")
        names = [name for name in names if name != positive] + [positive]
    number = {name: place for place, name in enumerate(names)}
    return tuple(names), np.array([number[value] for value in target], dtype=np.int64)


def _pictures(cohort: Cohort, kind: PictureKind, classifier: Classifier | None) -> dict[str, Features]:
    pictures: dict[str, Features] = {"": PictureFeatures(cohort.pictures(kind))}
    if classifier is not None:
        pictures[FRACTIONS] = PictureFeatures(
            cohort.means(lambda cells: class_probabilities(classifier, cells))
        )
    return pictures


def _classifier_note(classifier: Classifier, meta: Mapping[str, Any]) -> str:
    """Return whether the classifier may have learned from the patients that it is scored on."""
    if classifier.provenance.get("data") == meta.get("data"):
        return (
            "The classifier learned from this very table: its class fractions have seen the patients that "
            "are tested, and flatter."
        )
    return (
        "The classifier's own patients are not recorded: class fractions flatter if it learned from some of "
        "these."
    )


def class_probabilities(classifier: Classifier, cells: Embeddings) -> NDArray[np.float32]:
    """Return probabilities (m, K) of cells; their means over patients are class fractions."""
    return predict_embeddings(classifier, cells, keep_border=True).probabilities.astype(np.float32)


def _source_notes(sources: Sequence[str], truth: Rows, protocol: PatientProtocol) -> list[str]:
    v = confounded_sources(sources, truth)
    if v is None:
        return []
    together = f"The sources go together with the target (Cramér's V {v:.2f})"
    if protocol == "patients":
        return [
            f"{together}: a model may predict the laboratory, not the disease, and these scores flatter; see "
            "--protocol leave-one-source-out."
        ]
    return [f"{together}: the ordinary protocol flatters, whose scores stand next to these."]


def _fall(found: Sequence[PatientScores]) -> list[str]:
    """Return how far AUROC falls where sources are left out."""
    if len(found) < 2:
        return []
    falls = []
    for model in ("clinical", "picture", "both"):
        left_out, ordinary = found[0].row(model), found[1].row(model)
        if left_out is not None and ordinary is not None:
            falls.append(f"{model} {left_out.value:.3f} (ordinary {ordinary.value:.3f})")
    return [f"AUROC with each source left out: {', '.join(falls)}."] if falls else []
