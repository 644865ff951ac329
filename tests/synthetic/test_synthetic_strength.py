"""The strength of synthetic sources: 0 makes all laboratories alike, 1 leaves them as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.synthetic.sources import NEUTRAL, SOURCES, faded
from reddino.synthetic.write import write_smears


def test_faded__ends_are_the_neutral_and_the_full_source() -> None:
    for source in SOURCES.values():
        assert faded(source, 1.0) == source
        assert {**vars(faded(source, 0.0)), "name": "neutral"} == vars(NEUTRAL)


def test_faded__goes_between_in_equal_steps() -> None:
    night = SOURCES["night"]
    steps = [faded(night, strength) for strength in (0.0, 0.25, 0.5, 0.75)]
    backgrounds = np.array([step.background for step in steps])
    assert np.diff(backgrounds, axis=0) == pytest.approx(
        (np.array(night.background) - NEUTRAL.background) / 4 * np.ones((3, 1))
    )
    assert [step.cell_px for step in steps] == pytest.approx([40, 38.5, 37, 35.5])
    assert all(step.name == "night" for step in steps)


def test_write_smears__colours_of_the_laboratories_part_with_strength(tmp_path: Path) -> None:
    spread = []
    for strength in (0.0, 0.5, 1.0):
        folder = tmp_path / str(strength)
        smears = write_smears(
            folder,
            sources=("lilac", "night", "mint"),
            patients_per_source=1,
            fields_per_patient=1,
            every_source=True,
            strength=strength,
            field_um=40,
        )
        images = [decode_image(folder / path).mean(axis=(0, 1)) for path in smears.images()[0]]
        spread.append(float(np.std(images, axis=0).mean()))
        assert f'"strength": {strength}' in (folder / "synthetic.json").read_text()
    assert spread[0] < 1
    assert spread[2] > 1.5 * spread[1] > 10 * spread[0]


def test_write_smears__refuses_a_strength_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="between 0 and 1"):
        write_smears(tmp_path / "s", strength=1.5)
