"""Numbers that are out of range are refused before a verb does anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import reddino


@pytest.mark.parametrize("seed", [-1, 2**32, 10**20])
@pytest.mark.parametrize("verb", ["batch", "embed", "evaluate", "explore", "fit", "report"])
def test_seeds__that_no_generator_takes_are_refused_by_every_verb(
    tmp_path: Path, verb: str, seed: int
) -> None:
    given: dict[str, tuple[Any, ...]] = {
        "embed": (tmp_path, "colour-histogram", tmp_path / "o"),
        "explore": (tmp_path, tmp_path / "o"),
        "fit": (tmp_path, tmp_path / "o"),
    }
    with pytest.raises(reddino.RedDinoError, match=r"seed must be from 0 to 4,294,967,295, not"):
        getattr(reddino, verb)(*given.get(verb, (tmp_path,)), seed=seed)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("verb", "name", "number"),
    [
        ("batch", "folds", 1),
        ("batch", "rows", 0),
        ("batch", "dimensions", -1),
        ("fit", "folds", -1),
        ("embed", "image_size", 10**20),
        ("embed", "per_image", 10**20),
        ("embed", "batch_size", 0),
        ("patches", "most", 0),
        ("patches", "scale", float("nan")),
        ("patches", "scale", float("inf")),
        ("patches", "scale", 0.0),
        ("predict", "most_overlays", -1),
        ("evaluate", "resamples", 10**20),
    ],
)
def test_numbers__out_of_range_are_refused_by_their_name(
    tmp_path: Path, verb: str, name: str, number: float
) -> None:
    given: dict[str, tuple[Any, ...]] = {
        "embed": (tmp_path, "colour-histogram", tmp_path / "o"),
        "fit": (tmp_path, tmp_path / "o"),
        "patches": (tmp_path, None, tmp_path / "o"),
        "predict": (tmp_path, tmp_path),
    }
    with pytest.raises(reddino.RedDinoError, match=rf"^{name} must be from .* to .*, not "):
        getattr(reddino, verb)(*given.get(verb, (tmp_path,)), **{name: number})


def test_shots__of_no_cell_are_refused(tmp_path: Path) -> None:
    with pytest.raises(reddino.RedDinoError, match=r"option 'shots': .* greater than or equal to 1"):
        reddino.evaluate(tmp_path, protocol="few-shot", shots=[0])
