"""Arguments of several verbs: a call for progress, and the side of a view."""

from __future__ import annotations

import logging
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
