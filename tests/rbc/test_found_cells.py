"""What cells that are found take along from the rows of their picture."""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.rbc.found_cells import find_cells_in, given_at_border
from reddino.smears.manifest import Manifest
from reddino.synthetic.write import write_smears


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two synthetic fields, a row each, of which no cell is listed."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = write_smears(folder, sources=("lilac",), patients_per_source=2, fields_per_patient=1, field_um=50)
    names = drawn.images()[0]
    return Manifest(pa.table({"path": names, "slide": ["7", "8"]}), drawn.root)


def with_columns(manifest: Manifest, **columns: list[Any]) -> Manifest:
    table = manifest.table.drop_columns([name for name in columns if name in manifest.table.column_names])
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return Manifest(table, manifest.root)


def by_picture(found: Manifest, name: str) -> list[set[str]]:
    values = found.strings(name)
    return [
        {value for value, path in zip(values, found.strings("path"), strict=True) if path == picture}
        for picture in found.images()[0]
    ]


def test_find_cells_in__carries_what_the_manifest_has_about_a_picture(pictures: Manifest) -> None:
    told = with_columns(
        pictures, hb=["9.8", None], diagnosis=["thalassaemia", ""], p_value=["0.1", "0.2"], label=["ill", ""]
    )
    found = find_cells_in(told)
    assert by_picture(found, "hb") == [{"9.8"}, {""}]
    assert by_picture(found, "diagnosis") == [{"thalassaemia"}, {""}]
    assert by_picture(found, "slide") == [{"7"}, {"8"}]
    # A picture's label is not that of its cells.
    assert by_picture(found, "picture_label") == [{"ill"}, {""}]
    assert set(found.strings("label")) == {""}
    taken = find_cells_in(with_columns(told, picture_label=["a", "b"]))
    assert by_picture(taken, "picture_label") == [{"a"}, {"b"}]
    assert by_picture(taken, "picture_label_") == [{"ill"}, {""}]


def test_find_cells_in__carries_nothing_of_single_cells(
    pictures: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    twice = pictures.select([0, 0, 1, 1])
    cells = with_columns(
        twice,
        x=[9.0, 30.0, 9.0, 30.0],
        y=[9.0, 30.0, 9.0, 30.0],
        label=["round"] * 4,
        area=["1", "2", "3", "4"],
        hospital=["north", "north", "south", "south"],
        at_border=["false", "false", "true", "true"],
    )
    with caplog.at_level(logging.WARNING):
        found = find_cells_in(cells)
    assert by_picture(found, "hospital") == [{"north"}, {"south"}]
    assert not {"area", "picture_label"} & set(found.table.column_names)
    assert "left out: area" in caplog.text
    assert len(set(found.table.column("at_border").to_pylist())) == 2


def test_find_cells_in__refuses_a_column_that_it_makes_itself(pictures: Manifest) -> None:
    with pytest.raises(RedDinoError, match=r"column 'at_border', which a table of cells uses itself: rename"):
        find_cells_in(with_columns(pictures, at_border=["left", "right"]))


@pytest.mark.parametrize(
    ("given", "cut"),
    [
        ([True, False, None], [True, False, False]),
        ([1.0, 0.0, None], [True, False, False]),
        ([1, 0, 1], [True, False, True]),
        (["TRUE", "false", ""], [True, False, False]),
        (["yes", "no", " Yes "], [True, False, True]),
    ],
)
def test_given_at_border__reads_yes_and_no(given: list[Any], cut: list[bool]) -> None:
    assert given_at_border(pa.table({"at_border": given})).tolist() == cut


def test_given_at_border__refuses_what_is_neither() -> None:
    table = pa.table({"at_border": ["yes", "left", "no"]})
    with pytest.raises(RedDinoError, match="row 2, column 'at_border': 'left' is neither true nor false"):
        given_at_border(table)
    assert given_at_border(pa.table({"x": [1, 2]})).tolist() == [False, False]


def test_find_cells_in__refuses_a_picture_of_two_patients(pictures: Manifest) -> None:
    twice = pa.concat_tables([pictures.table.slice(0, 1)] * 2)
    place = twice.column_names.index("patient")
    table = twice.set_column(place, "patient", pa.array(["one", "two"]))
    with pytest.raises(
        RedDinoError, match=r"column patient: 'two', and 'one' in another row of this picture"
    ):
        find_cells_in(Manifest(table, pictures.root))
