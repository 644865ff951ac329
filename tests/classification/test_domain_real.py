"""Verdicts on real laboratories: a classifier of one is told that another is not what it learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import reddino
from reddino.smears.manifest import Manifest, with_groups

pytestmark = [pytest.mark.smears, pytest.mark.timeout(900)]


def some(manifest: Manifest, pictures: range, cells: int) -> Manifest:
    """Cells of some pictures."""
    of_row = manifest.images()[1]
    rows = np.flatnonzero(np.isin(of_row, list(pictures)))
    return manifest.select(np.sort(np.random.default_rng(0).permutation(rows)[:cells]))


def test_predict__a_classifier_of_one_laboratory_is_outside_in_others(smears: Path, tmp_path: Path) -> None:
    chula = reddino.read_manifest(smears / "chula_rbc12" / "manifest.csv")
    chula = with_groups(chula, smears / "chula_rbc12" / "same_field_groups.csv")
    labels = np.array(chula.strings("label"))
    chula = chula.select(np.isin(labels, ("normal", "target", "ovalocyte", "burr")))
    reddino.fit(some(chula, range(0, 300, 2), 500), tmp_path / "c")
    bccd = reddino.read_manifest(smears / "bccd" / "manifest.csv")
    bccd = bccd.select(np.array(bccd.strings("label")) == "RBC")
    verdicts = {}
    for name, one in (("chula", some(chula, range(1, 300, 2), 100)), ("bccd", some(bccd, range(12), 70))):
        found = reddino.predict(tmp_path / "c", one, tmp_path / f"{name}.csv", risk=0.25)
        assert found.domain is not None
        (source,) = found.domain.sources()
        verdicts[name] = source.verdict
        answered = 1 - found.abstained().mean()
        assert answered > 0.5 if name == "chula" else answered < 0.3
    assert verdicts == {"chula": "within", "bccd": "outside"}
