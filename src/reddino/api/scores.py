"""What embeddings are worth: evaluate scores models, batch measures the source in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reddino.api.arguments import numbers_in_range
from reddino.api.embedding import embed
from reddino.api.sole_writer import sole_writer
from reddino.checks.notice import Notice
from reddino.embedding.comparable import require_same_views
from reddino.embedding.table import read_embeddings
from reddino.evaluation.batch_effect import tables as layout
from reddino.evaluation.batch_effect.measures import common_dimensions, measure_table
from reddino.evaluation.class_map import ClassMap, class_map
from reddino.evaluation.result_files import save_tables
from reddino.evaluation.run_tasks import Embedder, Evaluation, Watch, run_tasks, score_tables, unwatched
from reddino.evaluation.task_file import (
    SHOTS,
    chosen_views,
    data_tasks,
    find_task_file,
    make_questions,
    named_paths,
    read_task_file,
    require_defaults,
)
from reddino.figures.evaluation_figures import draw
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes, provenance
from reddino.networks.model_names import with_architectures


@numbers_in_range
@sole_writer(folders=("figures",), files=("out",))
def evaluate(
    what: str | Path | Sequence[str | Path] = (),
    *,
    models: Sequence[str] = (),
    architecture: str | None = None,
    data: Sequence[str | Path] = (),
    tables: str | Path = "tables",
    join: bool = False,
    classes: str | Path | ClassMap | None = None,
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    shots: Sequence[int] | None = None,
    embedding: Mapping[str, Any] | None = None,
    device: str = "auto",
    batch_size: int = 64,
    family: str | None = None,
    rows: int | None = None,
    out: str | Path | None = None,
    figures: str | Path | None = None,
    watch: Watch | None = None,
    notice: Notice | None = None,
    **question: Any,
) -> Evaluation:
    """Score models side by side: linear probe, 1-NN, 20-NN and further classifiers by option.

    Args:
        what: folders of embedding tables of the same cells; or a task file (.yaml, or a shipped one's name).
        models: models to embed with, for a task file or `data`; `name=model` gives one a name.
        architecture: of timm, such as resnet50, where some of `models` are state dicts of such a network.
        data: manifests, or `name=manifest`: the data of a task file, or a task each.
        tables: folder where tables of `models` are kept, and taken from if they are there.
        join: the manifests of `data` make one task.
        classes: class map, or its YAML file.
        drop: labels to leave out; short for a class map.
        rename: old label to new; short for a class map.
        shots: training cells a class, for few-shot; a task each. None: `reddino.evaluation.task_file.SHOTS`.
        embedding: `view`, `side`, `unit`, `scale`, `stain`, `pooling` and `image_size` as in `embed`, for
            `data`; with a task file `image_size` alone, in place of that of its tasks.
        device: as in `embed`.
        batch_size: as in `embed`.
        family: what the names of our models hold, for the improvements in the paper's layout; None: what the
            task file names, or reddino.
        rows: labelled cells that are scored, at most; of more, a sample is drawn by the question's seed, and
            the results state it. None: all whose vectors take 4 GB as float32, or 200,000 of more.
        out: file for the results, .json; the tables go next to it as .md, .tex and .csv.
        figures: folder for confusion matrices and scores by source.
        watch: shows the progress of an embedding pass, under a name.
        notice: called with what is odd about the input, if anything; None logs it.
        question: further fields of `reddino.evaluation.question.Question`, such as `protocol` or `group_by`.

    Raises:
        RedDinoError: tables of other data or views, an absent column, or classes that cannot be split.
    """
    if out is not None and Path(out).suffix != ".json":
        raise RedDinoError(f"{out}: results are written as .json (and .md, .tex, .csv next to it)")
    given = [what] if isinstance(what, str | Path) else list(what)
    mapping = class_map(classes, drop, rename or {})
    embedder = Embedder(
        Path(tables), embed, {"device": device, "batch_size": batch_size}, watch or unwatched, notice
    )
    models = with_architectures(models, architecture)
    paths = named_paths(data)
    named = {} if family is None else {"family": family}
    file = find_task_file(given)
    if file is not None:
        size = (embedding or {}).get("image_size")
        options = {**question, **(embedding or {}), "image_size": None}
        require_defaults(mapping, options, str(file), join=join, shots=shots)
        tasks = read_task_file(file).at_size(size).model_copy(update=named)
        found = run_tasks(tasks, models, embedder, paths=paths, relative_to=file.parent, rows=rows)
    elif given:
        _refuse_with_tables(models=models, data=data, join=join, **chosen_views(embedding or {}))
        questions = make_questions(mapping, shots or SHOTS, question)
        found = score_tables(given, questions, notice=notice, rows=rows, **named)
    else:
        tasks = data_tasks(
            paths,
            mapping,
            join=join,
            **named,
            options={**(embedding or {}), **question, "shots": shots or SHOTS},
        )
        found = run_tasks(tasks, models, embedder, paths=paths, rows=rows)
    if out is not None:
        _write_results(Path(out), found)
    if figures is not None:
        draw(found, Path(figures))
    return found


def _refuse_with_tables(**options: Any) -> None:
    """Refuse options on what to embed where tables are given, which would be ignored."""
    idle = [name for name, value in options.items() if value]
    if idle:
        raise RedDinoError(
            f"tables are scored as they are, so that {' and '.join(idle)} would do nothing: "
            "give tables, or models with data"
        )


def _write_results(path: Path, found: Evaluation) -> None:
    """Write results as JSON, and their tables next to it."""
    data = list(dict.fromkeys(str(result.embedding.get("data", "")) for result in found))
    together = data[0] if len(data) == 1 else hash_bytes(*(one.encode() for one in data))
    seeds = sorted({int(result.question["seed"]) for result in found})
    origin = provenance(seed=seeds[0] if len(seeds) == 1 else seeds, data=together)
    save_tables(path, found, origin, found.grids)


@numbers_in_range
@sole_writer(files=("out",))
def batch(
    tables: str | Path | Sequence[str | Path],
    *,
    dimensions: int | None = None,
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    group_by: str | None = None,
    join_sources: Sequence[str] = (),
    out: str | Path | None = None,
    seed: int = 0,
    **options: Any,
) -> layout.BatchReports:
    """Measure how much of the embeddings is the source, compared with how much is the class.

    Args:
        tables: folders of embedding tables of the same views.
        dimensions: principal components that are measured; None: the smallest embedding's, at most 64.
        drop: labels to leave out.
        rename: old label to new.
        group_by: column of what stays on one side of a split; None: rows of one
            image, group, slide or patient.
        join_sources: those of `patient`, `slide`, `group` (and `group_by`) whose names mean the same under
            every source.
        out: file for the results, .json; the tables go next to it as .md.
        seed: of the sample, the folds and the draws.
        options: `label`, `source`, `folds`, `rows` of `measure_table` in
            `reddino.evaluation.batch_effect.measures`.

    Raises:
        RedDinoError: tables of other data or views, or fewer than two sources.
    """
    folders = [tables] if isinstance(tables, str | Path) else list(tables)
    if out is not None and Path(out).suffix != ".json":
        raise RedDinoError(f"{out}: results are written as .json (and .md next to it)")
    read = {str(folder): read_embeddings(folder) for folder in folders}
    require_same_views(read)
    size = dimensions or common_dimensions([table.vectors.shape[1] for table in read.values()])
    classes: dict[str, str | None] = {**(rename or {}), **dict.fromkeys(drop)}
    reports = layout.BatchReports(
        measure_table(
            table,
            dimensions=size,
            classes=classes,
            group_column=group_by,
            join_sources=join_sources,
            seed=seed,
            **options,
        )
        for table in read.values()
    )
    if out is not None:
        origin = provenance(seed=seed, data=str(reports[0].embedding.get("data", "")))
        layout.save(Path(out), reports, origin)
    return reports
