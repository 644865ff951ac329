"""Arguments of several verbs: a call for progress, numbers in their range, and the side of a view."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from reddino.embedding.part_files import is_table
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from reddino.smears.opening import Data
from reddino.views.choices import Side, Unit, ViewKind
from reddino.views.spec import DEFAULT_SIDES

Advance = Callable[[int, int], None]
P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

#: The least and the largest number that an argument of this name may be, in every verb that takes it.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "folds": (2, 10_000),
    "rows": (1, 10_000_000_000),
    "part_rows": (1, 10_000_000),
    "top": (1, 10_000),
    "dimensions": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "image_size": (1, 8192),
    "threads": (0, 4096),
    "per_image": (1, 1_000_000),
    "cells": (1, 100_000_000),
    "most": (1, 100_000),
    "most_overlays": (0, 1_000_000),
    "scale": (0.001, 100),
    "resamples": (0, 1_000_000),
    "repeats": (1, 10_000),
}


def numbers_in_range(verb: Callable[P, T]) -> Callable[P, T]:
    """Let a verb refuse numbers that are out of `RANGES`, before it does anything."""
    names = list(inspect.signature(verb).parameters)

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for name, value in [*zip(names, args, strict=False), *kwargs.items()]:
            if name in RANGES and isinstance(value, int | float) and not isinstance(value, bool):
                _require_range(name, value)
        return verb(*args, **kwargs)

    return call


def _require_range(name: str, value: float) -> None:
    least, most = RANGES[name]
    if math.isnan(value) or not least <= value <= most:
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)[:40]
        raise RedDinoError(f"{name} must be from {least:,} to {most:,}, not {shown}")


def with_former_names(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a verb take arguments by the names that they had before, too.

    Args:
        names: former name -> name; that an argument came by the former one is logged.
    """

    def decorate(verb: Callable[P, T]) -> Callable[P, T]:
        @wraps(verb)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            for former, name in names.items():
                if former in kwargs and name in kwargs:
                    raise RedDinoError(f"{former} is now called {name}: give {verb.__name__} one of them")
                if former in kwargs:
                    log.warning("the argument %s of %s is now called %s", former, verb.__name__, name)
                    kwargs[name] = kwargs.pop(former)
            return verb(*args, **kwargs)

        return call

    return decorate


def one_or_several(data: Data | Sequence[Data]) -> Data | Sequence[Data]:
    """Return what is given as data, where one of one is itself.

    Raises:
        RedDinoError: an embedding table among several.
    """
    if isinstance(data, str | Path | Manifest):
        return data
    if len(data) == 1:
        return data[0]
    tables = [one for one in data if is_table(one)]
    if tables:
        raise RedDinoError(f"{tables[0]} is an embedding table, which cannot be joined: give it alone")
    return data


def view_side(
    manifest: Manifest,
    kind: ViewKind | None,
    side: float | None,
    unit: Unit | None,
) -> Side:
    """Return side and unit of a view, the default of its kind where neither is given."""
    if (side is None) != (unit is None):
        raise RedDinoError("the side of a view needs a number and a unit: give both --side and --unit")
    if side is not None and unit is not None:
        return side, unit
    return DEFAULT_SIDES[kind or ("cells" if manifest.is_cell().any() else "image")]
