"""Tasks: which data, seen how, answer which question; read from YAML, embedded where needed, and scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from reddino.checks.notice import Notice, mention_findings
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import read_embeddings
from reddino.evaluation.class_map import ClassMap, read_class_map
from reddino.evaluation.classifiers import OPTIONAL, PUBLISHED
from reddino.evaluation.compare import compare_tables
from reddino.evaluation.paper_table import FAMILY, paper_grid
from reddino.evaluation.question import Question
from reddino.evaluation.render import Grid
from reddino.evaluation.results import Result
from reddino.evaluation.score_tables import by_task
from reddino.foundations.errors import RedDinoError
from reddino.foundations.package_data import recipe_folder
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.structured import first_fault, read_yaml
from reddino.smears.manifest import Manifest, join_manifests, with_groups
from reddino.smears.opening import open_data
from reddino.views.spec import ViewKind

#: Training cells a class, where nobody names any.
SHOTS = (1, 5, 10, 50)

Watch = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@contextmanager
def unwatched(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress that nobody looks at."""
    yield lambda done, total: None


class Task(Question):
    """A question with the data that it is asked of.

    Attributes:
        data: names or paths of manifests; several are joined.
        groups: file beside each manifest that gives images of the same place, as `same_field_groups.csv`;
            where it is absent, the manifest keeps the groups that it has.
        view, side, unit: what is cut, as `reddino embed` takes them.
        pooling: which output is the embedding.
        image_size: pixels of the network's input; None: the model's own.
        shots: training cells a class for few-shot; several give several tasks.
    """

    data: tuple[str, ...]
    groups: str | None = None
    view: ViewKind | None = None
    side: float | None = None
    unit: Literal["px", "diameters"] | None = None
    pooling: Literal["cls", "mean", "cls+mean"] = "cls"
    image_size: int | None = None
    shots: int | tuple[int, ...] = 5  # type: ignore[assignment]

    @field_validator("data", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    def questions(self, title: str) -> dict[str, Question]:
        """What is asked, by title: one question, or one for each number of shots."""
        kept = {name: getattr(self, name) for name in Question.model_fields if name != "shots"}
        several = (self.shots,) if isinstance(self.shots, int) else self.shots
        if self.protocol != "few-shot":
            return {title: Question(**kept)}
        return {f"{title}, {shots} a class": Question(**kept, shots=shots) for shots in several}

    def embedding(self) -> dict[str, Any]:
        """The options of `embed`."""
        names = ("view", "side", "unit", "pooling", "image_size")
        return {name: getattr(self, name) for name in names}


class TableLayout(BaseModel):
    """A table in the paper's layout: which tasks and classifiers are its columns."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str
    tasks: tuple[str, ...]
    classifiers: tuple[str, ...] = ("probe", "1-NN", "20-NN")
    models_by: Literal["rows", "columns"] = "rows"


class TaskFile(BaseModel):
    """Tasks by title, and tables that show them.

    Attributes:
        tasks: what is asked.
        tables: in the paper's layout; without any, each task gets one.
        family: what the names of our models hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tasks: Mapping[str, Task]
    tables: tuple[TableLayout, ...] = ()
    family: str = FAMILY

    def at_size(self, image_size: int | None) -> TaskFile:
        """The same tasks with networks that take squares of `image_size` pixels; None changes nothing."""
        if image_size is None:
            return self
        changed = {
            title: task.model_copy(update={"image_size": image_size}) for title, task in self.tasks.items()
        }
        return self.model_copy(update={"tasks": changed})


class Evaluation(list[Result]):
    """The results of all tasks and models, with their tables in the paper's layout (`grids`)."""

    def __init__(self, results: Sequence[Result], grids: Sequence[Grid] = ()) -> None:
        super().__init__(results)
        self.grids = list(grids)


@dataclass(frozen=True)
class Embedder:
    """Makes the tables that are missing, and takes those that are there.

    Attributes:
        folder: of all tables.
        embed: the verb.
        options: for it, such as device and batch size.
        watch: gives the progress of a pass, under a name.
        notice: takes a sentence on what is odd about the data; None logs it.
    """

    folder: Path
    embed: Callable[..., Any]
    options: Mapping[str, Any]
    watch: Watch
    notice: Notice | None = None

    def table(self, title: str, task: Task, manifest: Manifest, model: str) -> Embeddings:
        """The table of one model on the data of a task.

        An earlier table in its place is taken if it says that it holds the same; another one is refused.
        """
        name, spec = _named(model)
        seen_how = hash_bytes(repr(sorted(task.embedding().items())).encode())[:8]
        data = manifest.fingerprint()
        out = self.folder / f"{_slug('-'.join(task.data))}-{data[:8]}" / f"{_slug(name)}-{seen_how}"
        keep = self.folder / f"hashes-{data}"
        with self.watch(f"{title}: {name}") as progress:
            options = {**task.embedding(), **self.options, "progress": progress, "hashes": keep}
            options["notice"] = _unsaid  # what is odd about the data was said before the first pass
            self.embed(manifest, spec, out, name=name, **options)
        return read_embeddings(out)


def _unsaid(sentence: str) -> None:
    """Takes a sentence that nobody needs to read again."""


def shipped_tasks() -> dict[str, Path]:
    """The task files that come with the package, by name."""
    return {path.stem: path for path in sorted((recipe_folder() / "tasks").glob("*.yaml"))}


def find_task_file(given: Sequence[str | Path]) -> Path | None:
    """The task file that is meant, if it is not embedding tables."""
    if len(given) != 1:
        return None
    one = Path(given[0])
    if one.suffix in (".yaml", ".yml"):
        return one
    return None if one.exists() else shipped_tasks().get(str(given[0]))


def read_task_file(path: str | Path) -> TaskFile:
    """Read tasks from YAML.

    Raises:
        RedDinoError: no such file, an unknown key, or a value that does not fit; says which.
    """
    path = Path(path)
    content: dict[str, Any] = read_yaml(path)
    if isinstance(content.get("tasks"), dict):
        for task in content["tasks"].values():
            if isinstance(task, dict) and isinstance(task.get("classes"), str):
                task["classes"] = read_class_map(path.parent / task["classes"])
    try:
        tasks = TaskFile.model_validate(content)
    except ValidationError as error:
        raise RedDinoError(f"Task file {path}: {first_fault(error)}.") from error
    for layout in tasks.tables:
        _check_layout(f"Task file {path}: the table '{layout.title}'", layout, tasks.tasks)
    return tasks


def _check_layout(which: str, layout: TableLayout, tasks: Mapping[str, Task]) -> None:
    """Refuse a table of what nobody asks; `which` begins the sentence."""
    for name in layout.tasks:
        if name not in tasks:
            raise RedDinoError(f"{which} shows no known task '{name}'.")
    for classifier in layout.classifiers:
        if classifier not in (*PUBLISHED, *OPTIONAL):
            known = ", ".join((*PUBLISHED, *OPTIONAL))
            raise RedDinoError(f"{which} shows no known classifier '{classifier}'; known are: {known}.")
        for name in layout.tasks:
            if classifier not in tasks[name].classifiers:
                raise RedDinoError(
                    f"{which} shows '{classifier}', which its task '{name}' does not ask: name it there, "
                    "under classifiers."
                )


def run_tasks(
    tasks: TaskFile,
    models: Sequence[str],
    embedder: Embedder,
    *,
    paths: Mapping[str, Path],
    beside: Path = Path(),
) -> Evaluation:
    """Embed what is missing, ask every question of every model, and lay out the tables.

    Args:
        models: as `embed` takes them, each with an optional name before it: `ours=runs/x/model`.
        paths: manifests by the name that tasks call them.
        beside: folder that other names are relative to.

    Raises:
        RedDinoError: data that nobody named, or as `embed` and `compare_tables`.
    """
    if not models:
        raise RedDinoError("Tasks need models to embed with: give --models, such as reddino-small.")
    manifests = {title: _manifest(title, task, paths, beside) for title, task in tasks.tasks.items()}
    mention_findings(manifests.values(), embedder.notice)
    results: list[Result] = []
    of_task: dict[str, list[Result]] = {}
    for title, task in tasks.tasks.items():
        tables = {model: embedder.table(title, task, manifests[title], model) for model in models}
        for asked, question in task.questions(title).items():
            found = compare_tables(tables, question, asked)
            of_task.setdefault(title, []).extend(found)
            results += found
    layouts = tasks.tables or tuple(
        TableLayout(title=title, tasks=(title,), classifiers=task.classifiers)
        for title, task in tasks.tasks.items()
    )
    return Evaluation(results, [_grid(layout, of_task, tasks.family) for layout in layouts])


def data_tasks(
    paths: Mapping[str, Path],
    classes: ClassMap,
    *,
    join: bool,
    options: Mapping[str, Any],
    family: str = FAMILY,
) -> TaskFile:
    """A task for each manifest, or one for all of them joined.

    Args:
        paths: manifests by name.
        classes: each data set takes the part of it that bears on its labels.
        options: fields of `Task` that all tasks share.

    Raises:
        RedDinoError: no data, an option that does not fit, or a label that occurs nowhere.
    """
    if not paths:
        raise RedDinoError("There is nothing to evaluate: give tables, a task file, or --models with --data.")
    names = list(paths)
    chosen = {" + ".join(names): tuple(names)} if join else {name: (name,) for name in names}
    column = str(options.get("label", "label"))
    labels = {name: open_data(path).strings(column) for name, path in paths.items()}
    classes.require_known(label for some in labels.values() for label in some)
    tasks = {}
    for title, data in chosen.items():
        own = classes.restricted_to(label for name in data for label in labels[name])
        tasks[title] = _checked(Task, {"data": data, "classes": own, **options})
    return TaskFile(tasks=tasks, family=family)


def make_questions(
    classes: ClassMap, shots: Sequence[int], options: Mapping[str, Any]
) -> dict[str, Question]:
    """The question that options ask, by title; several for several numbers of shots.

    Raises:
        RedDinoError: an option that does not fit.
    """
    task = _checked(Task, {"data": (), "classes": classes, "shots": tuple(shots), **options})
    return task.questions(task.label)


def score_tables(
    folders: Sequence[str | Path],
    questions: Mapping[str, Question],
    *,
    family: str = FAMILY,
    notice: Notice | None = None,
) -> Evaluation:
    """Ask questions of tables that are there.

    Args:
        notice: takes a sentence on what is odd about the rows; None logs it.

    Raises:
        RedDinoError: tables of other cells or views, or as `compare_tables`.
    """
    tables = _told_apart({str(folder): read_embeddings(folder) for folder in folders})
    mention_findings([next(iter(tables.values())).manifest()], notice)  # all are of the same rows
    results = [one for title, asked in questions.items() for one in compare_tables(tables, asked, title)]
    several = len({result.model for result in results}) == len(tables) > 1
    of_task = by_task(results)
    # By task: with one cell a class there may be too few for 20-NN, with ten there are not.
    layouts = [
        TableLayout(title=title, tasks=(title,), classifiers=found[0].classifiers)
        for title, found in of_task.items()
    ]
    return Evaluation(results, [_grid(one, of_task, family) for one in layouts] if several else ())


def _told_apart(tables: Mapping[str, Embeddings]) -> dict[str, Embeddings]:
    """The same tables; those of models with one name are called by their folders too."""
    names = Counter(str(table.meta["model"]) for table in tables.values())
    return {
        folder: table
        if names[str(table.meta["model"])] == 1
        else replace(table, meta={**table.meta, "model": f"{table.meta['model']} ({Path(folder).name})"})
        for folder, table in tables.items()
    }


def require_defaults(
    classes: ClassMap, options: Mapping[str, Any], file: str, *, join: bool, shots: Sequence[int] | None
) -> None:
    """Refuse options that a task file would pass over, since it asks its own questions.

    Args:
        shots: None where none were given.

    Raises:
        RedDinoError: names one.
    """
    changed = ["classes, drop or map"] if classes != ClassMap() else []
    for name, value in options.items():
        field = Task.model_fields.get(name)
        plain = tuple(value) if isinstance(value, list) else value
        if field is not None and plain != field.default:
            changed.append(name)
    changed += [name for name, given in (("join", join), ("shots", shots is not None)) if given]
    if changed:
        raise RedDinoError(f"{file} asks its own questions, so '{changed[0]}' has no effect: write it there.")


def chosen_views(embedding: Mapping[str, Any]) -> dict[str, Any]:
    """Those options of `embed` that are not as a task has them by itself."""
    fields = Task.model_fields
    return {name: value for name, value in embedding.items() if value != fields[name].default}


def _checked(kind: type[Task], options: Mapping[str, Any]) -> Task:
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = "unknown option" if first["type"] == "extra_forbidden" else first["msg"]
        raise RedDinoError(f"option '{key}': {what}.") from error


def named_paths(entries: Sequence[str | Path]) -> dict[str, Path]:
    """Manifests by name, from `name=path` or a path, whose name is its file's (or its folder's).

    Raises:
        RedDinoError: two of one name.
    """
    found: dict[str, Path] = {}
    for entry in entries:
        name, equals, path = str(entry).partition("=")
        where = Path(path) if equals else Path(entry)
        if not equals:
            name = where.resolve().parent.name if where.stem == "manifest" else where.stem
        if name in found:
            raise RedDinoError(f"two data sets are called '{name}': name one, as in --data other={where}")
        found[name] = where
    return found


def _manifest(title: str, task: Task, paths: Mapping[str, Path], beside: Path) -> Manifest:
    return join_manifests([_opened(title, name, task.groups, paths, beside) for name in task.data])


def _opened(title: str, name: str, groups: str | None, paths: Mapping[str, Path], beside: Path) -> Manifest:
    path = paths.get(name, beside / name)
    if name not in paths and not path.exists():
        raise RedDinoError(
            f"Task '{title}' needs the data '{name}': give its manifest, as in --data {name}=manifest.csv"
        )
    manifest = open_data(path)
    listed = manifest.root / groups if groups else None
    return with_groups(manifest, listed) if listed is not None and listed.is_file() else manifest


def _grid(layout: TableLayout, of_task: Mapping[str, Sequence[Result]], family: str) -> Grid:
    results = [result for task in layout.tasks for result in of_task[task]]
    grid = paper_grid(layout.title, results, classifiers=layout.classifiers, family=family)
    return grid if layout.models_by == "rows" else grid.transposed()


def _named(model: str) -> tuple[str, str]:
    """What tables call a model, and the model."""
    name, equals, spec = model.partition("=")
    return (name, spec) if equals else (model, model)


def _slug(text: str) -> str:
    """A name as a file name."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in text).strip("-.")[:80]
