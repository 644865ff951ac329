"""Arguments of several verbs: a call for progress, and the side of a view."""

from __future__ import annotations

from collections.abc import Callable

from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from reddino.views.choices import Side, Unit, ViewKind
from reddino.views.spec import DEFAULT_SIDES

Advance = Callable[[int, int], None]


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
