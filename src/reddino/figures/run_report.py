"""The report of a pretraining run: its curves, and crops as its network saw them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from reddino.embedding.view_encoder import Images
from reddino.figures.canvas import blank_figure
from reddino.figures.page.document import Document, escape, facts, paragraph, picture, table
from reddino.figures.training import HEALTH, RATES, Record, panels_figure, training_figure, without_prototypes
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.image_cache import ImageCache, read_cache
from reddino.pretraining.data.stream import make_stream
from reddino.pretraining.run.folder import DESCRIPTION, RECIPE, read_metrics, read_run_description
from reddino.pretraining.run.recipe import Recipe, dump_recipe, read_recipe

SAMPLES = 6
GLOBAL, LOCAL = 96, 48

CURVES = (
    "The sum of the loss and its terms before their weights, the entropy of the teacher's targets, and how "
    "well a 20-NN on the teacher's class tokens does on labelled cells. A DINO or iBOT loss that stays at "
    "ln K, or an entropy at ln K, is a collapse to uniform outputs. The losses of a distillation are 0 where "
    "the student predicts from the changed crop exactly its frozen teacher's features of the clean one."
)
DISTILLED = (
    "The loss of each part, 0 where the student predicts from the changed crop exactly its frozen teacher's "
    "features of the clean one, and how well a 20-NN on the averaged student's vectors does on labelled "
    "cells."
)
DIAGNOSTICS = (
    "Collapse diagnostics: the effective rank of the class tokens (how many directions they vary along) and "
    "the fraction of prototypes that are some sample's first choice should stay well above their floor."
)
RANK = (
    "The effective rank of the student's class tokens, or of a CNN's pooled outputs (how many directions "
    "they vary along): near 1 is a collapse."
)
SCHEDULES = "What was scheduled: learning rate, weight decay, the teacher's temperature and momentum."
CROPS = (
    "Crops of the run's first samples, made again from the recipe and the cached images: one row per sample, "
    "two global crops and then the local ones, after all pixel operations."
)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a pretraining run."""
    return (folder / DESCRIPTION).is_file() and (folder / RECIPE).is_file()


def run_report(folder: Path, provenance: Mapping[str, Any]) -> str:
    """Return the page (HTML) of a run folder.

    Raises:
        RedDinoError: it is no run folder.
    """
    if not is_run(folder):
        raise RedDinoError(f"'{folder}' is no run folder: it lacks {DESCRIPTION} or {RECIPE}")
    recipe = read_recipe(folder / RECIPE)
    metrics = read_metrics(folder)
    description = read_run_description(folder)
    page = Document(f"Pretraining: {folder.resolve().name}", "A report of RedDino. Research only.")
    page.add("What was trained", facts(_about(recipe, metrics, description, provenance)))
    prototypes = recipe.head.prototypes if recipe.has_prototypes else 0
    curves, diagnostics, health = (
        (CURVES, DIAGNOSTICS, HEALTH) if prototypes else (DISTILLED, RANK, without_prototypes(HEALTH))
    )
    page.add("Training", picture(training_figure(metrics, prototypes=prototypes), curves, page.numbers))
    page.add(
        "Collapse diagnostics",
        picture(panels_figure(metrics, health), diagnostics, page.numbers),
        *_warnings(metrics),
    )
    page.add("Rates", picture(panels_figure(metrics, RATES), SCHEDULES, page.numbers))
    cache = find_cache(folder)
    if cache is None:
        missing = "Left out: the run's decoded images are not in its folder any more."
        page.add("What the network saw", paragraph(missing))
    else:
        page.add(
            "What the network saw", picture(crops_figure(*first_crops(recipe, cache)), CROPS, page.numbers)
        )
    text = escape(dump_recipe(recipe))
    page.add("Recipe", f"<details><summary>every key</summary><pre>{text}</pre></details>")
    return page.html()


def find_cache(folder: Path) -> ImageCache | None:
    """Open the decoded images of a run, if they are still there and there is no doubt which they are."""
    indices = list((folder / "cache").glob("*.npz"))
    if len(indices) != 1:
        return None
    try:
        return read_cache(indices[0])
    except RedDinoError:
        return None


def first_crops(recipe: Recipe, cache: ImageCache, samples: int = SAMPLES) -> tuple[Images, Images]:
    """Make the crops (2, n, g, g, 3) and (L, n, l, l, 3) of a run's first samples again."""
    settings = {"workers": 0}
    alone = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update=settings)})
    batch = next(iter(make_stream(alone, cache)))
    return batch.global_crops[:, :samples].numpy(), batch.local_crops[:, :samples].numpy()


def crops_figure(global_crops: Images, local_crops: Images) -> Figure:
    """Draw one row per sample: its global crops, then its local ones at half their size."""
    count, locals_ = global_crops.shape[1], local_crops.shape[0]
    stacked = -(-locals_ // 2)
    strip = np.full((count * (GLOBAL + 6), 2 * (GLOBAL + 6) + stacked * (LOCAL + 3), 3), 255, np.uint8)
    for sample in range(count):
        top = sample * (GLOBAL + 6)
        for view in range(2):
            left = view * (GLOBAL + 6)
            strip[top : top + GLOBAL, left : left + GLOBAL] = _sized(global_crops[view, sample], GLOBAL)
        for view in range(locals_):
            left = 2 * (GLOBAL + 6) + view // 2 * (LOCAL + 3)
            down = top + view % 2 * LOCAL
            strip[down : down + LOCAL - 2, left : left + LOCAL] = _sized(local_crops[view, sample], LOCAL)[
                :-2
            ]
    figure = blank_figure(strip.shape[1] / 60, strip.shape[0] / 60)
    axes = figure.add_subplot()
    axes.imshow(strip, interpolation="nearest")
    axes.set_axis_off()
    return figure


def _sized(crop: Images, side: int) -> Images:
    mode = cv2.INTER_AREA if crop.shape[0] > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (side, side), interpolation=mode), np.uint8)


def _about(
    recipe: Recipe,
    metrics: Sequence[Mapping[str, Any]],
    description: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    done = max((int(record["step"]) for record in metrics), default=0)
    rates = [float(record["samples_per_s"]) for record in metrics if "samples_per_s" in record]
    return {
        "backbone": recipe.model.backbone,
        "start": recipe.model.start,
        "steps": f"{done} of {recipe.steps}",
        "samples seen": done * recipe.run.batch,
        "batch": recipe.run.batch,
        "median throughput": f"{float(np.median(rates)):.1f} samples a second" if rates else None,
        "learns from": ", ".join(recipe.distill.teacher) if recipe.distill is not None else None,
        "prototypes": recipe.head.prototypes if recipe.has_prototypes else None,
        "seed": recipe.seed,
        "data fingerprint": description.get("data"),
        "computed with": f"torch {description.get('torch')}, {description.get('precision')}, "
        f"{description.get('threads')} threads",
        "trained with": description.get("command"),
        "reported with": provenance.get("command"),
        "RedDino": f"{provenance.get('version')} (trained with {description.get('version')})",
    }


def _warnings(metrics: Sequence[Record]) -> list[str]:
    """List the run's own warnings of a collapse: each once, with the steps at which it was logged."""
    steps: dict[str, list[int]] = {}
    latest: dict[str, str] = {}
    for record in metrics:
        for sentence in record.get("signs", []):
            kind = re.sub(r"[\d.,]+", "", sentence)
            steps.setdefault(kind, []).append(int(record["step"]))
            latest[kind] = sentence
    if not steps:
        return [paragraph("The run itself logged no warning of a collapse.")]
    rows = [(f"{found[0]} to {found[-1]}", len(found), latest[kind]) for kind, found in steps.items()]
    return [table(("steps", "times", "warning (the last one)"), rows, (1,))]
