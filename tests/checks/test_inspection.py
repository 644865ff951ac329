"""Inspection: what reading found, the checks of rows, and one pass over the pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from reddino.checks import inspection
from reddino.checks.inspection import inspect_pictures, inspect_rows, unusable
from reddino.smears.failures import Failures
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest


class Sizes:
    """A check that lists what it was shown."""

    def __init__(self, manifest: Manifest) -> None:
        self.seen: list[tuple[int, str, tuple[int, ...]]] = []

    def see(self, number: int, path: str, image: NDArray[np.uint8]) -> None:
        self.seen.append((number, path, image.shape))

    def findings(self) -> Iterable[Finding]:
        yield Finding("sizes", repr(self.seen), len(self.seen), self.seen[0][1])


@pytest.fixture
def pictures(tmp_path: Path) -> Manifest:
    """Three pictures, the second damaged, the third of two rows."""
    for name, height in (("a", 8), ("c", 9)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((height, 7, 3), 90, np.uint8))
    (tmp_path / "b.png").write_bytes(b"damaged")
    return Manifest(pa.table({"path": ["a.png", "b.png", "c.png", "c.png"]}), tmp_path)


def test_inspect_pictures__shows_each_once_and_counts_the_unusable(
    pictures: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "PICTURE_CHECKS", (Sizes,))
    failures, moved = Failures(), []
    (found,) = inspect_pictures(pictures, failures, lambda done, total: moved.append((done, total)))
    assert found.message == "[(0, 'a.png', (8, 7, 3)), (2, 'c.png', (9, 7, 3))]"
    assert moved == [(1, 3), (2, 3), (3, 3)]
    (left_out,) = unusable(failures)
    assert (left_out.kind, left_out.count) == ("unusable", 1)
    assert left_out.first.endswith("b.png")
    assert "is not a PNG" in left_out.message
    assert unusable(Failures()) == ()


def test_inspect_rows__begins_with_what_reading_found(
    pictures: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Finding(name, "", 1, "") for name in ("read", "checked"))
    monkeypatch.setattr(inspection, "ROW_CHECKS", (lambda manifest: [other],))
    assert inspect_rows(replace(pictures, findings=(one,))) == (one, other)
