"""Sources drawn from a random model follow from seed and number; named ones keep their bytes."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.synthetic.random_sources import (
    EVEN,
    JPEG,
    LIGHT,
    LOGARITHMIC,
    named_source,
    random_source,
    source_names,
)
from reddino.synthetic.sources import SOURCES, Source
from reddino.synthetic.write import write_smears

MANY = [random_source(seed, number) for seed in (0, 1, 101) for number in range(100)]


def test_random_source__follows_from_seed_and_number_alone() -> None:
    again = random_source(101, 3)
    assert again == MANY[203]
    assert again.name == "random-101-03"
    assert len({source.background for source in MANY}) == len(MANY)
    assert random_source(3, 101 % 100).background != random_source(1, 3).background


def test_random_source__keeps_the_stated_ranges_and_fills_them() -> None:
    for name, (low, high) in (EVEN | LOGARITHMIC).items():
        values = np.array([getattr(source, name) for source in MANY])
        assert low - 1e-4 <= values.min() < low + 0.1 * (high - low), name
        assert high - 0.1 * (high - low) < values.max() <= high + 1e-4, name
    brightest = [max(source.background) for source in MANY]
    assert LIGHT[0] <= min(brightest) < 105
    assert 245 < max(brightest) <= LIGHT[1]
    qualities = [source.jpeg for source in MANY if source.jpeg is not None]
    assert 0.08 < 1 - len(qualities) / len(MANY) < 0.22
    assert JPEG[0] <= min(qualities) < 50
    assert 92 < max(qualities) <= JPEG[1]


def cast(source: Source) -> tuple[float, float, float]:
    """Colour of a cell in the source's light, against the mean of its three channels."""
    colour = np.array(source.background) * np.exp(-np.array(source.haemoglobin))
    red, green, blue = colour / colour.mean()
    return float(red), float(green), float(blue)


def test_random_source__stains_of_every_cast_occur() -> None:
    casts = [cast(source) for source in MANY]
    found = {
        "pink": sum(r > 1.1 and g < 0.95 for r, g, b in casts),
        "lilac": sum(g < 0.9 and r > 0.95 and b > 0.95 for r, g, b in casts),
        "blue": sum(b > 1.12 and r < 1.0 for r, g, b in casts),
        "grey": sum(max(c) < 1.07 for c in casts),
        "brown": sum(r > 1.05 and b < 0.9 for r, g, b in casts),
        "green": sum(g > 1.1 and r < 1.0 for r, g, b in casts),
    }
    assert min(found.values()) >= 9, found


def test_random_source__basic_dyes_are_darker_than_the_cell_in_red_or_green_light() -> None:
    for source in MANY:
        assert max(source.chromatin) > 1.5 * max(source.haemoglobin)
        assert max(source.chromatin[:2]) > source.haemoglobin[int(np.argmax(source.chromatin[:2]))]


def test_named_source__finds_named_and_random_ones() -> None:
    assert named_source("lilac") is SOURCES["lilac"]
    assert named_source("random-101-03") == MANY[203]
    assert {f.name for f in fields(Source)} == set(vars(MANY[0]))


@pytest.mark.parametrize(
    "name", ["moon", "random", "random-1", "random-1-3", "random-1-003", "random-01-03", "random-1-100"]
)
def test_named_source__refuses_other_names(name: str) -> None:
    with pytest.raises(RedDinoError, match=f"'{name}'"):
        named_source(name)


def test_source_names__writes_a_count_out_and_keeps_the_others() -> None:
    assert source_names(("lilac", "random:2", "random-5-07"), 9) == (
        "lilac",
        "random-9-00",
        "random-9-01",
        "random-5-07",
    )


@pytest.mark.parametrize("name", ["random:0", "random:101"])
def test_source_names__refuses_a_count_out_of_range(name: str) -> None:
    with pytest.raises(RedDinoError, match="1 to 100"):
        source_names((name,), 0)


def test_write_smears__a_random_source_is_the_same_among_few_or_many(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "patients_per_source": 1,
        "fields_per_patient": 1,
        "field_um": 20.0,
        "seed": 4,
    }
    write_smears(tmp_path / "few", sources=["random:1"], **settings)
    many = write_smears(tmp_path / "many", sources=["lilac", "random:2"], **settings)
    assert set(many.strings("source")) == {"drawn-lilac", "drawn-random-4-00", "drawn-random-4-01"}
    few = sorted((tmp_path / "few" / "random-4-00").iterdir())
    assert few
    for picture in few:
        assert picture.read_bytes() == (tmp_path / "many" / "random-4-00" / picture.name).read_bytes()


def test_write_smears__named_sources_keep_their_bytes(tmp_path: Path) -> None:
    manifest = write_smears(tmp_path, patients_per_source=1, fields_per_patient=1, field_um=24.0, seed=7)
    pixels = hashlib.sha256((tmp_path / "manifest.csv").read_bytes())
    for path in manifest.images()[0]:
        pixels.update((tmp_path / path).read_bytes())
    # The same for a seed, with the same generation of OpenCV: 5 interpolates otherwise than 4.
    expected = {
        "4": "bcad3b068dff54e15ef20b01dbf895508360b034abd4d3dd6d977a969a029b72",
        "5": "80b91c6f41ccefac06ef392d5f29c83c16218e4aa005fba500488fc8c58ed922",
    }
    assert pixels.hexdigest() == expected[cv2.__version__[0]]
