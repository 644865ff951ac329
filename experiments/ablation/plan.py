"""The plan of an ablation: recipe, data, folds, arms and seeds, read from YAML and checked as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reddino.evaluation.task_file import Task, read_task_file
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit, read_yaml
from reddino.pretraining.run.recipe import WITHOUT_EFFECT, Recipe, make_recipe, read_recipe
from reddino.pretraining.run.recipe_sections import Section

Count = Annotated[int, Field(ge=1)]
#: In names of pseudo-arms: the averaged quarter turns of an arm's models.
TURNED = "turned "


class Fold(Section):
    """What a pretraining sees, and the tasks of laboratories that it leaves out.

    Attributes:
        pretrain: names of data sets; none, where networks alone are scored.
        tasks: titles of the task file.
    """

    pretrain: tuple[str, ...] = ()
    tasks: tuple[str, ...]


class Arm(Section):
    """What differs from the base recipe.

    Attributes:
        set: overrides such as `loss.koleo=0.1`.
        drop_operations, add_operations: pixel operations that are taken from the base recipe, or added to it.
        without: data sets that are left out of the pretraining.
        why: the claim that the arm tests, for the reader.
    """

    set: tuple[str, ...] = ()
    drop_operations: tuple[str, ...] = ()
    add_operations: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    why: str = ""


class Scoring(Section):
    """How networks are embedded and which cells are scored, the same in every arm.

    Attributes:
        image_size: pixels of the networks' input.
        precision: `fp32`, or `bf16` where the hardware computes it.
        batch_size: views that a network gets at once.
        cells: of each embedding table, about so many labelled cells are drawn.
        least: of each class of each source, at least so many, where there are as many.
        resamples: of the bootstrap.
    """

    image_size: Count = 112
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_size: Count = 64
    cells: Count = 2000
    least: Annotated[int, Field(ge=0)] = 60
    resamples: Count = 1000


class PlanFile(Section):
    """A plan as it is written.

    Attributes:
        base: recipe, a file beside the plan or a name that comes with RedDino.
        set: overrides for every arm.
        tasks: task file beside the plan.
        reference: the arm or network that the others are compared with.
        seeds: of the pretraining.
        folds, arms: by name.
        networks: by name, start networks and others that are scored as they are, once.
        turned: arms whose models are scored a second time, their vectors averaged over quarter turns.
        rare: by task, its rare classes, in place of the rule in `ablation.rare`.
        scoring: the same for all.
    """

    base: str
    set: tuple[str, ...] = ()
    tasks: str
    reference: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    folds: Mapping[str, Fold]
    arms: Mapping[str, Arm] = {}
    networks: Mapping[str, str] = {}
    turned: tuple[str, ...] = ()
    rare: Mapping[str, tuple[str, ...]] = {}
    scoring: Scoring = Scoring()

    @model_validator(mode="after")
    def _names_fit(self) -> PlanFile:
        if self.reference not in (*self.arms, *self.networks):
            raise ValueError(f"the reference '{self.reference}' is not among the arms and networks")
        for name in self.turned:
            if name not in self.arms:
                raise ValueError(f"turned: '{name}' is not among the arms")
        seen = {name for fold in self.folds.values() for name in fold.pretrain}
        for arm, one in self.arms.items():
            for name in one.without:
                if name not in seen:
                    raise ValueError(f"arms.{arm}.without: no fold pretrains on '{name}'")
        names = [*self.arms, *self.networks, *(TURNED + name for name in self.turned)]
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one is there twice")
        for group in (names, list(self.folds)):
            slugs = [slug(name) for name in group]
            if "" in slugs or len(set(slugs)) < len(slugs):
                raise ValueError("two names give the same folder, or one gives none: rename one")
        return self


@dataclass(frozen=True)
class Run:
    """One model of the campaign: of an arm, a fold and a seed; or a network, which has no seed of its own.

    Attributes:
        network: what is scored as it is; "" where a pretraining makes it.
        made_by: arm whose model is scored with turned views; "" for others.
    """

    fold: str
    arm: str
    seed: int
    network: str = ""
    made_by: str = ""

    @property
    def folder(self) -> Path:
        """Below the folder of the campaign."""
        return Path("runs", slug(self.fold), slug(self.arm), f"seed-{self.seed}")


@dataclass(frozen=True)
class Plan:
    """A plan with the recipes and tasks that it names.

    Attributes:
        path: of its file.
        file: what stands there.
        tasks: by title, those that some fold names.
        recipes: by arm, at the first seed.
    """

    path: Path
    file: PlanFile
    tasks: Mapping[str, Task]
    recipes: Mapping[str, Recipe]

    def recipe(self, arm: str, seed: int) -> Recipe:
        """The recipe of a run."""
        return self.recipes[arm].model_copy(update={"seed": seed})

    def pretrain_names(self, run: Run) -> tuple[str, ...]:
        """Data sets that a run's pretraining sees."""
        without = self.file.arms[run.arm].without
        return tuple(name for name in self.file.folds[run.fold].pretrain if name not in without)

    def data_names(self) -> set[str]:
        """Data sets that some pretraining or task needs."""
        scored = {name for task in self.tasks.values() for name in task.data}
        return scored.union(*(fold.pretrain for fold in self.file.folds.values()))

    def runs(self) -> Iterator[Run]:
        """Every run, in the order in which a campaign makes them: all of the first seed before the next."""
        for place, seed in enumerate(self.file.seeds):
            for fold in self.file.folds:
                if place == 0:
                    for name, network in self.file.networks.items():
                        yield Run(fold, name, 0, network)
                for arm in self.arms():
                    yield Run(fold, arm, seed)
                    if arm in self.file.turned:
                        yield Run(fold, TURNED + arm, seed, made_by=arm)

    def arms(self) -> list[str]:
        """Names of the arms, the reference first if it is one."""
        return sorted(self.file.arms, key=lambda name: name != self.file.reference)


def read_plan(
    path: str | Path,
    *,
    overrides: tuple[str, ...] = (),
    seeds: tuple[int, ...] | None = None,
    cells: int | None = None,
) -> Plan:
    """Read a plan, its recipe and its tasks.

    Args:
        overrides: of the recipe of every arm, after those of the plan and before the arm's own.
        seeds: in place of the plan's.
        cells: that are scored, in place of the plan's.

    Raises:
        RedDinoError: a file is missing, or something in it does not fit; says where.
    """
    path = Path(path)
    file = fit(PlanFile, read_yaml(path), f"plan {path}")
    content = file.model_dump(mode="json")
    if seeds is not None:
        content["seeds"] = list(seeds)
    if cells is not None:
        content["scoring"]["cells"] = cells
    file = fit(PlanFile, content, f"plan {path} with the options of this command")
    recipes = {name: _recipe(path, file, name, arm, overrides) for name, arm in file.arms.items()}
    known = read_task_file(path.parent / file.tasks).tasks
    titles = dict.fromkeys(title for fold in file.folds.values() for title in fold.tasks)
    for title in [*titles, *file.rare]:
        if title not in known:
            raise RedDinoError(
                f"plan {path}: no task '{title}' in {file.tasks}, which has: {', '.join(known)}"
            )
    return Plan(path, file, {title: known[title] for title in titles}, recipes)


def _recipe(path: Path, file: PlanFile, name: str, arm: Arm, overrides: tuple[str, ...]) -> Recipe:
    beside = path.parent / file.base
    base = beside if beside.is_file() else file.base
    try:
        recipe = read_recipe(base, [*file.set, *overrides, *arm.set])
        content = recipe.model_dump()
        content["augmentation"]["operations"] = _operations(recipe.augmentation.operations, arm)
        return make_recipe(content, str(base))
    except RedDinoError as error:
        raise RedDinoError(f"plan {path}, arm '{name}': {error}") from error


def _operations(base: tuple[str, ...], arm: Arm) -> tuple[str, ...]:
    for name in arm.drop_operations:
        if name not in base:
            raise RedDinoError(f"drop_operations: '{name}' is not among the recipe's operations")
    return (*(name for name in base if name not in arm.drop_operations), *arm.add_operations)


def slug(name: str) -> str:
    """A name as a folder."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.").lower()


def same_recipe(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two dumped recipes give the same weights; keys that one lacks are taken at their defaults."""
    dumped = [make_recipe(one, "of a run").model_dump(exclude=set(WITHOUT_EFFECT)) for one in (a, b)]
    return dumped[0] == dumped[1]
