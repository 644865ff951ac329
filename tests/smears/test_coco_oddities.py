"""COCO files as other programs leave them: ids twice, crowds, numbers and types that make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_collections import cells, coco, kinds, picture, text

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import Failures
from reddino.smears.readers import read_coco

A, B = {"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}


def box(image: Any = 1, x: float = 10, category: Any = 5, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": [x, 10, 20, 20], **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    return tmp_path


def read(folder: Path) -> tuple[list[tuple[str, float | None, str | None]], list[str], dict[str, int]]:
    """(path, x, label) a row, the reasons of failures, and the kinds of findings."""
    failures = Failures()
    found = read_coco(folder, failures=failures)
    rows = [(row[0], row[1], row[5]) for row in cells(found)]
    return rows, [reason for _, reason in failures], kinds(found)


def test_coco__an_image_id_given_twice_gives_its_cells_to_nobody(folder: Path) -> None:
    coco(folder / "a.json", [A, {**B, "id": 1}, {"id": "1", "file_name": "a.png"}], [box(x=10), box(x=20)])
    rows, reasons, _ = read(folder)
    assert set(rows) == {("a.png", None, None), ("b.png", None, None)}
    assert "the id is given twice, for 'a.png' and 'b.png'" in reasons[0]
    with pytest.raises(RedDinoError, match="given twice"):
        read_coco(folder)


def test_coco__an_image_listed_twice_is_taken_once(folder: Path) -> None:
    coco(folder / "a.json", [A, A, B], [box(), box(2, 30)])
    rows, reasons, found = read(folder)
    assert rows == [("a.png", 10, "RBC"), ("b.png", 30, "RBC")]
    assert found == {"images listed twice": 1} and len(reasons) == 1


def test_coco__a_picture_under_two_ids_or_in_two_files_has_each_cell_once(folder: Path) -> None:
    coco(folder / "all.json", [A, {**A, "id": 7}], [box(), box(7, 10), box(7, 40)])
    coco(folder / "train.json", [A], [box(), box(x=60)])
    rows, reasons, found = read(folder)
    assert rows == [("a.png", x, "RBC") for x in (10, 40, 60)]
    assert found == {"images listed several times": 1} and reasons == []


def test_coco__an_annotation_listed_twice_is_taken_once(folder: Path) -> None:
    coco(folder / "a.json", [A], [box(id=1), box(id=2), box(id=1, x=11)])
    rows, reasons, found = read(folder)
    assert rows == [("a.png", 10, "RBC"), ("a.png", 11, "RBC")]
    assert found == {"annotations listed twice": 1}
    assert reasons == ["annotation 1 (id 2): is the same as annotation 0"]


@pytest.mark.parametrize(
    "more",
    [{"iscrowd": 1}, {"iscrowd": True}, {"iscrowd": "1"}, {"ignore": 1}, {"segmentation": {"counts": []}}],
)
def test_coco__crowd_regions_are_no_cells(folder: Path, more: dict[str, Any]) -> None:
    mask = box(x=30, iscrowd=0, segmentation={"counts": [], "size": [50, 100]})
    coco(folder / "a.json", [A], [box(iscrowd=0), mask, box(x=50, **more)])
    rows, reasons, found = read(folder)
    assert [row[1] for row in rows] == [10, 30]
    assert found == {"crowd regions": 1} and reasons == ["annotation 2 (id None): is a crowd region"]
    assert kinds(read_coco(folder)) == found


@pytest.mark.parametrize(
    "wrong",
    ["Infinity", "-Infinity", "NaN", "1e999", "1e300", "-20", "0", "0.2", "true", '"20"', "null", "[]"],
)
@pytest.mark.parametrize("place", [0, 2])
def test_coco__a_box_that_makes_no_sense_is_listed_and_the_others_kept(
    folder: Path, wrong: str, place: int
) -> None:
    coco(folder / "a.json", [A], [box(x=30), {**box(), "bbox": [10, 10, 20, 20]}])
    content = (folder / "a.json").read_text()
    values = ["10", "10", "20", "20"]
    values[place] = wrong
    (folder / "a.json").write_text(content.replace("[10, 10, 20, 20]", f"[{', '.join(values)}]"))
    rows, reasons, _ = read(folder)
    fits = place == 0 and wrong in ("0", "0.2")
    assert [row[1] for row in rows] == ([30, float(wrong)] if fits else [30])
    assert len(reasons) == (0 if fits else 1)


def test_coco__a_category_id_with_two_names_is_no_class(folder: Path) -> None:
    named = [{"id": 5, "name": "burr"}, {"id": 5, "name": "target"}, {"id": 6, "name": "normal"}]
    coco(folder / "a.json", [A], [box(), box(x=30, category=6)], named)
    rows, reasons, _ = read(folder)
    assert rows == [("a.png", 30, "normal")]
    assert "given twice, for 'burr' and 'target'" in reasons[0] and len(reasons) == 2


@pytest.mark.parametrize(
    ("name", "label"),
    [("RBC ", "RBC"), (7, "7"), (None, None), ("", None), (1.10, None), (True, None), ([], None)],
)
def test_coco__a_category_name_is_text(folder: Path, name: Any, label: str | None) -> None:
    coco(folder / "a.json", [A], [box()], [{"id": 5, "name": name}])
    rows, reasons, _ = read(folder)
    assert [row[2] for row in rows] == [label] and len(reasons) == (label is None)


def test_coco__one_name_of_two_category_ids_is_counted(folder: Path) -> None:
    coco(
        folder / "a.json",
        [A],
        [box(), box(x=30, category=6)],
        [{"id": 5, "name": "R"}, {"id": 6, "name": "R"}],
    )
    assert read(folder)[2] == {"class names given twice": 1}


def test_coco__ids_are_the_same_as_text_and_as_number(folder: Path) -> None:
    images = [{**A, "id": "1"}, B]
    coco(
        folder / "a.json",
        images,
        [box(1), box("2", 30), box(1.0, 50), box(True, 70)],
        [{"id": "5", "name": "R"}],
    )
    rows, reasons, _ = read(folder)
    assert rows == [("a.png", 10, "R"), ("a.png", 50, "R"), ("b.png", 30, "R")]
    assert reasons == ["annotation 3 (id None): its image_id True is not listed"]


def test_coco__boxes_with_a_score_are_counted(folder: Path) -> None:
    coco(folder / "a.json", [A], [box(score=0.3), box(x=40, score=None), box(x=70)])
    rows, reasons, found = read(folder)
    assert len(rows) == 3 and not reasons and found == {"boxes with a confidence": 1}


def test_coco__ids_as_numbers_that_lost_digits_are_nobodys(folder: Path) -> None:
    images = [{**A, "id": 2**60}, {**B, "id": 2**60 + 1}]
    coco(folder / "a.json", images, [box(2**60 + 1), box(float(2**60), 30)])
    rows, reasons, _ = read(folder)
    assert rows == [("a.png", None, None), ("b.png", 10, "RBC")]
    assert "its image_id 1.152921504606847e+18 is not listed" in reasons[0]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sub/c.png", "sub/c.png"),
        ("sub\\c.png", "sub/c.png"),
        ("./sub/../sub/c.png", "sub/c.png"),
        ("/data/elsewhere/c.png", "sub/c.png"),
        ("../../etc/c.png", "sub/c.png"),
        ("C:\\data\\c.png", "sub/c.png"),
        ("../a.png", "a.png"),
        ("d.png", None),
        ("", None),
        (None, None),
        (7, None),
        ("sub", None),
        ("/etc/passwd", None),
    ],
)
def test_coco__a_file_name_is_found_in_the_folder_alone(folder: Path, name: Any, found: str | None) -> None:
    picture(folder / "sub/c.png")
    coco(folder / "a.json", [B, {"id": 1, "file_name": name}], [box()])
    rows, reasons, _ = read(folder)
    assert [row[0] for row in rows if row[1] is not None] == ([found] if found else [])
    assert len(reasons) == (found is None)


def test_coco__a_bare_name_that_two_entries_claim_is_nobodys(folder: Path) -> None:
    listed = [
        {"id": 1, "file_name": "train/a.png"},
        {"id": 2, "file_name": "test/a.png"},
        {"id": 3, "file_name": "b.png"},
    ]
    coco(folder / "a.json", listed, [box(1), box(2, 30), box(3, 50)])
    rows, reasons, _ = read(folder)
    assert rows == [("b.png", 50, "RBC")] and len(reasons) == 2


@pytest.mark.parametrize("table", ["images", "annotations", "categories"])
@pytest.mark.parametrize("wrong", [None, {}, "x", 3])
def test_coco__a_file_without_one_of_its_tables_is_named(folder: Path, table: str, wrong: Any) -> None:
    coco(folder / "good.json", [A], [box()])
    tables: dict[str, Any] = {"images": [A], "annotations": [box()], "categories": []}
    text(folder / "half.json", json.dumps({**tables, table: wrong}))
    rows, reasons, _ = read(folder)
    assert rows == [("a.png", 10, "RBC")]
    assert reasons == [f"seems to be a COCO file, but '{table}' is not a list; it is left out"]


@pytest.mark.parametrize("table", ["images", "annotations", "categories"])
@pytest.mark.parametrize("wrong", [None, 3, "x", [], {}, True])
def test_coco__an_entry_of_any_type_is_listed(folder: Path, table: str, wrong: Any) -> None:
    tables: dict[str, list[Any]] = {
        "images": [A],
        "annotations": [box()],
        "categories": [{"id": 5, "name": "RBC"}],
    }
    tables[table].append(wrong)
    coco(folder / "a.json", *tables.values())
    rows, reasons, _ = read(folder)
    assert rows == [("a.png", 10, "RBC")] and len(reasons) == 1


@pytest.mark.parametrize(
    "key", ["id", "image_id", "category_id", "bbox", "iscrowd", "segmentation", "width", "name"]
)
@pytest.mark.parametrize("wrong", [None, "", "x", [], {}, [1], {"a": 1}, True, -1, 1.5, float("nan"), 1e300])
def test_coco__any_value_anywhere_is_read_or_listed(folder: Path, key: str, wrong: Any) -> None:
    coco(
        folder / "a.json",
        [{**A, key: wrong}, B],
        [box(2), box(**{key: wrong})],
        [{"id": 5, "name": "R", key: wrong}],
    )
    try:
        rows, _, _ = read(folder)
    except RedDinoError:
        return
    assert {row[2] for row in rows} <= {None, "R", "x", "-1"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_coco__is_read_with_a_byte_order_mark(folder: Path, encoding: str) -> None:
    content = coco(folder / "a.json", [A], [box()]).read_text()
    text(folder / "a.json", content, encoding)
    assert read(folder)[0] == [("a.png", 10, "RBC")]


@pytest.mark.parametrize(
    "content", ["{", '{"images": [], "images": []}', "[" * 5000, '{"a": 1' + "0" * 5000 + "}"]
)
def test_coco__a_broken_json_file_is_named_and_the_others_read(folder: Path, content: str) -> None:
    coco(folder / "a.json", [A], [box()])
    text(folder / "broken.json", content)
    rows, reasons, _ = read(folder)
    assert rows == [("a.png", 10, "RBC")] and "cannot be read as JSON" in reasons[0]
    (folder / "a.json").unlink()
    with pytest.raises(RedDinoError, match=r"the first fault: broken\.json, cannot be read as JSON"):
        read_coco(folder, failures=Failures())
