"""Reinhard's transfer: as a kept library has it, and independent of how many cells a picture shows."""

from __future__ import annotations

import numpy as np
import pytest
from dyed_pictures import dyed

from reddino.views.reinhard import LabStatistics, half_and_half, lab_statistics, to_lab, transfer


def of(image: np.ndarray) -> LabStatistics:
    return lab_statistics(to_lab(image).reshape(-1, 3))


def test_transfer__is_that_of_torchstain() -> None:
    normalizers = pytest.importorskip("torchstain.numpy.normalizers", reason="pip install torchstain")
    image, target = dyed(), dyed((235, 225, 200), strength=0.7)
    library = normalizers.NumpyReinhardNormalizer()
    library.fit(target)
    # The library cuts what is past the point off.
    wanted = library.normalize(image.copy()).astype(int)
    found = transfer(image, of(image), of(target)).astype(int)
    assert np.abs(found - wanted).max() <= 1
    assert (found == wanted).mean() > 0.3


def test_transfer__to_its_own_statistics_changes_nothing() -> None:
    image = dyed()
    assert np.abs(transfer(image, of(image), of(image)).astype(int) - image).max() <= 1


def test_transfer__gives_the_wanted_statistics() -> None:
    wanted = LabStatistics(np.array([60.0, 5.0, 2.0]), np.array([8.0, 5.0, 4.0]))
    image = dyed()
    found = of(transfer(image, of(image), wanted))
    assert found.mean == pytest.approx(wanted.mean, abs=0.2)
    assert found.spread == pytest.approx(wanted.spread, abs=0.2)


def test_half_and_half__is_what_as_many_pixels_of_each_would_give() -> None:
    rng = np.random.default_rng(0)
    glass, cells = (rng.normal(m, 2, (500, 3)).astype(np.float32) for m in (80, 50))
    found, wanted = half_and_half(glass, cells), lab_statistics(np.concatenate([glass, cells]))
    assert found.mean == pytest.approx(wanted.mean)
    assert found.spread == pytest.approx(wanted.spread)
    fewer = half_and_half(glass, np.concatenate([cells] * 1)[:250])
    assert fewer.mean == pytest.approx(wanted.mean, abs=0.5)
    assert fewer.spread == pytest.approx(wanted.spread, abs=0.5)
