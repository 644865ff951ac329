"""The manifest: what is refused with which message, and that nothing is lost between files."""

from __future__ import annotations

import csv
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import (
    COLUMNS,
    Manifest,
    join_manifests,
    read_manifest,
    with_groups,
    write_manifest,
)


def csv_file(folder: Path, text: str, name: str = "cells.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def manifest_of(root: Path, **columns: list[Any]) -> Manifest:
    return Manifest(pa.table(columns), root)


def test_read_manifest__keeps_identifiers_as_text_and_reads_numbers(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "path,slide,dataset,x,y,w,h\na.jpg,007,08, 1.5,2,3,+4\nb.jpg,,,,,,\n")
    manifest = read_manifest(path)
    assert manifest.strings("slide") == ["007", ""]
    assert manifest.strings("dataset") == ["08", ""]
    assert manifest.numbers("x")[0] == 1.5 and manifest.numbers("h")[0] == 4
    assert np.isnan(manifest.numbers("x")[1])
    assert manifest.table.column_names == [*COLUMNS, "dataset"]
    assert manifest.table["slide"].null_count == 1


@pytest.mark.parametrize(
    ("header", "row", "column", "fault"),
    [
        ("path,x,y", "a.jpg,one,2", "x", "'one' is not a number"),
        ("path,x,y", "a.jpg,1,nan", "y", "'nan' is not a number"),
        ("path,x,y", "a.jpg,1,1e999", "y", "finite"),
        ("path,x,y", ",1,2", "path", "empty"),
        ("path,x,y", "a.jpg,1,", "y", "x is given"),
        ("path,x,y", "a.jpg,,1", "x", "y is given"),
        ("path,x,y,w,h", "a.jpg,1,2,3,", "h", "w is given"),
        ("path,x,y,w,h", "a.jpg,1,2,,3", "w", "h is given"),
        ("path,x,y,w,h", "a.jpg,1,2,-3,3", "w", "negative"),
        ("path,x,y,w,h", "a.jpg,1,2,3,-3", "h", "negative"),
        ("path,w,h", "a.jpg,3,3", "x", "top-left corner"),
        ("path,cell_diameter", "a.jpg,0", "cell_diameter", "above 0"),
    ],
)
def test_read_manifest__names_line_and_column(
    tmp_path: Path, header: str, row: str, column: str, fault: str
) -> None:
    fine = "ok.jpg" + "," * header.count(",")
    # A blank line and a line break inside quotes: the fault stands on line 6 of the file.
    text = f'{header}\n{fine}\n\n"o\nk.jpg"{"," * header.count(",")}\n{row}\n{fine}\n'
    path = csv_file(tmp_path, text)
    with pytest.raises(RedDinoError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert (
        str(path) in message and "line 6," in message and f"column '{column}'" in message and fault in message
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("path,x\n", "lists no images"),
        ("file,x\na.jpg,1\n", "no column 'path'"),
        ("path,x,x\na.jpg,1,2\n", "two columns named 'x'"),
        (",path\n0,a.jpg\n", "column 1 has no name"),
        ("path;x;y\na.jpg;1;2\n", "separated by commas"),
        ("path,x,y\na.jpg,1,2\nb.jpg,1\n", "line 3: 2 values for 3 columns"),
    ],
)
def test_read_manifest__refuses_what_is_not_a_manifest(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(RedDinoError, match=fault):
        read_manifest(csv_file(tmp_path, text))


def test_read_manifest__refuses_unknown_formats_absent_files_and_other_encodings(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"\.csv or \.parquet"):
        read_manifest(csv_file(tmp_path, "path\na.jpg\n", "cells.xlsx"))
    with pytest.raises(RedDinoError, match="no such manifest"):
        read_manifest(tmp_path / "absent.csv")
    (tmp_path / "latin.csv").write_bytes("path,source\na.jpg,Köln\n".encode("latin-1"))
    with pytest.raises(RedDinoError, match=r"UTF-?8"):
        read_manifest(tmp_path / "latin.csv")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(RedDinoError, match=r"torn\.parquet cannot be read"):
        read_manifest(tmp_path / "torn.parquet")


def test_read_manifest__names_the_row_of_a_parquet_file(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.jpg", "b.jpg"], "x": [1.0, 2.0], "y": [1.0, float("nan")]})
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(RedDinoError, match=r"m\.parquet, row 2, column 'y'"):
        read_manifest(tmp_path / "m.parquet")


def test_read_manifest__undoes_what_pandas_does_to_identifiers(tmp_path: Path) -> None:
    folder = tmp_path / "slide=9"  # must not become a column
    folder.mkdir()
    # An integer column with a gap becomes floating point in pandas.
    table = pa.table({"path": ["a", "b"], "slide": [7.0, float("nan")], "patient": [3, 4], "kept": [1, 2]})
    pq.write_table(table, folder / "m.parquet")
    manifest = read_manifest(folder / "m.parquet")
    assert manifest.strings("slide") == ["7", ""]
    assert manifest.strings("patient") == ["3", "4"]
    assert manifest.strings("kept") == ["1", "2"]


def test_read_manifest__accepts_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes("path,label\r\na.jpg,é\r\n".encode("utf-8-sig"))
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest.strings("path") == ["a.jpg"] and manifest.strings("label") == ["é"]


def test_read_manifest__checks_image_files_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    path = csv_file(tmp_path, "path\na.jpg\nb.jpg\nc.jpg\n")
    assert read_manifest(path).missing_files() == ["b.jpg", "c.jpg"]
    with pytest.raises(RedDinoError, match=r"line 3, column 'path'.*'b\.jpg'.*2 image files"):
        read_manifest(path, check_files=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_write_manifest__gives_back_what_was_written(tmp_path: Path, suffix: str) -> None:
    manifest = manifest_of(
        tmp_path,
        path=["a,b.jpg", 'quo"te.jpg', "c.jpg"],
        slide=["007", None, "line\nbreak"],
        x=[0.1 + 0.2, None, 1e-7],
        y=[594.0, None, 12345678.9],
        extra=["ü", "", "x"],
    )
    write_manifest(manifest, tmp_path / f"m{suffix}")
    again = read_manifest(tmp_path / f"m{suffix}")
    assert again.table.equals(manifest.table)
    assert again.fingerprint() == manifest.fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == [f"m{suffix}"]


def test_write_manifest__leaves_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "path\nold.jpg\n")
    manifest = manifest_of(tmp_path, path=["a.jpg"], vectors=[[1.0, 2.0]])
    with pytest.raises(RedDinoError, match="'vectors' holds lists"):
        write_manifest(manifest, path)
    assert path.read_text() == "path\nold.jpg\n"
    assert list(tmp_path.iterdir()) == [path]


def test_write_manifest__reroots_paths_to_the_new_folder(tmp_path: Path) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    image = tmp_path / "data" / "images" / "a.jpg"
    image.touch()
    manifest = manifest_of(tmp_path / "data", path=["images/a.jpg", str(image)])
    write_manifest(manifest, tmp_path / "lists" / "m.csv")
    again = read_manifest(tmp_path / "lists" / "m.csv", check_files=True)
    assert again.strings("path") == ["../data/images/a.jpg"] * 2


def test_write_manifest__reroots_through_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er" / "data").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "data" / "a.jpg").touch()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er" / "data")
    write_manifest(manifest_of(tmp_path / "link", path=["a.jpg"]), tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv").missing_files() == []


def test_manifest__centres_boxes_and_keeps_points(tmp_path: Path) -> None:
    manifest = manifest_of(
        tmp_path,
        path=["a", "b", "c"],
        x=[10.0, 7.0, None],
        y=[20.0, 8.0, None],
        w=[4.0, None, None],
        h=[6.0, None, None],
    )
    np.testing.assert_array_equal(manifest.centres(), [[12, 23], [7, 8], [np.nan, np.nan]])
    assert manifest.is_cell().tolist() == [True, True, False]


def test_manifest__fold_groups_join_what_shares_image_group_slide_or_patient(tmp_path: Path) -> None:
    manifest = manifest_of(
        tmp_path,
        path=["1", "2", "3", "4", "5", "6", "6", "7"],
        source=["A", "A", "A", "A", "B", "B", "B", "B"],
        group=["g", "g", None, None, "g", None, None, None],
        slide=["s", None, "s", None, "s", "t", None, None],
        patient=[None, None, None, None, None, None, "p", "p"],
    )
    groups = manifest.fold_groups()
    # 1 and 2 share a group, 1 and 3 a slide of which 2 does not know: all three stay together.
    assert len({groups[0], groups[1], groups[2]}) == 1
    # One image's rows stay together though only one names the patient, who has another image.
    assert len({groups[5], groups[6], groups[7]}) == 1
    assert len({groups[0], groups[3], groups[4], groups[5]}) == 4


@pytest.mark.parametrize("seed", range(5))
def test_manifest__fold_groups_equal_a_search_from_row_to_row(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    columns = {
        name: [draw.choice([None, *"abcdef"]) for _ in range(25)] for name in ("group", "slide", "patient")
    }
    columns |= {
        "path": [str(draw.integers(20)) for _ in range(25)],
        "source": list(draw.choice(["A", "B"], 25)),
    }
    of_image: dict[str, str] = {}
    columns["source"] = [
        of_image.setdefault(path, source)
        for path, source in zip(columns["path"], columns["source"], strict=True)
    ]
    found = manifest_of(tmp_path, **columns).fold_groups()
    expected = list(range(25))
    for _ in range(25):
        for i, j in itertools.product(range(25), repeat=2):
            together = columns["source"][i] == columns["source"][j] and any(
                columns[name][i] is not None and columns[name][i] == columns[name][j]
                for name in ("group", "slide", "patient", "path")
            )
            if together:
                expected[i] = min(expected[i], expected[j])
    for i, j in itertools.product(range(25), repeat=2):
        assert (found[i] == found[j]) == (expected[i] == expected[j])


def test_manifest__fold_groups_do_not_confuse_a_slide_with_a_path(tmp_path: Path) -> None:
    groups = manifest_of(tmp_path, path=["x", "y"], slide=[None, "x"]).fold_groups()
    assert groups[0] != groups[1]


def test_manifest__selects_by_mask_and_by_index(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, path=["a", "b", "c"])
    assert manifest.select(np.array([True, False, True])).strings("path") == ["a", "c"]
    assert manifest.select([2, 0, 0]).strings("path") == ["c", "a", "a"]
    assert len(manifest.select([])) == 0
    with pytest.raises(ValueError, match="mask"):
        manifest.select(np.array([True]))


def test_manifest__with_column_replaces_checks_and_appends(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, path=["a", "b"], label=["x", "y"])
    assert manifest.with_column("label", ["", "z"]).strings("label") == ["", "z"]
    assert manifest.with_column("fold", np.array([1, 2])).strings("fold") == ["1", "2"]
    with pytest.raises(RedDinoError, match="row 2, column 'cell_diameter'"):
        manifest.with_column("cell_diameter", [40.0, -1.0])
    with pytest.raises(ValueError, match="1 values for 2 rows"):
        manifest.with_column("label", ["x"])


def test_manifest__keeps_its_rules_when_built_in_memory(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="the manifest, row 1, column 'y'"):
        manifest_of(tmp_path, path=["a"], x=[1.0])
    with pytest.raises(KeyError, match="numbers"):
        manifest_of(tmp_path, path=["a"]).strings("x")


def test_fingerprint__follows_content_and_not_place(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"12345")
    columns: dict[str, list[Any]] = {"path": ["a.jpg"], "label": ["x"], "x": [1.0], "y": [2.0]}
    here = manifest_of(tmp_path / "here", **columns).fingerprint()
    assert len(here) == 16
    assert manifest_of(tmp_path / "there", **columns).fingerprint() == here
    noted = manifest_of(tmp_path / "there", **columns, note=["n"]).fingerprint()
    assert noted != here
    assert manifest_of(tmp_path / "there", **columns, note=["m"]).fingerprint() not in (here, noted)
    assert manifest_of(tmp_path / "there", **{**columns, "label": ["z"]}).fingerprint() != here
    assert manifest_of(tmp_path / "there", **{**columns, "x": [1.5]}).fingerprint() != here
    (tmp_path / "there" / "a.jpg").write_bytes(b"123456")
    assert manifest_of(tmp_path / "there", **columns).fingerprint() != here


def test_fingerprint__does_not_run_neighbouring_texts_together(tmp_path: Path) -> None:
    first = manifest_of(tmp_path, path=["p", "p"], label=["ab", "c"])
    second = manifest_of(tmp_path, path=["p", "p"], label=["a", "bc"])
    assert first.fingerprint() != second.fingerprint()


def test_join_manifests__finds_every_image_from_the_common_folder(tmp_path: Path) -> None:
    for name in ("a/images", "b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.jpg").touch()
    first = manifest_of(tmp_path / "a", path=["images/1.jpg"], dataset=["d"])
    second = manifest_of(tmp_path / "b", path=["1.jpg"], x=[1.0], y=[1.0])
    joined = join_manifests([first, second])
    assert joined.root == tmp_path.resolve()
    assert joined.strings("path") == ["a/images/1.jpg", "b/1.jpg"]
    assert joined.strings("dataset") == ["d", ""]
    assert joined.missing_files() == []
    assert joined.paths()[1] == tmp_path.resolve() / "b" / "1.jpg"
    with pytest.raises(RedDinoError, match="no manifest"):
        join_manifests([])


def test_place__names_file_and_line_of_rows_that_were_joined_and_chosen(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.csv").write_text('path,note\n1.jpg,"two\nlines"\n\n2.jpg,\n')
    made = manifest_of(tmp_path, path=["c.jpg"])
    files = [read_manifest(tmp_path / name / "m.csv") for name in ("a", "b")]
    joined = join_manifests([files[0], made, files[1]])
    assert [joined.place(row) for row in range(5)] == [
        f"{tmp_path}/a/m.csv, line 2 (a/1.jpg)",
        f"{tmp_path}/a/m.csv, line 5 (a/2.jpg)",
        "row 1 (c.jpg)",
        f"{tmp_path}/b/m.csv, line 2 (b/1.jpg)",
        f"{tmp_path}/b/m.csv, line 5 (b/2.jpg)",
    ]
    chosen = joined.select([4, 0]).with_column("group", ["g", "h"])
    assert chosen.place(0) == f"{tmp_path}/b/m.csv, line 5 (b/2.jpg)"
    chosen = pickle.loads(pickle.dumps(joined.select(np.array([False] * 4 + [True]))))
    assert chosen.place(0) == f"{tmp_path}/b/m.csv, line 5 (b/2.jpg)"


def test_findings_of_reading__are_there_once_whatever_is_made_of_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('path,patient\n1.jpg,"p\n1"\n2.jpg,q\n')
    read = read_manifest(tmp_path / "m.csv")
    for made in (read, read.with_column("group", ["g", "h"]), join_manifests([read])):
        (finding,) = made.findings
        assert finding.first == f"{tmp_path}/m.csv, line 2"


def test_with_groups__fills_listed_images_and_keeps_the_rest(tmp_path: Path) -> None:
    manifest = manifest_of(
        tmp_path / "data",
        path=["images/1.jpg", "./images/2.jpg", "images/3.jpg"],
        group=[None, "old", "kept"],
    )
    table = csv_file(
        tmp_path / "data", "group,path\n7,images/1.jpg\n7,images/2.jpg\n7,images/gone.jpg\n", "g.csv"
    )
    assert with_groups(manifest, table).strings("group") == ["7", "7", "kept"]
    elsewhere = csv_file(tmp_path, "group,path\n1,data/images/3.jpg\n", "e.csv")
    assert with_groups(manifest, elsewhere).strings("group") == ["", "old", "1"]


def test_with_groups__refuses_a_table_that_does_not_fit(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, path=["1.jpg"])
    twice = csv_file(tmp_path, "group,path\n7,1.jpg\n7,1.jpg\n8,1.jpg\n", "t.csv")
    with pytest.raises(RedDinoError, match=r"t\.csv, line 4 \(1\.jpg\): is in the groups '7' and '8'"):
        with_groups(manifest, twice)
    with pytest.raises(RedDinoError, match="lists no image"):
        with_groups(manifest, csv_file(tmp_path, "group,path\n1,2.jpg\n", "a.csv"))
    with pytest.raises(RedDinoError, match="without a group"):
        with_groups(manifest, csv_file(tmp_path, "field,path\n1,1.jpg\n", "b.csv"))


@pytest.mark.smears
@pytest.mark.parametrize(
    "name",
    ["bccd", "chula_diseases", "chula_rbc12", "draaslan_bcd", "iml_malaria", "txl_pbc", "uganda_sickle"],
)
def test_read_manifest__agrees_with_the_csv_module_on_real_collections(smears: Path, name: str) -> None:
    path = smears / name / "manifest.csv"
    manifest = read_manifest(path, check_files=True)
    with path.open(newline="") as file:
        expected = list(csv.DictReader(file))
    for column in ("path", "dataset", "source", "slide", "label"):
        assert manifest.strings(column) == [row[column] for row in expected]
    for column in ("x", "y", "w", "h"):
        values = [float(row[column] or "nan") for row in expected]
        np.testing.assert_array_equal(manifest.numbers(column), values)


@pytest.mark.smears
def test_with_groups__joins_repeated_fields_of_chula(smears: Path) -> None:
    folder = smears / "chula_rbc12"
    manifest = with_groups(read_manifest(folder / "manifest.csv"), folder / "same_field_groups.csv")
    of_image = dict(zip(manifest.strings("path"), manifest.fold_groups(), strict=True))
    assert of_image["images/29.jpg"] == of_image["images/30.jpg"]
    with (folder / "same_field_groups.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    merged = len(listed) - len({row["group"] for row in listed})
    assert len(set(of_image.values())) == len(of_image) - merged


def test_strings__of_numbers_are_how_they_are_written() -> None:
    table = pa.table({"path": ["a.png", "b.png"], "um_per_px": [0.25, None], "region": [7, None]})
    manifest = Manifest(table, Path())
    assert (manifest.strings("um_per_px"), manifest.strings("region")) == (["0.25", ""], ["7", ""])
