"""Score networks, and several networks' vectors side by side, on the tasks of a file.

    python experiments/side_by_side.py experiments/tasks.yaml --models tiny=reddino-tiny dino=runs/X/model \\
      --beside both=dino+tiny --data chula_choosing=C.csv ... --cells 2000 --tables tables --out scores.json

Each network embeds the cells once. Side by side, the vectors of each have length 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import reddino
from ablation.cells import open_task_data, scored_cells
from ablation.score import table_groups
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.compare import compare_tables
from reddino.evaluation.intervals import interval
from reddino.evaluation.result_files import save_tables
from reddino.evaluation.results import RESAMPLED, Result
from reddino.evaluation.run_tasks import Embedder, unwatched
from reddino.evaluation.score_tables import by_task
from reddino.evaluation.task_file import Task, named_paths, read_task_file
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes, provenance

MACRO = "macro F1"


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", type=Path, help="task file")
    parser.add_argument(
        "--models", nargs="+", required=True, metavar="NAME=MODEL", help="the first: reference"
    )
    parser.add_argument("--beside", nargs="+", default=[], metavar="NEW=NAME+NAME", help="side by side")
    parser.add_argument(
        "--against", nargs="+", default=[], metavar="NAME", help="references (default the first)"
    )
    parser.add_argument("--data", nargs="+", required=True, metavar="NAME=CSV", help="tasks without are left")
    parser.add_argument("--cells", type=int, metavar="N", help="about so many of each table (default all)")
    parser.add_argument("--least", type=int, default=60, metavar="N", help="of each label and source")
    parser.add_argument("--image-size", type=int, default=112, metavar="PX")
    parser.add_argument("--runtime", default="auto", help="of the embedding, as in `reddino embed`")
    parser.add_argument("--precision", default="auto", help="likewise")
    parser.add_argument("--tables", type=Path, required=True, help="folder where tables are kept")
    parser.add_argument("--out", type=Path, required=True, help="results, .json")
    return parser


def main() -> int:
    """Run the command; returns the exit code."""
    given = arguments().parse_args()
    try:
        results = scored(given)
        data = hash_bytes(*sorted({str(one.embedding.get("data", "")).encode() for one in results}))
        save_tables(given.out, results, provenance(seed=0, data=data), [])
    except RedDinoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    models = list(dict.fromkeys(one.model for one in results))
    for reference in given.against or models[:1]:
        for line in summary(results, reference):
            print(line, flush=True)
    return 0


def scored(given: argparse.Namespace) -> list[Result]:
    """Every task whose data were given, on every network and combination."""
    paths = named_paths(given.data)
    file = read_task_file(given.tasks).at_size(given.image_size)
    options = {"device": "cpu", "batch_size": 64, "runtime": given.runtime, "precision": given.precision}
    embedder = Embedder(given.tables, reddino.embed, options, unwatched)
    known = [one.partition("=")[0] for one in (*given.models, *given.beside)]
    if absent := set(given.against) - set(known):
        raise RedDinoError(f"--against: no network is named '{sorted(absent)[0]}', only: {', '.join(known)}")
    asked = {title: task for title, task in file.tasks.items() if set(task.data) <= set(paths)}
    found: list[Result] = []
    for group in table_groups(asked):
        tables = group_tables(group, paths, embedder, given)
        labels = next(iter(tables.values())).strings
        for title, task in group.items():
            classes = task.classes.restricted_to(labels(task.label))  # a small draw may lack some
            for name, question in task.questions(title).items():
                asked_of = question.model_copy(update={"classes": classes})
                found += compare_tables(tables, asked_of, name)
    return found


def group_tables(
    tasks: Mapping[str, Task], paths: Mapping[str, Path], embedder: Embedder, given: argparse.Namespace
) -> dict[str, Embeddings]:
    """By name, the tables of the networks and of what stands side by side, for tasks on the same data."""
    title, task = next(iter(tasks.items()))
    manifest = open_task_data(task, paths)
    if given.cells is not None:
        manifest = scored_cells(manifest, list(tasks.values()), given.cells, given.least)
    tables = {model.partition("=")[0]: embedder.table(title, task, manifest, model) for model in given.models}
    for one in given.beside:
        name, _, parts = one.partition("=")
        absent = [part for part in parts.split("+") if part not in tables]
        if absent or not name:
            raise RedDinoError(f"--beside {one}: no network is named '{(absent or [name])[0]}'")
        tables[name] = beside(name, [tables[part] for part in parts.split("+")])
    return tables


def beside(name: str, parts: Sequence[Embeddings]) -> Embeddings:
    """Tables of the same cells as one, each part's vectors of length 1."""
    seen: dict[str, str] = {}
    for part in parts:
        for source, what in dict(part.meta.get("seen", {})).items():
            seen[source] = "seen" if "seen" in (what, seen.get(source)) else what
    vectors = np.concatenate([unit(part.vectors) for part in parts], axis=1)
    return replace(parts[0], vectors=vectors, meta={**parts[0].meta, "model": name, "seen": seen})


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors (n, d) of length 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def summary(results: Sequence[Result], reference: str) -> list[str]:
    """Macro F1 in points, and differences from a network with 95 % intervals; means come last.

    Intervals of means take the tasks as independent.
    """
    lines, tasks = [], by_task(results)
    models = list(dict.fromkeys(one.model for one in results))
    several = {"mean over the tasks": list(tasks.values())} if len(tasks) > 1 else {}
    for title, groups in {**{name: [group] for name, group in tasks.items()}, **several}.items():
        lines.append(f"\n{title}, against {reference}")
        for model in models:
            own = [next(one for one in group if one.model == model) for group in groups]
            first = [next(one for one in group if one.model == reference) for group in groups]
            cells = [_cell(own, first, (name,)) for name in own[0].classifiers]
            lines.append(f"| {model} | {' | '.join([*cells, _cell(own, first, own[0].classifiers)])} |")
    return lines


def _cell(own: Sequence[Result], first: Sequence[Result], names: Sequence[str]) -> str:
    """Mean over tasks and classifiers, and what it is above that of the reference."""
    column = RESAMPLED.index(MACRO)

    def score(results: Sequence[Result]) -> float:
        return float(np.mean([one.mean(name).as_row()[column] for one in results for name in names]))

    def drawn(results: Sequence[Result]) -> npt.NDArray[np.float64]:
        kept = [one.resamples[name][:, column] for one in results for name in names]
        together: npt.NDArray[np.float64] = np.mean(kept, axis=0)
        return together

    text, difference = f"{100 * score(own):.1f}", score(own) - score(first)
    if all(one is other for one, other in zip(own, first, strict=True)):
        return text
    both = all(one.resamples for one in [*own, *first])
    span = interval(drawn(own) - drawn(first), difference) if both else None
    if span is None:
        return f"{text}, {100 * difference:+.1f}"
    return f"{text}, {100 * difference:+.1f} ({100 * span[0]:.1f} to {100 * span[1]:.1f})"


if __name__ == "__main__":
    sys.exit(main())
