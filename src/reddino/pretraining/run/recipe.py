"""The recipe: every number that a pretraining run depends on, typed, in one place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from reddino.foundations.errors import RedDinoError
from reddino.foundations.package_data import recipe_folder
from reddino.foundations.structured import first_fault, parse_yaml, read_yaml
from reddino.pretraining.run.recipe_sections import (
    AugmentationSection,
    CropsSection,
    DataSection,
    DistillSection,
    HeadSection,
    LossSection,
    MaskingSection,
    ModelSection,
    OnlineSection,
    OptimSection,
    RunSection,
    RuntimeSection,
    Section,
    TemperatureSection,
)

log = logging.getLogger(__name__)

#: Recipes by the names that they had before; these are still accepted.
FORMER_NAMES = {"tiny": "vit-tiny-scratch", "distill": "vit-tiny-distilled", "shipped": "reddino-tiny"}

#: Keys by the names that they had before; these are still accepted.
FORMER_KEYS = {"runtime.score_every": "online.every"}
#: The sections that do not affect results.
WITHOUT_EFFECT = frozenset({"runtime", "online"})


class Recipe(Section):
    """A whole recipe. The sections `runtime` and `online` are known not to affect results."""

    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    model: ModelSection
    data: DataSection = DataSection()
    crops: CropsSection = CropsSection()
    augmentation: AugmentationSection
    masking: MaskingSection = MaskingSection()
    head: HeadSection = HeadSection()
    loss: LossSection = LossSection()
    distill: DistillSection | None = None
    temperature: TemperatureSection = TemperatureSection()
    optim: OptimSection = OptimSection()
    run: RunSection
    runtime: RuntimeSection = RuntimeSection()
    online: OnlineSection = OnlineSection()

    @property
    def steps(self) -> int:
        """Optimiser steps of the run; a last, incomplete batch is not taken."""
        return self.run.samples // self.run.batch

    @property
    def has_prototypes(self) -> bool:
        """Whether student and EMA teacher are compared by prototypes: with DINO's or iBOT's loss."""
        return self.loss.dino > 0 or self.loss.ibot > 0

    @property
    def clean_size(self) -> int | None:
        """Side in pixels of the clean crops: the largest input of a frozen teacher; None without one."""
        return None if self.distill is None else max(self.distill.sizes(self.crops.global_size))

    @property
    def uses_clean_crops(self) -> bool:
        """Whether a frozen teacher is shown the clean crops of every step."""
        return self.distill is not None and not self.distill.once

    @property
    def loss_weights(self) -> tuple[dict[str, float], ...]:
        """Weights of the loss terms by name, section by section."""
        return tuple(section.weights for section in (self.loss, self.distill) if section is not None)

    @model_validator(mode="after")
    def _has_a_loss(self) -> Recipe:
        if not self.has_prototypes and self.distill is None:
            raise ValueError("loss.dino and loss.ibot are both 0: there is nothing to learn")
        if self.distill is not None and self.distill.once and self.data.layout != "cells":
            raise ValueError("distill.once is for patches around cells: set data.layout=cells")
        return self


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(recipe_folder().glob("*.yaml"))}


def read_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or path and apply dotted overrides such as `optim.lr=1e-4`.

    Raises:
        RedDinoError: no such recipe, an unknown key, or a value that does not fit.
    """
    if str(name) in FORMER_NAMES:
        log.warning("the recipe '%s' is now called '%s'", name, FORMER_NAMES[str(name)])
        name = FORMER_NAMES[str(name)]
    path = shipped_recipes().get(str(name), Path(name))
    if not path.is_file():
        known = ", ".join(shipped_recipes())
        raise RedDinoError(f"recipe '{name}' is neither a file nor one that comes with RedDino ({known})")
    content: dict[str, Any] = _with_new_keys(read_yaml(path))
    for override in overrides:
        _apply(content, override)
        content = _with_new_keys(content, replace=True)
    return make_recipe(content, str(path))


def make_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Check a recipe's content; `origin` names it in errors."""
    try:
        return Recipe.model_validate(_with_new_keys(content))
    except ValidationError as error:
        raise RedDinoError(f"recipe {origin}: {first_fault(error)}") from error


def _with_new_keys(content: dict[str, Any], *, replace: bool = False) -> dict[str, Any]:
    """Give the keys of a recipe's content that had other names before their new ones.

    Args:
        content: sections with their keys; a key under both names is left, to be refused as unknown.
        replace: the former name replaces the new one, as a later override does.
    """
    for former, key in FORMER_KEYS.items():
        (old_section, old), (section, new) = former.split("."), key.split(".")
        values, target = content.get(old_section), content.get(section)
        if not isinstance(values, dict) or old not in values or not isinstance(target, dict | None):
            continue
        if new in (target or {}) and not replace:
            continue
        log.info("the recipe's key %s is now called %s", former, key)
        kept = {name: value for name, value in values.items() if name != old}
        content = content | {old_section: kept, section: {**(target or {}), new: values[old]}}
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise RedDinoError(f"override '{override}' is not of the form section.key=value")
    if key in FORMER_KEYS:
        log.warning("the recipe's key %s is now called %s", key, FORMER_KEYS[key])
        key = FORMER_KEYS[key]
    *sections, last = key.split(".")
    for section in sections:
        if content.get(section) is None:  # a section that is left out may stand there as null
            content[section] = {}
        content = content[section]
        if not isinstance(content, dict):
            raise RedDinoError(f"override '{override}': '{section}' is a value, not a section")
    content[last] = parse_yaml(value, f"override '{override}': the value", top=None)


def dump_recipe(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML, every key written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
