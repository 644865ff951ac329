"""Making a classifier: from an embedding table, from smears, or by fine-tuning a network on smears."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.classification.calibrated_probe import fit_probe
from reddino.classification.classifier import MODEL, Classifier, require_free, save_classifier
from reddino.classification.finetune import TuneSettings, fine_tune
from reddino.classification.held_out_files import write_held_out
from reddino.classification.planned_views import PlannedViews, Progress, cut_to_file, describe
from reddino.classification.training_cells import keep_training_cells
from reddino.embedding.border import whole_cells
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.view_encoder import Images, Vectors
from reddino.evaluation.class_map import labelled_rows
from reddino.evaluation.leaks import alike_notes, divided_notes, groups_of, leak_notes
from reddino.evaluation.separation import Doubt, is_evidence, separation_doubts
from reddino.foundations.atomic import draft_folder
from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import writing
from reddino.foundations.provenance import provenance
from reddino.foundations.stages import watched
from reddino.networks.encoder import Encoder
from reddino.networks.folder import save_model_folder
from reddino.smears.failures import Failures
from reddino.views.spec import ViewSpec

Renamed = Mapping[str, str | None]
#: In a report: cells that were left out since the border of their image cuts them.
CUT = "cells_at_the_border"


def fit_on_table(
    emb: Embeddings,
    out: Path,
    *,
    label: str = "label",
    group_column: str | None = None,
    join_sources: Collection[str] = (),
    classes: Renamed | None = None,
    keep_border: bool = False,
    folds: int = 5,
    seed: int = 0,
    root: Path | None = None,
) -> Classifier:
    """Fit a frozen probe on embeddings, and save it.

    Args:
        emb: a table, or vectors that were made in memory.
        out: the classifier's folder.
        label: column of the classes; rows without one are left out.
        group_column: what stays on one side of a split; None: rows of one
            image, group, slide or patient.
        join_sources: columns whose values mean the same under every source.
        classes: old label to new, None to drop it.
        keep_border: learn from cells that the border of their image cuts, too.
        folds: of the choice of strength and of the calibration.
        seed: of the folds.
        root: folder of the pictures, whose looks are kept; None where only vectors are at hand.

    Raises:
        RedDinoError: the folder is taken, vectors are not finite, or classes and groups cannot be split.
    """
    require_free(out)
    if emb.meta.get("per", "view") != "view" or emb.meta.get("pooling") == "tokens":
        raise RedDinoError(
            "a classifier learns from tables with a row a view: embed with --per view, and no tokens"
        )
    emb, cut = (emb, 0) if keep_border else whole_cells(emb)
    labelled, labels = labelled_rows(emb, label, classes)
    require_finite(labelled)
    groups = groups_of(labelled, group_column, join_sources)
    leaks = _leaks(labelled, labels, group_column, groups)
    doubts = separation_doubts(labelled, labels, groups)
    fitted = fit_probe(labelled.vectors, labels, groups, folds=folds, seed=seed)
    classifier = Classifier(
        kind="probe",
        **_described(labelled, labels, seed),
        head=fitted.head,
        temperature=fitted.temperature,
        priors=_fractions(labels),
        report=_report(fitted.report, labelled, len(emb), leaks, doubts) | {CUT: cut},
        training=keep_training_cells(
            labelled,
            labels,
            groups,
            root=root,
            probabilities=fitted.probabilities,
            truth=fitted.truth,
            seed=seed,
        ),
    )
    write_held_out(out, classifier)
    save_classifier(out, classifier)
    return classifier


def fit_on_pixels(
    plan: PlannedViews,
    encoder: Encoder,
    out: Path,
    settings: TuneSettings,
    *,
    pooling: str = "cls",
    label: str = "label",
    group_column: str | None = None,
    join_sources: Collection[str] = (),
    classes: Renamed | None = None,
    keep_border: bool = False,
    failures: Failures,
    progress: Progress | None = None,
) -> Classifier:
    """Fine-tune a network on the labelled views of a plan, and save it with its head.

    The cut views are kept in a temporary file next to the classifier meanwhile.

    Raises:
        RedDinoError: the folder is taken, or classes and groups cannot be split.
    """
    require_free(out)
    with writing(out), draft_folder(out, "views") as folder:
        numbers, pixels, copies = cut_to_file(plan, folder / "pixels", failures=failures)
        # Row numbers stand where vectors would, so that choosing rows chooses pixels.
        places = np.arange(len(numbers), dtype=np.float32)[:, None]
        made = Embeddings(places, plan.table(numbers), describe(encoder, plan, pooling), copies)
        made, cut = (made, 0) if keep_border else whole_cells(made)
        labelled, labels = labelled_rows(made, label, classes)
        rows = labelled.vectors[:, 0].astype(np.int64)
        groups = groups_of(labelled, group_column, join_sources)
        leaks = _leaks(labelled, labels, group_column, groups)
        doubts = separation_doubts(labelled, labels, groups)
        tuned = fine_tune(
            encoder,
            pixels if len(rows) == len(pixels) else pixels[rows],
            labels,
            groups,
            settings,
            pooling=pooling,
            watch=progress,
        )
        vectors = _embedded(encoder, pixels, rows, pooling)
    origin = {"start": encoder.weights_hash, "start_name": encoder.name, **settings.model_dump()}
    card = save_model_folder(out / MODEL, encoder.backbone, replace(encoder.card, training=origin))
    described = _described(labelled, labels, settings.seed)
    classifier = Classifier(
        kind="fine-tuned",
        **described | {"model": MODEL, "weights_hash": card.weights_hash},
        head=tuned.head,
        temperature=tuned.temperature,
        offset=tuned.offset,
        priors=tuned.priors,
        report=_report(tuned.report, labelled, len(made), leaks, doubts) | {CUT: cut},
        training=keep_training_cells(
            replace(labelled, vectors=vectors),
            labels,
            groups,
            root=plan.manifest.root,
            probabilities=tuned.probabilities,
            truth=tuned.truth,
            held=tuned.held,
            seed=settings.seed,
        ),
    )
    write_held_out(out, classifier)
    save_classifier(out, classifier)
    return classifier


def _embedded(encoder: Encoder, pixels: Images, rows: npt.NDArray[np.int64], pooling: str) -> Vectors:
    """Return the vectors (n, d) of some views, which may lie on disk, by the network as it is now."""
    parts = [
        encoder.embed(np.asarray(pixels[rows[start : start + 256]]), pooling)
        for start in watched(range(0, len(rows), 256), "embedding by the tuned network")
    ]
    return np.concatenate(parts)


def _leaks(
    labelled: Embeddings, labels: Sequence[str], column: str | None, groups: Sequence[str]
) -> list[str]:
    """Return notes on what may leak between the folds, and on classes that may be one."""
    return [
        *leak_notes(labelled, groups),
        *divided_notes(labelled, column, groups),
        *alike_notes("classes", labels),
    ]


def _report(
    report: Mapping[str, Any],
    labelled: Embeddings,
    rows: int,
    leaks: Sequence[str],
    doubts: Sequence[Doubt],
) -> dict[str, Any]:
    """Report the scores of a head, the number of `rows` rows it learned on, leaks, and what is in doubt."""
    return {
        **report,
        "evidence": is_evidence(doubts),
        "doubts": [asdict(doubt) for doubt in doubts],
        "notes": [*(doubt.note() for doubt in doubts), *report["notes"], *leaks],
        "cells": len(labelled),
        "left_out": rows - len(labelled),
    }


def _described(emb: Embeddings, labels: list[str], seed: int) -> dict[str, Any]:
    """Return what a classifier records of the views and of the network, as arguments of `Classifier`."""
    meta: Mapping[str, Any] = emb.meta
    view = ViewSpec(**meta["view"])
    return {
        "classes": tuple(np.unique(np.asarray(labels)).tolist()),
        "model": str(meta.get("opens_as", meta["model"])),
        "weights_hash": str(meta["weights_hash"]),
        "pooling": str(meta["pooling"]),
        "view": view,
        "preprocessing": dict(meta["preprocessing"]),
        "pixels_a_cell": _median(emb, "cell_diameter") if view.kind == "cells" else None,
        "side_px": _median(emb, "view_side"),
        "provenance": provenance(seed=seed, data=str(meta.get("data", "")), model=str(meta["weights_hash"])),
    }


def _fractions(labels: Sequence[str]) -> tuple[float, ...]:
    """Return the fraction of each class, in alphabetical order."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return tuple((counts / counts.sum()).tolist())


def _median(emb: Embeddings, column: str) -> float | None:
    values = emb.numbers(column)
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
