"""Fit on labelled smears; open a classifier's network, and write its predictions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from reddino.checks.notice import Notice
from reddino.classification.classifier import Classifier, require_free
from reddino.classification.domain_figure import save_domain_figure
from reddino.classification.finetune import TuneSettings
from reddino.classification.fit import fit_on_pixels, fit_on_table
from reddino.classification.held_out import held_out_summary
from reddino.classification.planned_views import PlannedViews, Progress, plan
from reddino.classification.predict import Predictions
from reddino.classification.prediction_paths import domain_path
from reddino.classification.predictions_file import PICTURES, write_predictions
from reddino.classification.trusted import trust_note
from reddino.classification.vector_cache import cache_path, embedded_in, vector_cache
from reddino.embedding.border import whole_cells
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.kinds import shipped_kind_head
from reddino.embedding.view_encoder import ViewEncoder
from reddino.evaluation.class_map import ClassMap, labelled_rows
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.splits import grouped_folds
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import provenance
from reddino.networks.encoder import Encoder as Network
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.choices import Unit
from reddino.views.scales import view_diameters
from reddino.views.spec import ViewSpec

#: What `predict` logs of a classifier whose folds could not separate its classes from something else.
NO_EVIDENCE = (
    "the held-out scores of this classifier are no evidence that it separates its classes; the notes in its "
    "classifier.json state why"
)


def labelled(manifest: Manifest, label: str, classes: Mapping[str, str | None]) -> Manifest:
    """Return the rows that have a label which is not dropped; only they are cut.

    Raises:
        RedDinoError: there is no such column, or no such row.
    """
    try:
        labels = manifest.strings(label)
    except KeyError as error:
        raise RedDinoError(f"the manifest has no column '{label}' of labels") from error
    ClassMap.of_pairs(classes).require_known(labels)
    kept = np.array([name != "" and classes.get(name, name) is not None for name in labels])
    if not kept.any():
        raise RedDinoError(f"no row of the manifest has a label in column '{label}' to learn from")
    return manifest.select(kept)


@dataclass(frozen=True)
class FitJob:
    """Labelled smears, the network that sees them, and how.

    Attributes:
        manifest: labelled rows.
        encoder: the network.
        side, unit: of the views.
        pooling: which output is the vector.
        views: further settings of the views.
    """

    manifest: Manifest
    encoder: ViewEncoder
    side: float
    unit: Unit
    pooling: str
    views: Mapping[str, Any]

    def fit(
        self,
        out: Path,
        tuning: Mapping[str, Any] | None,
        *,
        folds: int,
        seed: int,
        failures: Failures,
        progress: Progress | None,
        classes: Mapping[str, str | None],
        **columns: Any,
    ) -> Classifier:
        """Fit a frozen probe, or with `tuning` (fields of `TuneSettings`) a fine-tuned network."""
        kind: Literal["cells", "image"] = "cells" if self.manifest.is_cell().any() else "image"
        spec = ViewSpec(
            kind=kind, side=self.side, unit=self.unit, output=self.encoder.input_size, **self.views
        )
        planned = plan(self.manifest, spec, view_diameters(self.manifest, spec), failures)
        # What is dropped is no longer there to be named.
        columns["classes"] = {old: new for old, new in classes.items() if new is not None}
        require_splittable(planned, folds, seed, **columns)
        if tuning is None:
            require_free(out)
            with vector_cache(cache_path(out, folder=True)) as place:
                emb = embedded_in(
                    place,
                    planned,
                    self.encoder,
                    self.pooling,
                    failures=failures,
                    progress=progress,
                    find_copies=True,
                )
                return fit_on_table(emb, out, folds=folds, seed=seed, root=self.manifest.root, **columns)
        if not isinstance(self.encoder, Network):
            raise RedDinoError(f"{self.encoder.name} has no weights to tune; leave --fine-tune out")
        return fit_on_pixels(
            planned,
            self.encoder,
            out,
            _settings(tuning),
            pooling=self.pooling,
            failures=failures,
            progress=progress,
            **columns,
        )


def require_splittable(
    planned: PlannedViews,
    folds: int,
    seed: int,
    *,
    label: str,
    group_column: str | None,
    join_sources: Collection[str],
    classes: Mapping[str, str | None],
    keep_border: bool = False,
) -> None:
    """Refuse classes and groups that cannot be split before the views are embedded, which may take hours.

    Raises:
        RedDinoError: as of `grouped_folds`.
    """
    every_view = np.arange(len(planned), dtype=np.int64)
    unseen = Embeddings(np.empty((len(planned), 0), np.float32), planned.table(every_view), {})
    rows, labels = labelled_rows(unseen if keep_border else whole_cells(unseen)[0], label, classes)
    grouped_folds(labels, groups_of(rows, group_column, join_sources), folds, seed)


def _settings(tuning: Mapping[str, Any]) -> TuneSettings:
    try:
        return TuneSettings(**tuning)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RedDinoError(f"fine-tuning: {where}: {first['msg']}") from error


def mention_unmarked(manifest: Manifest, notice: Notice) -> None:
    """Name the pictures without a cell where others list theirs: no cell is found in them."""
    marked = manifest.is_cell()
    names, codes = manifest.images()
    without = np.flatnonzero(np.bincount(codes[marked], minlength=len(names)) == 0)
    if marked.any() and len(without):
        notice(
            f"of {counted(len(without), 'picture')} no cell is listed, where others list theirs: none is "
            f"classified there, such as {names[without[0]]}; give them by themselves to have theirs found"
        )


def write(predictions: Predictions, classifier: Classifier, out: Path, failures: Failures) -> list[Path]:
    """Write predictions with where they came from, and list what had to be left out next to them."""
    origin = {
        "provenance": provenance(data=predictions.data, model=classifier.weights_hash),
        "classifier": {
            "head": classifier.head.fingerprint(),
            "kind": classifier.kind,
            "classes": list(classifier.classes),
            "view": classifier.view.metadata(),
            "provenance": dict(classifier.provenance),
            "held_out": held_out_summary(classifier.report),
        },
        "file": out.name,
        "cells": len(predictions),
        PICTURES: dict(predictions.pictures),
        "found_by_segmentation": predictions.found,
        "dropped_at_the_border": predictions.dropped,
        "cells_at_the_border": predictions.at_border,
        "cells_at_the_border_counted": predictions.keep_border,
        "pictures_with_a_borrowed_diameter": list(predictions.borrowed),
        "left_out": failures.count,
        "kinds": None if predictions.kinds is None else _kinds(predictions),
        **({"priors": [shift.as_json() for shift in predictions.priors]} if predictions.priors else {}),
        **trust_note(predictions),
    }
    failures.leave_at(out.with_name(f"{out.stem}.failures.csv"))
    if predictions.domain is not None:
        save_domain_figure(predictions.domain, domain_path(out))
    return write_predictions(predictions, out, origin)


def _kinds(predictions: Predictions) -> dict[str, object]:
    """Return by which head kinds were read, and how many cells count for no class for theirs."""
    return {"head": shipped_kind_head().fingerprint(), "left_out": int(predictions.left_out().sum())}
