"""Score networks on the same cells with and without stain normalisation, across laboratories.

    python experiments/stain_normalisation.py experiments/stain.yaml \\
      --models ImageNet=efficientnet-lite0 tiny=reddino-tiny \\
      --data chula_choosing=C.csv uganda=U.csv uganda_round=W.csv ... --tables tables --out scores.json

Of each source, pictures are drawn at random (seed 0), and of their cells about so many of each table, in
natural shares with a least number of each label and source. Folds are the same for all; differences are from
the same network without normalisation, with 95 % intervals over resampled groups.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

import reddino
from ablation.cells import open_task_data, scored_cells
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.batch_effect.measures import BatchReport, measure_table
from reddino.evaluation.compare import compare_tables
from reddino.evaluation.result_files import save_tables
from reddino.evaluation.results import Result
from reddino.evaluation.run_tasks import Embedder, unwatched
from reddino.evaluation.task_file import Task, named_paths, read_task_file
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes, provenance
from reddino.smears.manifest import Manifest
from reddino.views.choices import Stain
from side_by_side import summary

STAINS: tuple[Stain, ...] = get_args(Stain)
#: Labels among which the batch effect is measured, where a task has several sources: red cells alone.
RED = ("RBC", "normal", "auto_round")
#: What is printed of it: all that needs no class.
MEASURES = ("source told", "source silhouette", "iLISI", "kBET", "variance by source")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", type=Path, help="task file")
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME=MODEL")
    parser.add_argument("--data", nargs="+", required=True, metavar="NAME=CSV", help="tasks without are left")
    parser.add_argument("--pictures", type=int, default=80, help="of each source and slide")
    parser.add_argument("--cells", type=int, default=1000, help="about so many of each table")
    parser.add_argument("--least", type=int, default=60, help="of each label and source")
    parser.add_argument("--image-size", type=int, default=112, metavar="PX")
    parser.add_argument("--tables", type=Path, required=True, help="folder where tables are kept")
    parser.add_argument("--out", type=Path, required=True, help="results, .json")
    return parser


def main() -> int:
    """Run the command; returns the exit code."""
    given = arguments().parse_args()
    paths, models = named_paths(given.data), named_paths(given.models)
    file = read_task_file(given.tasks).at_size(given.image_size)
    options = {"device": "cpu", "batch_size": 64, "runtime": "torch", "precision": "fp32"}
    embedder = Embedder(given.tables, reddino.embed, options, unwatched)
    found: list[Result] = []
    try:
        for title, task in file.tasks.items():
            if set(task.data) <= set(paths):
                own = scored(title, task, draw(task, paths, given), models, embedder)
                print_scores(own, list(models))
                found += own
        save_tables(given.out, found, provenance(seed=0, data=hash_bytes(*map(str.encode, given.data))), [])
    except RedDinoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print_scores(found, list(models))
    return 0


def print_scores(found: Sequence[Result], models: Sequence[str]) -> None:
    """Print macro F1 of each network and stain, and what it is above that without normalisation."""
    for model in models:
        own = [one for one in found if one.model.rpartition(" ")[0] == model]
        print("\n".join(summary(own, f"{model} none")), flush=True)


def draw(task: Task, paths: Mapping[str, Path], given: argparse.Namespace) -> Manifest:
    """Return the cells of a task that are scored."""
    manifest = some_pictures(open_task_data(task, paths), given.pictures)
    return scored_cells(manifest, [task], given.cells, given.least)


def some_pictures(manifest: Manifest, most: int, seed: int = 0) -> Manifest:
    """Return the cells of at most `most` pictures of each source and slide, drawn at random."""
    manifest = manifest.select(manifest.is_cell())
    keys = zip(manifest.strings("source"), manifest.strings("slide"), strict=True)
    unit = np.array(["\0".join(key) for key in keys])
    _, codes = manifest.images()
    rng, kept = np.random.default_rng(seed), np.zeros(len(manifest), np.bool_)
    for one in np.unique(unit):
        # Weak boxes lie beside the true ones of the same pictures, which codes tell.
        pictures = rng.permutation(np.unique(codes[unit == one]))[:most]
        kept |= np.isin(codes, pictures) & (unit == one)
    return manifest.select(kept)


def scored(
    title: str, task: Task, manifest: Manifest, models: Mapping[str, Path], embedder: Embedder
) -> list[Result]:
    """Return the results of a task on each network with each stain, and print the batch effect."""
    print(f"\n{title}: {len(manifest):,} cells of {len(manifest.images()[0])} pictures", flush=True)
    tables: dict[str, Embeddings] = {}
    for name, model in models.items():
        for stain in STAINS:
            seen = task.model_copy(update={"stain": stain})
            table = embedder.table(title, seen, manifest, f"{name} {stain}={model}")
            tables[f"{name} {stain}"] = as_if_same_views(table)
    labels = next(iter(tables.values())).strings(task.label)
    reports = {
        name: report
        for name, table in tables.items()
        if (report := batch_effect(table, labels, task.source_column, name)) is not None
    }
    for line in batch_lines(reports):
        print(line, flush=True)
    found: list[Result] = []
    restricted = task.classes.restricted_to(labels)
    for question_title, question in task.questions(title).items():
        asked = question.model_copy(update={"classes": restricted})
        found += compare_tables(tables, asked, question_title)
    return found


def as_if_same_views(table: Embeddings) -> Embeddings:
    """Return a table without its stain, by which tables are compared here on purpose."""
    view = {key: value for key, value in table.meta["view"].items() if key != "stain"}
    return replace(table, meta={**table.meta, "view": view})


def batch_effect(table: Embeddings, labels: list[str], source: str, name: str) -> BatchReport | None:
    """Return the measures of `reddino batch` on red cells; None of one source."""
    red = np.array([label in RED for label in labels])
    if len(set(np.array(table.strings(source))[red].tolist())) < 2:
        return None
    return measure_table(table.select(red), source=source, model=name, dimensions=64)


def batch_lines(reports: Mapping[str, BatchReport]) -> list[str]:
    """Return the measures of several tables as rows of Markdown."""
    if not reports:
        return []
    first = next(iter(reports.values()))
    lines = [f"batch effect among {first.rows:,} red cells ({json.dumps(dict(first.sources))})"]
    lines.append(f"| measure | {' | '.join(reports)} |")
    for number, measure in enumerate(first.measures):
        if measure.name not in MEASURES:
            continue
        values = [f"{one.measures[number].value:.3f}" for one in reports.values()]
        lines.append(f"| {measure.name} | {' | '.join(values)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
