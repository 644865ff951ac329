"""The description of views: its limits, and its way through the metadata of a table."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from reddino.views.spec import ViewSpec


def test_view_spec__refuses_nonsense_and_survives_metadata() -> None:
    unknown: dict[str, Any] = {"zoom": 2}
    with pytest.raises(ValidationError):
        ViewSpec(side=-1)
    with pytest.raises(ValidationError):
        ViewSpec(**unknown)
    for spec in (
        ViewSpec(kind="image"),
        ViewSpec(side=2.5, unit="diameters"),
        ViewSpec(kind="random", seed=9),
    ):
        assert ViewSpec(**spec.metadata()) == spec
    assert ViewSpec(kind="cells", seed=1).metadata() == ViewSpec(kind="cells", seed=2).metadata()
