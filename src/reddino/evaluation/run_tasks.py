"""Run tasks: embed what is missing, evaluate every model, and lay out the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from reddino.checks.notice import Notice, mention_findings
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import read_embeddings
from reddino.evaluation.compare import compare_tables
from reddino.evaluation.paper_table import FAMILY, paper_grid
from reddino.evaluation.question import Question
from reddino.evaluation.render import Grid, rich_table
from reddino.evaluation.results import Result
from reddino.evaluation.score_tables import by_task, rich_differences, rich_tables
from reddino.evaluation.table_inputs import read_tables
from reddino.evaluation.task_file import TableLayout, Task, TaskFile
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.smears.manifest import Manifest, join_manifests, with_groups
from reddino.smears.opening import open_data

Watch = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@contextmanager
def unwatched(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show no progress."""
    yield lambda done, total: None


class Evaluation(list[Result]):
    """The results of all tasks and models, with their tables in the paper's layout (`grids`).

    Args:
        results: of the tasks.
        grids: the same figures, laid out.
        laid_out: whether a task file chose this layout, which is then shown.
    """

    def __init__(
        self, results: Sequence[Result], grids: Sequence[Grid] = (), *, laid_out: bool = False
    ) -> None:
        super().__init__(results)
        self.grids = list(grids)
        self._laid_out = laid_out

    def tables(self) -> list[Table]:
        """Return the results for the terminal, each figure once, and the differences of several models.

        The tables in the paper's layout hold the same figures: they are for files, but where a task file
        lays out tables.
        """
        if not self._laid_out:
            return rich_tables(self)
        return [*(rich_table(grid) for grid in self.grids), *rich_differences(self)]


@dataclass(frozen=True)
class Embedder:
    """Makes the tables that are missing, and takes those that are there.

    Attributes:
        folder: of all tables.
        embed: the verb `embed`.
        options: for it, such as device and batch size.
        watch: gives the progress of a pass, under a name.
        notice: called with what is odd about the data; None logs it.
    """

    folder: Path
    embed: Callable[..., Any]
    options: Mapping[str, Any]
    watch: Watch
    notice: Notice | None = None

    def table(self, title: str, task: Task, manifest: Manifest, model: str) -> Embeddings:
        """Return the table of one model on the data of a task, as `made`."""
        return read_embeddings(self.made(title, task, manifest, model))

    def made(self, title: str, task: Task, manifest: Manifest, model: str) -> Path:
        """Return the folder of the table of one model on the data of a task.

        An earlier table in its place is taken if its metadata agree; another one is refused.
        """
        name, spec = _named(model)
        seen_how = hash_bytes(repr(sorted(table_options(task).items())).encode())[:8]
        data = manifest.fingerprint()
        out = self.folder / f"{_slug('-'.join(task.data))}-{data[:8]}" / f"{_slug(name)}-{seen_how}"
        keep = self.folder / f"hashes-{data}"
        with self.watch(f"{title}: {name}") as progress:
            options = {**task.embedding(), **self.options, "progress": progress, "hashes": keep}
            options["notice"] = _drop  # what is odd about the data was reported before the first pass
            self.embed(manifest, spec, out, name=name, **options)
        return out


def table_options(task: Task) -> dict[str, Any]:
    """Return the options of `embed` that name a table; the scale only where views follow it.

    Tables of the source's scale are found under the name that they had before there was another.
    """
    options = task.embedding()
    if task.scale == "source" or task.unit in ("px", "um") or task.view == "image":
        del options["scale"]
    if task.stain == "none":  # as they were named before there was a choice
        del options["stain"]
    return options


def _drop(sentence: str) -> None:
    """Drop a notice that was given before."""


def run_tasks(
    tasks: TaskFile,
    models: Sequence[str],
    embedder: Embedder,
    *,
    paths: Mapping[str, Path],
    relative_to: Path = Path(),
    rows: int | None = None,
) -> Evaluation:
    """Embed what is missing, evaluate every question on every model, and lay out the tables.

    Args:
        tasks: the questions, and how their tables are laid out.
        models: as `embed` takes them, each with an optional name before it: `ours=runs/x/model`.
        embedder: makes the tables that are missing.
        paths: manifests by their name in tasks.
        relative_to: folder of names that `paths` lacks.
        rows: as in `read_tables`.

    Raises:
        RedDinoError: data without a name, or as `embed` and `compare_tables`.
    """
    if not models:
        raise RedDinoError("tasks need models to embed with: give --models, such as reddino-small")
    manifests = {title: _manifest(title, task, paths, relative_to) for title, task in tasks.tasks.items()}
    mention_findings(manifests.values(), embedder.notice)
    results: list[Result] = []
    of_task: dict[str, list[Result]] = {}
    for title, task in tasks.tasks.items():
        folders = {model: embedder.made(title, task, manifests[title], model) for model in models}
        questions = task.questions(title)
        # They differ in shots alone, so that one choice of rows is that of all.
        inputs = read_tables(folders, next(iter(questions.values())), rows)
        for name, question in questions.items():
            found = compare_tables(inputs.tables, question, name, inputs.chosen)
            of_task.setdefault(title, []).extend(found)
            results += found
    layouts = tasks.tables or tuple(
        TableLayout(title=title, tasks=(title,), classifiers=task.classifiers)
        for title, task in tasks.tasks.items()
    )
    grids = [_grid(layout, of_task, tasks.family) for layout in layouts]
    return Evaluation(results, grids, laid_out=bool(tasks.tables))


def score_tables(
    folders: Sequence[str | Path],
    questions: Mapping[str, Question],
    *,
    family: str = FAMILY,
    notice: Notice | None = None,
    rows: int | None = None,
) -> Evaluation:
    """Evaluate questions on existing tables.

    Args:
        folders: of the tables, a model each.
        questions: by title.
        family: what the names of our models hold, for the improvements in the paper's layout.
        notice: called with what is odd about the rows; None logs it.
        rows: as in `read_tables`.

    Raises:
        RedDinoError: tables of other cells or views, or as `compare_tables`.
    """
    # The questions differ in shots alone, so that one choice of rows is that of all.
    inputs = read_tables({str(one): Path(one) for one in folders}, next(iter(questions.values())), rows)
    tables = _with_distinct_names(inputs.tables)
    mention_findings([inputs.manifest], notice)  # all are of the same rows
    results = [
        one
        for title, question in questions.items()
        for one in compare_tables(tables, question, title, inputs.chosen)
    ]
    several = len({result.model for result in results}) == len(tables) > 1
    of_task = by_task(results)
    # By task: with one cell a class there may be too few for 20-NN, with ten there are not.
    layouts = [
        TableLayout(title=title, tasks=(title,), classifiers=found[0].classifiers)
        for title, found in of_task.items()
    ]
    return Evaluation(results, [_grid(one, of_task, family) for one in layouts] if several else ())


def _with_distinct_names(tables: Mapping[str, Embeddings]) -> dict[str, Embeddings]:
    """Add the folder to the names of models of which there are several."""
    names = Counter(str(table.meta["model"]) for table in tables.values())
    return {
        folder: table
        if names[str(table.meta["model"])] == 1
        else replace(table, meta={**table.meta, "model": f"{table.meta['model']} ({Path(folder).name})"})
        for folder, table in tables.items()
    }


def _manifest(title: str, task: Task, paths: Mapping[str, Path], relative_to: Path) -> Manifest:
    return join_manifests([_opened(title, name, task.groups, paths, relative_to) for name in task.data])


def _opened(
    title: str, name: str, groups: str | None, paths: Mapping[str, Path], relative_to: Path
) -> Manifest:
    path = paths.get(name, relative_to / name)
    if name not in paths and not path.exists():
        raise RedDinoError(
            f"task '{title}' needs the data '{name}': give its manifest, as in --data {name}=manifest.csv"
        )
    manifest = open_data(path)
    listed = manifest.root / groups if groups else None
    return with_groups(manifest, listed) if listed is not None and listed.is_file() else manifest


def _grid(layout: TableLayout, of_task: Mapping[str, Sequence[Result]], family: str) -> Grid:
    results = [result for task in layout.tasks for result in of_task[task]]
    grid = paper_grid(layout.title, results, classifiers=layout.classifiers, family=family)
    return grid if layout.models_by == "rows" else grid.transposed()


def _named(model: str) -> tuple[str, str]:
    """Return the name of a model in tables, and the model."""
    name, equals, spec = model.partition("=")
    return (name, spec) if equals else (model, model)


def _slug(text: str) -> str:
    """Return a name as a file name."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in text).strip("-.")[:80]
