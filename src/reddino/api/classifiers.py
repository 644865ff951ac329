"""Classifiers of cells: fit makes one, predict applies it to new smears."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from reddino.api.arguments import Advance, numbers_in_range, one_or_several, view_side
from reddino.api.ray_drivers import ray_pass, ray_pictures
from reddino.api.sole_writer import sole_writer
from reddino.checks.notice import Notice, mention_findings
from reddino.classification import fit_job
from reddino.classification.classifier import Classifier, model_of, open_classifier
from reddino.classification.fit import fit_on_table
from reddino.classification.overlay import draw_overlays
from reddino.classification.predict import Predictions, predict_embeddings, predict_smears
from reddino.classification.prediction_paths import require_known_suffix
from reddino.classification.priors import adjusted, learned_priors, read_priors
from reddino.classification.trusted import require_answerable, with_trust
from reddino.classification.vector_cache import cache_path, vector_cache
from reddino.embedding.growth import picture_digests
from reddino.embedding.kinds import KindReader
from reddino.embedding.open_encoder import open_encoder
from reddino.embedding.part_files import is_table
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.networks.model_names import with_architecture
from reddino.networks.shipped import DEFAULT_MODEL
from reddino.smears.choices import Subfolders
from reddino.smears.failures import FAILURES_FILE, Failures
from reddino.smears.opening import Data, open_data
from reddino.views.choices import Scale, Unit

log = logging.getLogger(__name__)


@numbers_in_range
@sole_writer(folders=("out",))
def fit(
    data: Data,
    out: str | Path,
    *,
    model: str | None = None,
    architecture: str | None = None,
    fine_tune: bool = False,
    label: str = "label",
    group_by: str | None = None,
    join_sources: Sequence[str] = (),
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    side: float | None = None,
    unit: Unit | None = None,
    scale: Scale = "picture",
    keep_border: bool = False,
    pooling: str = "cls",
    image_size: int | None = None,
    device: str = "auto",
    folds: int = 5,
    seed: int = 0,
    subfolders: Subfolders = "auto",
    failures: Failures | None = None,
    progress: Advance | None = None,
    notice: Notice | None = None,
    **options: Any,
) -> Classifier:
    """Fit a classifier on labelled cells (or images) and save it as a folder that `predict` takes.

    Args:
        data: an embedding table, or labelled smears: a manifest, its file, or a folder of images.
        out: the classifier's folder.
        model: for smears: a model folder or a name that `models` lists; None: `reddino-tiny`.
        architecture: of timm, such as resnet50, where `model` is the state dict of such a network.
        fine_tune: train the network too, instead of a frozen probe; for smears only.
        label: column of the classes.
        group_by: column of what stays on one side of a split; None: rows of one
            image, group, slide or patient.
        join_sources: those of `patient`, `slide`, `group` (and `group_by`) whose names mean the same under
            every source.
        drop: labels to leave out.
        rename: old label to new.
        side: for smears, of a view with its unit, as for `embed`.
        unit: `px`, `diameters` of a red cell, or `um`, which needs `um_per_px` of every picture.
        scale: whose red cells, as for `embed`.
        keep_border: learn from cells that the border of their image cuts, too.
        pooling: `cls`, `mean` or `cls+mean`.
        image_size: pixels of the network's input; None: the model's own.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        folds: of the calibration; when fine-tuning, one part of so many is held out.
        seed: of every random choice.
        subfolders: what those of a folder of images stand for; `auto`: what their names look like.
        failures: takes the images that could not be used; they are listed in the folder too.
        progress: called with views or steps done and planned.
        notice: called with what is odd about the input, if anything; None logs it.
        options: `border`, `mask_centre` and `stain` of the views, and when fine-tuning fields of
            `reddino.classification.finetune.TuneSettings`, such as `epochs` and `lr`.

    Raises:
        RedDinoError: the folder is taken, the model cannot be tuned, or classes and groups cannot be split.
    """
    classes: dict[str, str | None] = {**(rename or {}), **dict.fromkeys(drop)}
    common: dict[str, Any] = {
        "label": label,
        "group_column": group_by,
        "join_sources": tuple(join_sources),
        "classes": classes,
        "keep_border": keep_border,
    }
    failures = Failures() if failures is None else failures
    views: dict[str, Any] = {
        str(name): options.pop(name) for name in ("border", "mask_centre", "stain") if name in options
    }
    if options and not fine_tune:
        raise RedDinoError(f"only fine-tuning takes {', '.join(sorted(options))}: add --fine-tune")
    if is_table(data):
        if fine_tune or model is not None or architecture is not None:
            raise RedDinoError(
                f"{data} is an embedding table: give a manifest to choose or tune a network on"
            )
        _refuse_with_table(
            data, side=side, unit=unit, scale=scale, pooling=pooling, image_size=image_size, **views
        )
        table = read_embeddings(str(data))
        mention_findings([table.manifest()], notice)
        return fit_on_table(table, Path(out), folds=folds, seed=seed, **common)
    opened = fit_job.labelled(open_data(data, failures, subfolders=subfolders), label, classes)
    mention_findings([opened], notice)
    # A frozen network must give everywhere the vectors that the probe learned on.
    encoder = open_encoder(
        with_architecture(model or DEFAULT_MODEL, architecture),
        image_size=image_size,
        device=device,
        precision="auto" if fine_tune else "fp32",
    )
    if fine_tune and encoder.orientations > 1:
        raise RedDinoError(f"'{encoder.name}' is fine-tuned in one orientation: leave 'turned:' out")
    length, measure = view_side(opened, None, side, unit)
    job = fit_job.FitJob(opened, encoder, length, measure, pooling, {**views, "scale": scale})
    tuning = {**options, "folds": folds, "seed": seed} if fine_tune else None
    made = job.fit(Path(out), tuning, folds=folds, seed=seed, failures=failures, progress=progress, **common)
    failures.leave_at(Path(out) / FAILURES_FILE)
    return made


def _refuse_with_table(table: object, **views: Any) -> None:
    """Refuse options on what to embed where a table is given, which would be ignored."""
    usual = {"scale": "picture", "pooling": "cls", "border": "pad", "mask_centre": 0.0, "stain": "none"}
    idle = [name for name, value in views.items() if value != usual.get(name)]
    if idle:
        raise RedDinoError(
            f"{table} is an embedding table, so that {' and '.join(idle)} would do nothing: give the smears"
        )


def _require_smears_on_ray(ray: bool | str, data: object, out: object) -> None:
    """Refuse Ray where nothing is embedded, and where nothing is kept of what was."""
    if ray is not False and is_table(data):
        raise RedDinoError(
            f"{data} is an embedding table, of which nothing is embedded: leave --ray (ray) out"
        )
    if ray is not False and out is None:
        raise RedDinoError("predictions on Ray are written, so that a stopped call continues: give out")


@numbers_in_range
@sole_writer(folders=("overlays",), files=("out",))
def predict(
    classifier: str | Path,
    data: Data | Sequence[Data],
    out: str | Path | None = None,
    *,
    model: str | None = None,
    architecture: str | None = None,
    overlays: str | Path | None = None,
    most_overlays: int = 20,
    priors: Mapping[str, float] | str | Path | None = None,
    adjust_priors: bool = False,
    keep_border: bool = False,
    risk: float | None = None,
    abstain_outside: bool = False,
    batch_size: int = 64,
    device: str = "auto",
    kinds: bool = True,
    subfolders: Subfolders = "auto",
    ray: bool | str = False,
    ray_workers: int = 0,
    failures: Failures | None = None,
    progress: Advance | None = None,
    notice: Notice | None = None,
) -> Predictions:
    """Classify new smears: a class with calibrated probabilities for every cell, and counts for every slide.

    Args:
        classifier: a folder that `fit` made.
        data: new smears (manifests, their files, or folders of images, of which several are joined), whose
            cells are found where none is marked; or an embedding table.
        out: file for the cells, .parquet or .csv; the slides go next to it as <name>.slides.<suffix>.
        model: the classifier's network, where it is no longer where the classifier found it.
        architecture: of timm, such as resnet50, where `model` is the state dict of such a network.
        overlays: folder for pictures of the fields with the cells marked by class.
        most_overlays: how many of them, at most.
        priors: how frequent each class is here (fractions, per cent or counts by name, or a YAML, JSON or CSV
            file of them), to adjust the probabilities to; None: as in the cells that it learned from.
        adjust_priors: estimate that from the predictions, for each source by itself, and adjust to it.
        keep_border: let cells that the border of their image cuts count for their slide.
        risk: error rate among the answered cells; those that are too uncertain or too novel for it get no
            answer. None answers all.
        abstain_outside: give no answer at all in slides (pictures, where none is named) that lie outside of
            what the classifier learned from.
        batch_size: views that the network gets at once.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        kinds: read which cells are red cells at all, in the columns `kind` and `kind_probability`. Of cells
            that were found, white cells, platelets, clumps and artefacts then count for no class.
        subfolders: what those of a folder of images stand for; `auto`: what their names look like.
        ray: find and embed the cells on a Ray cluster, as `embed` takes it; needs `out`.
        ray_workers: processes that do so; 0: one a GPU or one a group of four cores.
        failures: takes the images that could not be used.
        progress: called with views done and views planned.
        notice: called with what is odd about the input, if anything; None logs it.

    Raises:
        RedDinoError: embeddings, a network or smears of another kind or scale than the classifier's.
    """
    if architecture is not None and (model is None or is_table(data)):
        raise RedDinoError(f"the architecture {architecture} bears on smears and a model: leave it out")
    _require_smears_on_ray(ray, data, out)
    driver, deal = ray_pass(ray, ray_workers, device), ray_pictures(ray, ray_workers)
    opened = open_classifier(classifier)
    rule = require_answerable(opened, risk)
    data = one_or_several(data)
    if not opened.report.get("evidence", True):
        (notice or log.warning)(fit_job.NO_EVIDENCE)
    failures = Failures() if failures is None else failures
    reader = KindReader(device) if kinds else None
    if out is not None:
        require_known_suffix(Path(out))
    if priors is not None and adjust_priors:
        raise RedDinoError("priors are given or estimated: leave one of --priors and --adjust-priors out")
    wanted = None if priors is None else read_priors(priors, opened.classes)
    learned = learned_priors(opened) if priors is not None or adjust_priors else None
    # Until everything is written, so that the same call continues wherever it was stopped.
    with ExitStack() as kept:
        vectors = None
        if out is not None and not is_table(data):
            vectors = kept.enter_context(vector_cache(cache_path(Path(out), folder=False)))
        if is_table(data):
            if overlays is not None:
                raise RedDinoError(
                    f"{data} is an embedding table, without pictures to draw on: give the manifest"
                )
            table = read_embeddings(str(data))
            mention_findings([table.manifest()], notice)
            found = predict_embeddings(opened, table, keep_border=keep_border, kinds=reader)
            found = replace(found, pictures=picture_digests(Path(str(data))))
        else:
            moved = None if model is None else with_architecture(model, architecture)
            name = model_of(opened, Path(classifier), moved)
            encoder = open_encoder(name, image_size=opened.view.output, device=device, precision="fp32")
            manifest = open_data(data, failures, subfolders=subfolders)
            mention_findings([manifest], notice)
            if opened.view.kind == "cells":
                fit_job.mention_unmarked(manifest, notice or log.warning)
            found = predict_smears(
                opened,
                encoder,
                manifest,
                keep_border=keep_border,
                batch_size=batch_size,
                failures=failures,
                progress=progress,
                vectors=vectors,
                kinds=reader,
                driver=driver,
                deal=deal,
            )
        found = with_trust(found, opened, rule, abstain_outside=abstain_outside)
        if learned is not None:
            found = adjusted(found, learned, wanted)
        if out is not None:
            fit_job.write(found, opened, Path(out), failures)
        if overlays is not None:
            draw_overlays(found, Path(overlays), most_overlays)
    return found
