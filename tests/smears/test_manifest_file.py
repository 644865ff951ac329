"""Manifest files as other programs write them: read right, refused in one sentence, or reported."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.smears import manifest_csv, manifest_parquet
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest, read_manifest


def of_csv(folder: Path, content: str | bytes) -> Manifest:
    path = folder / "m.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_manifest(path)


def of_parquet(folder: Path, **columns: Any) -> Manifest:
    pq.write_table(pa.table(columns), folder / "m.parquet")
    return read_manifest(folder / "m.parquet")


def by_kind(manifest: Manifest) -> dict[str, Finding]:
    return {finding.kind: finding for finding in manifest.findings}


# Columns


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Patient", "patient"),
        ("#patient", "patient"),
        ("patient:", "patient"),
        ("Pati\u00ebnt", "patient"),
        ("p\u0430tient", "patient"),
        ("PATIENT", "patient"),
        ("patients", "patient"),
        ("Slide", "slide"),
        ("Label", "label"),
        ("cell-diameter", "cell_diameter"),
        ("Cell Diameter", "cell_diameter"),
        ("celldiameter", "cell_diameter"),
        ("X", "x"),
    ],
)
def test_columns__that_nearly_match_are_refused_with_the_right_name(
    tmp_path: Path, name: str, meant: str
) -> None:
    with pytest.raises(RedDinoError, match=rf"m\.csv: column '{name}' is not '{meant}'; rename it"):
        of_csv(tmp_path, f"path,{name}\na.png,1\n")
    with pytest.raises(RedDinoError, match=rf"column '{name}' is not '{meant}'; rename it"):
        of_parquet(tmp_path, path=["a.png"], **{name: ["1"]})
    with pytest.raises(RedDinoError, match="column 'Path' is not 'path'"):
        of_csv(tmp_path, "Path\na.png\n")


@pytest.mark.parametrize(
    "name", [" patient", "patient\u00a0", "\u200bpatient", "pat\u00adient", "\ufeffpatient"]
)
def test_columns__lose_blanks_and_invisible_characters(tmp_path: Path, name: str) -> None:
    assert of_csv(tmp_path, f"path,{name}\na.png,p1\n").strings("patient") == ["p1"]
    assert of_parquet(tmp_path, path=["a.png"], **{name: ["p1"]}).strings("patient") == ["p1"]
    with pytest.raises(RedDinoError, match="two columns named 'patient'"):
        of_csv(tmp_path, f"path,{name},patient\na.png,p1,p2\n")


def test_columns__of_both_spellings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="has the columns 'patient' and 'Patient'; rename or remove one"):
        of_csv(tmp_path, "path,Patient,patient\na.png,1,2\n")


def test_columns__of_other_names_are_carried_along(tmp_path: Path) -> None:
    manifest = of_csv(tmp_path, "path,patient,patients,pathology,field\na.png,p1,3,none,7\n")
    assert manifest.strings("patients") == ["3"] and manifest.strings("pathology") == ["none"]


def test_columns__are_read_in_linear_time_and_limited(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(9_000)]
    manifest = of_csv(tmp_path, f"path,{','.join(names)}\na.png{',1' * len(names)}\n")
    assert manifest.strings("c8999") == ["1"]
    many = "path," + ",".join(f"c{number}" for number in range(20_000))
    with pytest.raises(RedDinoError, match="20001 columns, more than the 10000"):
        of_csv(tmp_path, f"{many}\na.png{',' * 20_000}\n")


# Values


def test_ids_and_labels__are_trimmed_and_counted(tmp_path: Path) -> None:
    manifest = of_csv(
        tmp_path, "path, label, patient\n0.png, burr, p1\n1.png,burr,\u00a0p1\n2.png,burr\u200b ,p1\n"
    )
    assert manifest.strings("label") == ["burr"] * 3 and manifest.strings("patient") == ["p1"] * 3
    patient, label = manifest.findings
    assert (patient.kind, patient.count, patient.harmless) == ("blanks around values", 2, True)
    assert patient.first.endswith("m.csv, line 2") and "column 'patient'" in patient.message
    assert label.count == 2 and "column 'label'" in label.message


def test_ids_and_labels__have_one_unicode_form(tmp_path: Path) -> None:
    manifest = of_csv(tmp_path, "path,label\na,e\u0301chinocyte\nb,\u00e9chinocyte\n")
    assert set(manifest.strings("label")) == {"\u00e9chinocyte"}


def test_ids__that_are_words_for_missing_are_missing_and_counted(tmp_path: Path) -> None:
    rows = "".join(
        f"{number}.png,{word}\n" for number, word in enumerate(("NaN", "NA", "p1", "null", "None", "-", ""))
    )
    manifest = of_csv(tmp_path, f"path,patient\n{rows}")
    assert manifest.strings("patient") == ["", "", "p1", "", "", "", ""]
    finding = by_kind(manifest)["missing values as words"]
    assert (finding.count, finding.harmless) == (5, True) and finding.first.endswith("line 2")


def test_labels__that_are_words_for_missing_are_reported_as_open_to_doubt(tmp_path: Path) -> None:
    manifest = of_csv(tmp_path, "path,label\na,NA\nb,normal\n")
    assert manifest.strings("label") == ["", "normal"]
    assert not by_kind(manifest)["missing values as words"].harmless


def test_columns__of_one_word_for_missing_are_empty(tmp_path: Path) -> None:
    manifest = of_csv(tmp_path, "path,slide,x,y\na,N/A,NA,NA\nb,N/A,NA,NA\n")
    assert manifest.strings("slide") == ["", ""] and np.isnan(manifest.numbers("x")).all()
    assert {finding.count for finding in manifest.findings} == {2}


def test_parquet__missing_values_of_pandas_are_missing(tmp_path: Path) -> None:
    manifest = of_parquet(tmp_path, path=["a", "b"], patient=[float("nan")] * 2, slide=["nan", "s1"])
    assert manifest.strings("patient") == ["", ""] and manifest.strings("slide") == ["", "s1"]


def test_extra_columns__stay_as_written(tmp_path: Path) -> None:
    assert of_csv(tmp_path, "path,note\na, NA \n").strings("note") == [" NA "]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ('"11,2"', r"'11,2' is not a number \(use a decimal point"),
        ('"1,234.5"', r"'1,234\.5' is not a number \(use a decimal point"),
        ("5 px", r"'5 px' is not a number \(give pixels, without a unit\)"),
        ("7.5µm", "'7.5µm' is not a number"),
        ("١٢", "is not a number"),
        ("1_0", "is not a number"),
        ("0x10", "is not a number"),
        ("1e400", "is not a finite number"),
        ("inf", "is not a number"),
        ("1e6", "more than 5000 pixels"),
        ("-4", "above 0 pixels"),
    ],
)
def test_numbers__of_another_form_are_refused_with_their_place(
    tmp_path: Path, value: str, fault: str
) -> None:
    with pytest.raises(RedDinoError, match=rf"m\.csv, line 3, column 'cell_diameter': .*{fault}"):
        of_csv(tmp_path, f"path,cell_diameter\na,44\nb,{value}\n")


def test_numbers__have_blanks_and_invisible_characters_taken_off(tmp_path: Path) -> None:
    manifest = of_csv(tmp_path, "path,cell_diameter\na, 44\u00a0\nb,\ufeff45\u200b\nc,+46\n")
    assert manifest.numbers("cell_diameter").tolist() == [44, 45, 46]


@pytest.mark.parametrize(("x", "w"), [("1e300", "1"), ("9223372036854775807", "1"), ("1", "1e7")])
def test_places__beyond_any_picture_are_refused(tmp_path: Path, x: str, w: str) -> None:
    with pytest.raises(RedDinoError, match=r"line 2, column '[xw]': is beyond any picture"):
        of_csv(tmp_path, f"path,x,y,w,h\na,{x},1,{w},1\n")


# Paths


def test_paths__are_read_as_written_where_that_file_exists(tmp_path: Path) -> None:
    (tmp_path / " a.png ").touch()
    (tmp_path / "a.png").touch()
    manifest = of_csv(tmp_path, "path\n a.png \n")
    assert manifest.strings("path") == [" a.png "] and not manifest.findings


@pytest.mark.parametrize(
    ("written", "on_disk"),
    [
        ("a.png ", "a.png"),
        ("d\\a.png", "d/a.png"),
        ("e\u0301.png", "\u00e9.png"),
        ("\u00e9.png", "e\u0301.png"),
    ],
)
def test_paths__are_respelt_where_the_file_is_called_so(tmp_path: Path, written: str, on_disk: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / on_disk).touch()
    manifest = of_csv(tmp_path, f"path\nx.png\n{written}\n{written}\n")
    assert manifest.strings("path") == ["x.png", on_disk, on_disk]
    finding = by_kind(manifest)["paths respelt"]
    assert finding.count == 2 and finding.first.endswith("line 3")


def test_paths__that_no_file_system_takes_are_missing(tmp_path: Path) -> None:
    manifest = of_csv(tmp_path, f"path\n{'x' * 5000}.png\n")
    assert len(manifest.missing_files()) == 1 and manifest.fingerprint()
    with pytest.raises(RedDinoError, match="row 1, column 'path': holds a NUL character"):
        of_parquet(tmp_path, path=["a\0b.png"])


# CSV files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv__is_read_in_every_encoding_with_a_mark(tmp_path: Path, encoding: str, end: str) -> None:
    text = end.join(("path,label,x,y", "a.png,é,1,2", "b.png,ü,3,NA?", ""))
    with pytest.raises(RedDinoError, match=r"line 3, column 'y': 'NA[?]' is not a number"):
        of_csv(tmp_path, text.encode(encoding))
    manifest = of_csv(tmp_path, text.replace("NA?", "4").encode(encoding))
    assert manifest.strings("label") == ["é", "ü"] and manifest.numbers("y").tolist() == [2, 4]


def test_csv__that_is_cut_off_within_a_character_is_refused(tmp_path: Path) -> None:
    text = ("path,label\n" + "a.png,b\n" * 2000).encode("utf-16")
    with pytest.raises(RedDinoError, match="is not the UTF-16 text that it begins as"):
        of_csv(tmp_path, text[:-1])


def test_csv__of_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    for text, line in (("path,label\na.png,x\nb.png,é\n", 3), ("path,é\na.png,x\n", 1)):
        with pytest.raises(
            RedDinoError, match=rf"m\.csv, line {line}: is not UTF-8 text; save the file as UTF-8"
        ):
            of_csv(tmp_path, text.encode("cp1252"))
    with pytest.raises(RedDinoError, match="NUL characters, as text that is not UTF-8"):
        of_csv(tmp_path, "path\na.png\n".encode("utf-16-le"))


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_csv__of_another_separator_is_refused(tmp_path: Path, separator: str) -> None:
    with pytest.raises(RedDinoError, match="must be separated by commas"):
        of_csv(tmp_path, f"path{separator}label\na.png{separator}normal\n")


def test_csv__that_is_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="is a spreadsheet"):
        of_csv(tmp_path, b"PK\x03\x04abc")
    with pytest.raises(RedDinoError, match="is Parquet, not CSV"):
        of_csv(tmp_path, b"PAR1abc")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RedDinoError, match="is a folder"):
        read_manifest(tmp_path / "folder.csv")


def test_csv__without_a_closing_quote_does_not_lose_rows(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="line 2, column 'note': the closing quote is missing"):
        of_csv(tmp_path, 'path,note\na.png,"burr\nb.png,x\nc.png,y\n')
    manifest = of_csv(tmp_path, 'path,label\na.png,"burr\nb.png,x"\nc.png,y\n')
    assert "closing quote" in by_kind(manifest)["line breaks in values"].message
    assert of_csv(tmp_path, 'path,note\na.png,"two\nlines"\n').strings("note") == ["two\nlines"]


def test_csv__with_lines_of_other_lengths_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="line 3: 3 values for 2 columns"):
        of_csv(tmp_path, "path,label\na,b\na,b,c\n")


def test_csv__with_endless_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_csv, "MAX_LINE", 1000)
    for text in ("path," + "x" * 2000, "path,note\na.png," + "x" * 2000 + "\n"):
        with pytest.raises(RedDinoError, match=r"m\.csv has a line of more than 1000 characters"):
            of_csv(tmp_path, text)


# Parquet files


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([b"ab"]), "ab"),
        (pa.array([b"ab"], pa.binary(2)), "ab"),
        (pa.array(["ab"]).dictionary_encode(), "ab"),
        (pa.array([7.0]).dictionary_encode(), "7"),
        (pa.array([True]), "true"),
        (pa.array([datetime.date(2026, 1, 2)]), "2026-01-02"),
        (pa.array([datetime.time(1, 2)]), "01:02:00.000000"),
        (pa.array([decimal.Decimal("1.50")]), "1.50"),
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array([1.5], pa.float16()), "1.5"),
        (pa.array([None]), ""),
    ],
)
def test_parquet__ids_of_any_plain_type_are_text(tmp_path: Path, values: Any, text: str) -> None:
    manifest = of_parquet(tmp_path, path=["a"], slide=values, extra=values)
    assert manifest.strings("slide") == manifest.strings("extra") == [text]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (pa.array([b"a", b"\xff\xfe"]), "row 2, column 'label': holds bytes that are not UTF-8"),
        (pa.array([[1], None]), "column 'label': holds list"),
        (pa.array([{"a": 1}, None]), "column 'label': holds struct"),
        (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())), "column 'label': holds map"),
    ],
)
def test_parquet__labels_of_other_types_are_refused(tmp_path: Path, values: Any, fault: str) -> None:
    with pytest.raises(RedDinoError, match=fault):
        of_parquet(tmp_path, path=["a", "b"], label=values)


def test_parquet__text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a\xff")])
    for name in ("label", "extra", "path"):
        columns = {"path": ["a", "b"], name: broken}
        with pytest.raises(RedDinoError, match=rf"row 2, column '{name}': holds bytes that are not UTF-8"):
            of_parquet(tmp_path, **columns)


@pytest.mark.parametrize(
    "values",
    [[True], [datetime.datetime(2026, 1, 1)], [datetime.timedelta(1)], [[1.0]], [b"1"], [{"a": 1}]],
)
def test_parquet__numbers_of_other_types_are_refused(tmp_path: Path, values: list[object]) -> None:
    with pytest.raises(RedDinoError, match=r"column 'cell_diameter': holds .*, not numbers"):
        of_parquet(tmp_path, path=["a"], cell_diameter=values)


def test_parquet__huge_integers_are_refused_with_their_row(tmp_path: Path) -> None:
    for value in (2**63 - 1, -(2**63)):
        with pytest.raises(RedDinoError, match=r"m\.parquet, row 2, column 'x': is beyond any picture"):
            of_parquet(tmp_path, path=["a", "b"], x=[1, value], y=[1, 1])


def test_parquet__lists_in_extra_columns_are_carried_along(tmp_path: Path) -> None:
    manifest = of_parquet(tmp_path, path=["a"], outline=[[1, 2]])
    assert manifest.table["outline"].to_pylist() == [[1, 2]]
    with pytest.raises(RedDinoError, match="column 'outline' of the manifest holds list"):
        manifest.strings("outline")


def test_parquet__damaged_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"path": ["a" * 50] * 1000}), path)
    whole = path.read_bytes()
    for content in (b"", b"PAR1", whole[:-20], whole[:40] + bytes(40) + whole[80:], b"path\na.png\n"):
        path.write_bytes(content)
        with pytest.raises(RedDinoError, match=r"m\.parquet cannot be read as Parquet: \S[^\n]*[^.]$"):
            read_manifest(path)
    path.write_bytes(whole)
    monkeypatch.setattr(manifest_parquet, "MAX_CHARACTERS", 49_999)
    with pytest.raises(RedDinoError, match="column 'path': holds 50000 characters, too many"):
        read_manifest(path)
    monkeypatch.setattr(manifest_parquet, "MAX_VALUES", 999)
    with pytest.raises(RedDinoError, match="lists 1000 rows of 1 columns, more than the 999 values"):
        read_manifest(path)


def test_parquet__columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([["a"], ["b"], ["c"]], names=["path", "label", "label"])
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(RedDinoError, match="two columns named 'label'"):
        read_manifest(tmp_path / "m.parquet")
