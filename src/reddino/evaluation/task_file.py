"""Tasks: which data, cut how, are used for which question; read from YAML or made from options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from reddino.evaluation.choices import OPTIONAL, PUBLISHED
from reddino.evaluation.class_map import ClassMap, read_class_map
from reddino.evaluation.paper_table import FAMILY
from reddino.evaluation.question import Question
from reddino.foundations.errors import RedDinoError
from reddino.foundations.package_data import recipe_folder
from reddino.foundations.structured import first_fault, read_yaml
from reddino.networks.choices import VectorPooling
from reddino.smears.opening import open_data
from reddino.views.choices import Scale, Stain, Unit, ViewKind

Checked = TypeVar("Checked", bound=Question)

#: Training cells a class, where none are given.
SHOTS = (1, 5, 10, 50)


class Task(Question):
    """A question with the data that it is evaluated on.

    Attributes:
        data: names or paths of manifests; several are joined.
        groups: file next to each manifest that lists images of the same place, as `same_field_groups.csv`;
            where it is absent, the manifest keeps the groups that it has.
        view, side, unit, scale, stain: what is cut, as `reddino embed` takes them.
        pooling: which output is the embedding.
        image_size: pixels of the network's input; None: the model's own.
        shots: training cells a class for few-shot; several give several tasks.
    """

    data: tuple[str, ...]
    groups: str | None = None
    view: ViewKind | None = None
    side: float | None = None
    unit: Unit | None = None
    scale: Scale = "picture"
    stain: Stain = "none"
    pooling: VectorPooling = "cls"
    image_size: int | None = None
    shots: int | tuple[int, ...] = 5  # type: ignore[assignment]

    @field_validator("data", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    def questions(self, title: str) -> dict[str, Question]:
        """Return the questions by title: one, or one for each number of shots."""
        kept = {name: getattr(self, name) for name in Question.model_fields if name != "shots"}
        several = (self.shots,) if isinstance(self.shots, int) else self.shots
        if self.protocol != "few-shot":
            return {title: Question(**kept)}
        return {
            f"{title}, {shots} a class": _checked(Question, {**kept, "shots": shots}) for shots in several
        }

    def embedding(self) -> dict[str, Any]:
        """Return the options of `embed`."""
        names = ("view", "side", "unit", "scale", "stain", "pooling", "image_size")
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
        tasks: by title.
        tables: in the paper's layout; without any, each task gets one.
        family: what the names of our models hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tasks: Mapping[str, Task]
    tables: tuple[TableLayout, ...] = ()
    family: str = FAMILY

    def at_size(self, image_size: int | None) -> TaskFile:
        """Return the same tasks for networks with an input of `image_size` pixels; None changes nothing."""
        if image_size is None:
            return self
        changed = {
            title: task.model_copy(update={"image_size": image_size}) for title, task in self.tasks.items()
        }
        return self.model_copy(update={"tasks": changed})


def shipped_tasks() -> dict[str, Path]:
    """Return the task files that come with the package, by name."""
    return {path.stem: path for path in sorted((recipe_folder() / "tasks").glob("*.yaml"))}


def find_task_file(given: Sequence[str | Path]) -> Path | None:
    """Return the task file that is meant, if it is not embedding tables."""
    if len(given) != 1:
        return None
    one = Path(given[0])
    if one.suffix in (".yaml", ".yml"):
        return one
    return None if one.exists() else shipped_tasks().get(str(given[0]))


def read_task_file(path: str | Path) -> TaskFile:
    """Read tasks from YAML.

    Raises:
        RedDinoError: no such file, an unknown key, or a value that does not fit.
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
        raise RedDinoError(f"task file {path}: {first_fault(error)}") from error
    for layout in tasks.tables:
        _check_layout(f"Task file {path}: the table '{layout.title}'", layout, tasks.tasks)
    return tasks


def _check_layout(which: str, layout: TableLayout, tasks: Mapping[str, Task]) -> None:
    """Refuse a table of tasks or classifiers that the file lacks; `which` begins the message."""
    for name in layout.tasks:
        if name not in tasks:
            raise RedDinoError(f"{which} shows no known task '{name}'")
    for classifier in layout.classifiers:
        if classifier not in (*PUBLISHED, *OPTIONAL):
            known = ", ".join((*PUBLISHED, *OPTIONAL))
            raise RedDinoError(f"{which} shows no known classifier '{classifier}'; known are: {known}")
        for name in layout.tasks:
            if classifier not in tasks[name].classifiers:
                raise RedDinoError(
                    f"{which} shows '{classifier}', which its task '{name}' lacks: name it there, "
                    "under classifiers"
                )


def data_tasks(
    paths: Mapping[str, Path],
    classes: ClassMap,
    *,
    join: bool,
    options: Mapping[str, Any],
    family: str = FAMILY,
) -> TaskFile:
    """Make a task for each manifest, or one for all of them joined.

    Args:
        paths: manifests by name.
        classes: each data set takes the part of it that bears on its labels.
        join: make one task of all manifests.
        options: fields of `Task`, the same for all tasks.
        family: what the names of our models hold, for the improvements in the paper's layout.

    Raises:
        RedDinoError: no data, an option that does not fit, or a label that occurs nowhere.
    """
    if not paths:
        raise RedDinoError("there is nothing to evaluate: give tables, a task file, or --models with --data")
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
    """Return the question of some options, by title; several for several numbers of shots.

    Raises:
        RedDinoError: an option that does not fit.
    """
    task = _checked(Task, {"data": (), "classes": classes, "shots": tuple(shots), **options})
    return task.questions(task.label)


def require_defaults(
    classes: ClassMap, options: Mapping[str, Any], file: str, *, join: bool, shots: Sequence[int] | None
) -> None:
    """Refuse options that a task file would ignore, since it has its own questions.

    Args:
        classes: class map that was given.
        options: fields of `Task` and `embed` that were given.
        file: name of the task file, for the error.
        join: whether manifests were to be joined.
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
        raise RedDinoError(f"{file} has its own questions, so '{changed[0]}' has no effect: write it there")


def chosen_views(embedding: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of `embed` that differ from a task's defaults."""
    fields = Task.model_fields
    return {name: value for name, value in embedding.items() if value != fields[name].default}


def _checked(kind: type[Checked], options: Mapping[str, Any]) -> Checked:
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = "unknown option" if first["type"] == "extra_forbidden" else first["msg"]
        raise RedDinoError(f"option '{key}': {what}") from error


def named_paths(entries: Sequence[str | Path]) -> dict[str, Path]:
    """Return manifests by name, from `name=path` or a path, whose name is its file's (or its folder's).

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
