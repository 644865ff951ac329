"""Clinical tables: kinds of columns, units, decimal commas, and what is refused by row."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.patients.clinical_columns import ClinicalColumn, read_column
from reddino.patients.clinical_table import read_clinical
from reddino.smears.row_places import RowPlace

PLACE = RowPlace("clinic.csv")


def _column(*values: str) -> ClinicalColumn:
    return read_column("x", values, PLACE)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (("12.5", "13", "", "9.1"), (12.5, 13.0, np.nan, 9.1)),
        (("12,5", "13", "NA", "9,1"), (12.5, 13.0, np.nan, 9.1)),
        (("12.5 g/dL", "13 g/dl", "9.1g/dL"), (12.5, 13.0, 9.1)),
        (("-1e3", "+2", ".5"), (-1000.0, 2.0, 0.5)),
        (("45 %", "50 %", "-"), (45.0, 50.0, np.nan)),
    ],
)
def test_column__of_numbers_is_read(values: tuple[str, ...], numbers: tuple[float, ...]) -> None:
    found = _column(*values)
    assert found.kind == "number"
    assert found.numbers is not None
    np.testing.assert_allclose(found.numbers, np.array(numbers))


@pytest.mark.parametrize(
    "values", [("950", "1.25", "870"), ("0.125", "0.25", "101"), ("-2.5", "-99", "3"), ("70.125", "9", "8")]
)
def test_column__of_plain_numbers_is_not_taken_for_thousands_or_codes(values: tuple[str, ...]) -> None:
    numbers = _column(*values).numbers
    assert numbers is not None and numbers.tolist() == [float(value) for value in values]


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (("5", "6", "-1", "7", "8", "-1"), "-1 is its only value below 0 (2 patients): empty it where"),
        (("5", "6", "-1", "7", "8", "-2"), ""),
        (("0", "1", "-1", "1", "0", "-1"), ""),
        (("350", "999", "420", "180", "260"), ""),
    ],
)
def test_column__with_a_value_that_may_mean_missing_says_so(values: tuple[str, ...], note: str) -> None:
    found = read_column("x", values, PLACE)
    assert found.kind == "number"
    assert found.note.startswith(note)
    assert bool(found.note) == bool(note)


def test_column__of_months_holds_dates() -> None:
    assert _column("05.2023", "06.2023", "11/2022").note == "holds dates"


def test_column__of_signs_keeps_the_negative_ones() -> None:
    assert _column("+", "-", "+", "", "-", "++").texts == ("+", "-", "+", "", "-", "++")
    assert _column("a", "-", "a", "b", "b").texts[1] == ""


def test_column__says_what_was_done_to_it() -> None:
    assert _column("12,5 g/dL", "13,1 g/dL", "9 g/dL").note == "in g/dL, decimal commas read as points"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (("12.5", "high", "9.1", "8"), "row 2, column 'x': 'high' is not a number"),
        (("12.5", "<5", "9.1", "8"), "row 2, column 'x': '<5' is a bound"),
        (("12.5 g/dL", "125 g/L", "9.1 g/dL"), "row 2, column 'x': '125 g/L' is in another unit"),
        (("12.5 g/dL", "12.5", "9.1 g/dL"), "row 2, column 'x': '12.5' has no unit"),
        (("12,5", "12.5", "9,1"), "row 2, column 'x': '12.5' has a point"),
        (("1,234", "250", "2,500"), "row 1, column 'x': '1,234' may be thousands"),
        (("1", "2", "1e999"), "row 3, column 'x': '1e999' is too large"),
        (("950", "1.234", "870", "1.050"), "row 2, column 'x': '1.234' may be thousands or a decimal point"),
        (("<0.1", "<0.1", "<0.1", "0.2"), "row 1, column 'x': '<0.1' is a bound"),
        (("1 234", "2 345", "950"), "row 1, column 'x': '1 234' is not a number"),
        (("5", "-999", "6"), "row 2, column 'x': '-999' may mean a missing value"),
        (("5.1", "6.2", "999", "7"), "row 3, column 'x': '999' may mean a missing value"),
        (("5.1", "6.2", "9999.0", "7"), "row 3, column 'x': '9999.0' may mean a missing value"),
        (("1", "2", "3", "1a"), "row 1, column 'x': '1' has no unit, where others are in 'a'.* --categories"),
        (("f", "m", "F", "m", "f", "m"), "row 3, column 'x': 'F' and 'f' are two spellings"),
    ],
)
def test_column__that_may_be_misread_is_refused_by_row(values: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        _column(*values)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("", "NA", ""), "is empty"),
        (("f", "f", "f"), "has one value"),
        (("2024-01-02", "2024-02-03", ""), "holds dates"),
        (("Ada", "Grace", "Mary", "Rosa", "Lise", "Emmy"), "its values mostly occur once, as names do"),
        (("101", "102", "103", "104", "105"), "numbers the rows"),
    ],
)
def test_column__of_no_use_says_why(values: tuple[str, ...], why: str) -> None:
    found = _column(*values)
    assert (found.kind, found.note) == ("unused", why)


def test_column__of_codes_can_be_categories() -> None:
    assert _column("1", "2", "1", "3").kind == "number"
    assert read_column("x", ("1", "2", "1", "3"), PLACE, category=True).kind == "category"


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_table__is_the_same_from_csv_parquet_and_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl, of the extra 'patients', is absent")
    ids, hb, sex = ["007", "8", "A 9"], [12.5, None, 9.0], ["f", "m", None]
    dates = [date(2024, 1, day) for day in (1, 2, 3)]
    book = openpyxl.Workbook()
    book.active.append(["patient", "hb", "sex", "taken", "ill"])
    for row in zip(ids, hb, sex, dates, ["yes", "no", "yes"], strict=True):
        book.active.append(list(row))
    book.save(tmp_path / "c.xlsx")
    pq.write_table(
        pa.table({"patient": ids, "hb": hb, "sex": sex, "taken": dates, "ill": ["yes", "no", "yes"]}),
        tmp_path / "c.parquet",
    )
    _write(
        tmp_path / "c.csv",
        "patient,hb,sex,taken,ill\n007,12.5,f,2024-01-01,yes\n8,,m,2024-01-02,no\nA 9,9,,2024-01-03,yes\n",
    )
    tables = [read_clinical(tmp_path / f"c.{end}", target="ill") for end in ("csv", "parquet", "xlsx")]
    for table in tables:
        assert table.patients == ("007", "8", "A 9")
        assert table.target == ("yes", "no", "yes")
        assert [(one.name, one.kind) for one in table.columns] == [
            ("hb", "number"), ("sex", "category"), ("taken", "unused"),
        ]  # fmt: skip
        numbers = table.columns[0].numbers
        assert numbers is not None
        np.testing.assert_allclose(numbers, [12.5, np.nan, 9.0])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("patient,hb,ill\np1,12,yes\n,13,no\n", "line 3, column 'patient': is empty"),
        ("patient,hb,ill\np1,12,yes\np1,13,no\n", "line 3, column 'patient': 'p1' is there twice"),
        ("Patient,hb,ill\np1,12,yes\n", "has no column 'patient'; it is written 'Patient'"),
        ("patient,hb\np1,12\n", "has no column 'ill'; it has: patient, hb"),
        ("patient,hb,hb,ill\np1,12,12,yes\n", "two columns are called 'hb'"),
    ],
)
def test_table__that_contradicts_itself_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        read_clinical(_write(tmp_path / "c.csv", text), target="ill")


def test_table__of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"c\.txt: a clinical table is \.csv, \.xlsx or \.parquet"):
        read_clinical(_write(tmp_path / "c.txt", "patient\n1\n"))
    with pytest.raises(RedDinoError, match=r"c\.xlsx cannot be read as \.xlsx"):
        read_clinical(_write(tmp_path / "c.xlsx", "patient\n1\n"))


def test_table__keeps_blood_counts_that_differ_by_a_sign(tmp_path: Path) -> None:
    path = _write(tmp_path / "c.csv", "patient,NEUT%,NEUT#\na,50,3\nb,60,4\nc,55,2\n")
    assert [one.name for one in read_clinical(path).used] == ["NEUT%", "NEUT#"]


def test_table__of_a_country_whose_comma_is_decimal_is_read(tmp_path: Path) -> None:
    table = read_clinical(_write(tmp_path / "c.csv", "patient;hb;sex\na;12,5;f\n\nb;13,1;m\nc;;f\n"))
    numbers = table.columns[0].numbers
    assert numbers is not None
    np.testing.assert_allclose(numbers, [12.5, 13.1, np.nan])
    with pytest.raises(RedDinoError, match="line 4: 2 values for 3 columns"):
        read_clinical(_write(tmp_path / "c.csv", "patient;hb;sex\na;12,5;f\n\nb;13,1\n"))


def test_table__the_negative_ones_of_a_target_are_patients(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("patient,hb,sickle\na,12,+\nb,13,-\nc,14,\n")
    assert read_clinical(file, target="sickle").target == ("+", "-", "")


def test_table__refuses_two_spellings_of_a_class(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("patient,hb,y\na,12,Control\nb,13,control\n")
    with pytest.raises(RedDinoError, match="line 3, column 'y': 'control' and 'Control' are two spellings"):
        read_clinical(file, target="y")


def test_table__refuses_a_source_by_another_name(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("patient,Source,hb\na,north,12\nb,south,13\n")
    with pytest.raises(RedDinoError, match="'Source' may be the patients' source; write it 'source'"):
        read_clinical(file)
    assert read_clinical(file, target="Source").sources is None


def test_table__refuses_excel_formulas_whose_value_was_not_saved(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["patient", "hb"], ["a", 12.5], ["b", "=B2*2"], ["c", None]):
        book.active.append(row)
    book.save(tmp_path / "c.xlsx")
    with pytest.raises(RedDinoError, match=r"row 3: holds a formula without a saved value, =B2\*2"):
        read_clinical(tmp_path / "c.xlsx")


def test_table__with_the_line_that_excel_alone_reads(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("sep=;\npatient;hb;diagnosis\na;9,5;d\nb;12,1;c\nc;13,0;c\n")
    column = read_clinical(path, target="diagnosis").columns[0]
    assert column.numbers is not None
    assert column.numbers.tolist() == [9.5, 12.1, 13.0]
    path.write_text("sep=,\npatient,hb,diagnosis\na,9.5,d\n")
    with pytest.raises(RedDinoError, match="begins with 'sep=', which only Excel reads: remove that line"):
        read_clinical(path, target="diagnosis")
