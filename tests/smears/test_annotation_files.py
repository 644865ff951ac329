"""Annotation files that match no picture or two, class names as text, encodings, and folders as classes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from small_collections import cells, kinds, picture, text, voc

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import Failures
from reddino.smears.readers import read_chula, read_class_folders, read_nih_malaria, read_voc, read_yolo
from reddino.smears.readers.pairing import ORPHANS, UNANNOTATED

LINE = "0 0.5 0.5 0.2 0.4\n"
READERS = {
    "yolo": (read_yolo, "images", "labels", ".txt", LINE),
    "voc": (read_voc, "images", "labels", ".xml", voc(("R", 10, 10, 30, 30))),
    "chula": (read_chula, "images", "labels", ".txt", "10 10 0\n"),
}


#: Each list holds nine times the list before it.
BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in itertools.pairwise("abcdefghijklm")
)


@pytest.mark.parametrize(
    ("layout", "twin"),
    [(layout, twin) for layout in READERS for twin in ("a.jpg", "a.PNG")]
    + [("voc", "sub/a.png"), ("chula", "sub/a.png")],
)
def test_readers__one_file_of_two_pictures_is_nobodys(tmp_path: Path, layout: str, twin: str) -> None:
    read, images, labels, suffix, content = READERS[layout]
    for name in ("a.png", twin, "b.png"):
        picture(tmp_path / images / name)
    for stem in "ab":
        text(tmp_path / labels / f"{stem}{suffix}", content)
    with pytest.raises(RedDinoError, match=rf"a\{suffix}, it could belong to images/.* and images/.*"):
        read(tmp_path)
    failures = Failures()
    found = cells(read(tmp_path, failures=failures))
    assert [row[0] for row in found if row[1] is not None] == ["images/b.png"] and len(found) == 3
    [(path, reason)] = failures
    assert path.endswith(f"a{suffix}") and f"images/{twin}" in reason and "images/a.png" in reason


@pytest.mark.parametrize("layout", list(READERS))
def test_readers__files_without_picture_and_pictures_without_file_are_counted(
    tmp_path: Path, layout: str
) -> None:
    read, images, labels, suffix, content = READERS[layout]
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / images / name)
    for stem in ("a", "A", "d"):
        text(tmp_path / labels / f"{stem}{suffix}", content)
    text(tmp_path / "README.txt", "about")
    failures = Failures()
    found = read(tmp_path, failures=failures)
    assert kinds(found) == kinds(read(tmp_path)) == {ORPHANS: 2, UNANNOTATED: 2}
    assert [Path(path).name for path, _ in failures] == [f"A{suffix}", f"d{suffix}"]


@pytest.mark.parametrize("layout", ["yolo", "voc"])
def test_readers__a_picture_with_two_files_needs_them_to_agree(tmp_path: Path, layout: str) -> None:
    read, images, labels, suffix, content = READERS[layout]
    picture(tmp_path / images / "a.png")
    picture(tmp_path / images / "b.png")
    text(tmp_path / images / f"b{suffix}", content)
    text(tmp_path / images / f"a{suffix}", content)
    text(tmp_path / labels / f"a{suffix}", content)
    assert [row[0] for row in cells(read(tmp_path)) if row[1]] == ["images/a.png", "images/b.png"]
    text(tmp_path / labels / f"a{suffix}", content.replace("0.2", "0.3").replace("30", "40"))
    failures = Failures()
    assert [row[0] for row in cells(read(tmp_path, failures=failures)) if row[1]] == ["images/b.png"]
    assert "two annotation files" in dict(failures)[str(tmp_path / images / "a.png")]


def test_voc__a_file_of_the_folder_val_is_not_for_the_picture_of_train(tmp_path: Path) -> None:
    for name in ("train/1.png", "val/2.png"):
        picture(tmp_path / "images" / name)
    for name in ("train/1.xml", "val/1.xml", "val/2.xml"):
        text(tmp_path / "Annotations" / name, voc((name[0], 1, 2, 11, 12)))
    found = read_voc(tmp_path)
    assert [(row[0], row[5]) for row in cells(found)] == [
        ("images/train/1.png", "t"),
        ("images/val/2.png", "v"),
    ]
    assert kinds(found) == {ORPHANS: 1}


@pytest.mark.parametrize("layout", ["voc", "yolo"])
def test_readers__trees_of_splits_may_use_the_same_names(tmp_path: Path, layout: str) -> None:
    read, images, labels, suffix, content = READERS[layout]
    for split in ("train", "val"):
        picture(tmp_path / split / images / "1.png")
        text(tmp_path / split / labels / f"1{suffix}", content)
    found = cells(read(tmp_path))
    assert [row[0] for row in found] == [f"train/{images}/1.png", f"val/{images}/1.png"]
    assert None not in [row[1] for row in found]


@pytest.mark.parametrize(
    "name", ["README.dataset.txt", "README.roboflow.txt", "train.txt", "autosplit_val.txt"]
)
def test_yolo__texts_about_the_collection_are_no_annotations(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", LINE)
    text(tmp_path / name, "a.png")
    failures = Failures()
    assert not read_yolo(tmp_path, failures=failures).findings and not failures.count


def test_voc__a_file_that_names_another_picture_is_counted(tmp_path: Path) -> None:
    for stem in "ab":
        picture(tmp_path / f"{stem}.png")
        text(tmp_path / f"{stem}.xml", voc(("R", 1, 2, 11, 12), filename="images\\b.png"))
    assert kinds(read_voc(tmp_path)) == {"XML files that name another picture": 1}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (voc(("R", 30, 10, 10, 20)), "no area"),
        (voc(("", 1, 2, 11, 12)), "no name"),
        (voc(("R", 1, 2, "1_1", 12)), "lacks a number"),
        (voc(("R", 1, 2, "inf", 12)), "lacks a number"),
        ("<annotation><object><name>R</name><polygon/></object></annotation>", "outlines are not read"),
        (voc(("R", 1, 2, 11, 12)).replace("</name>", "</name><name>G</name>"), "several of <name>"),
        (voc(("R", 1, 2, 11, 12)).replace("</bndbox>", "</bndbox><bndbox/>"), "several of <bndbox>"),
        ("<html><object/></html>", "no Pascal VOC file"),
        ('<annotation xmlns="x"><object/></annotation>', "no Pascal VOC file"),
        ("\ufeff", "cannot be read as XML"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "cannot be read as XML"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "DOCTYPE"),
        ("<annotation>" + "<a>" * 100_000, "cannot be read as XML"),
    ],
)
def test_voc__what_makes_no_sense_is_listed(tmp_path: Path, content: str, fault: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", content)
    failures = Failures()
    assert len(read_voc(tmp_path, failures=failures)) == 1
    [(_, reason)] = failures
    assert fault in reason


def test_voc__difficult_objects_are_taken_and_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    two = voc(("R", 1, 2, 11, 12), ("G", 21, 2, 31, 12))
    text(tmp_path / "a.xml", two.replace("</name>", "</name><difficult>1</difficult>", 1))
    found = read_voc(tmp_path)
    assert len(found) == 2 and kinds(found) == {"objects marked difficult": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_readers__byte_order_marks_are_no_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    picture(tmp_path / "images/a.png")
    text(tmp_path / "labels/a.txt", LINE + LINE.replace("0.5", "0.4"), encoding)
    text(tmp_path / "classes.txt", "rød\r\n\r\n", encoding)
    assert [row[5] for row in cells(read_yolo(tmp_path))] == ["rød", "rød"]
    text(tmp_path / "labels/a.txt", "10 10 0\n20 20 1.0", encoding)
    assert [row[5] for row in cells(read_chula(tmp_path))] == ["normal", "macrocyte"]
    declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    text(tmp_path / "labels/a.xml", declared + voc(("rød", 1, 2, 11, 12)), encoding)
    assert [row[5] for row in cells(read_voc(tmp_path))] == ["rød"]


def test_readers__another_encoding_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    text(tmp_path / "labels/a.txt", LINE + "é", "latin-1")
    failures = Failures()
    read_yolo(tmp_path, failures=failures)
    assert [reason for _, reason in failures] == [
        "is left out: is not UTF-8 text (byte 18); save it as UTF-8"
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0 0.5 0.5 40 40", "are these pixels"),
        ("0 0.5 0.5 1.2 0.2", "are these pixels"),
        ("0 0.5 0.5 -0.2 0.2", "not a box in fractions"),
        ("0.5 0.5 0.5 0.2 0.2", "is not 'class"),
        ("-1 0.5 0.5 0.2 0.2", "is not 'class"),
        ("nan 0.5 0.5 0.2 0.2", "is not 'class"),
        ("1e400 0.5 0.5 0.2 0.2", "is not 'class"),
        ("0 nan 0.5 0.2 0.2", "is not 'class"),
        ("0 0.5 0.5 0.2 0.2 90", "no confidence"),
        ("0 0.5 0.5 0.2 0.2 x", "is not 'class"),
        ("0 0.5 0.5 0.001 0.2", "less than one across"),
        ("2 0.5 0.5 0.2 0.2", "class 2 has no name"),
        ("1_0 0.5 0.5 0.2 0.2", "is not 'class"),
    ],
)
def test_yolo__a_line_that_makes_no_sense_is_listed(tmp_path: Path, line: str, fault: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", f"1.0 0.5 0.5 0.2 0.2\n{line}\n")
    failures = Failures()
    assert [row[5] for row in cells(read_yolo(tmp_path, names=["R", "W"], failures=failures))] == ["W"]
    [(_, reason)] = failures
    assert fault in reason


def test_yolo__boxes_with_a_confidence_are_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", LINE + LINE.strip() + " 0.9\n")
    assert kinds(read_yolo(tmp_path)) == {"boxes with a confidence": 1}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("[yes, no]", ["yes", "no"]),
        ("[1.10, 007]", ["1.10", "007"]),
        ("[x, ~]", ["x", "~"]),
        ("[2024-01-02, 12:30]", ["2024-01-02", "12:30"]),
        ("\n  0: on\n  1: Off", ["on", "Off"]),
        ("\n  1: b\n  '0': a", ["a", "b"]),
        ("\n- true\n- 1e3", ["true", "1e3"]),
    ],
)
def test_yolo__class_names_are_text(tmp_path: Path, names: str, expected: list[str]) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", "0 0.5 0.5 0.2 0.4\n1 0.4 0.5 0.2 0.4\n")
    text(tmp_path / "data.yaml", f"nc: 2\nnames: {names}\n")
    found = read_yolo(tmp_path)
    assert (found.strings("label"), kinds(found)) == (expected, {})


def test_yolo__names_by_number_may_have_gaps(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", "2 0.5 0.5 0.2 0.4\n1 0.4 0.5 0.2 0.4\n")
    text(tmp_path / "data.yaml", "nc: 3\nnames: {0: a, 2: c}\n")
    failures = Failures()
    found = read_yolo(tmp_path, failures=failures)
    assert found.strings("label") == ["c"] and kinds(found) == {"number of classes": 1}
    assert [reason for _, reason in failures] == ["line 2: class 1 has no name; 2 names are known"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("names: [a, [b]]", "a class name is a list"),
        ("names: [a, ]\n 0: x", "cannot be read as YAML"),
        ("names: [a, '']", "a class name is empty"),
        ("names:\n  0: a\n  1:", "a class name is empty"),
        ("names: {0: a, 0: b}", "stands there twice"),
        ("names: {x: a}", "class numbers, not 'x'"),
        ("names: {-1: a}", "class numbers, not '-1'"),
        ("names: obj.names", "must be a list"),
        ("names: [!!python/object/apply:os.system [id]]", "tag"),
        (
            BOMB,
            "unfold",
        ),
        ("names: " + "[" * 10_000, "cannot be read as YAML"),
        ("names: [" + "a, " * 400_000 + "]", "larger than"),
    ],
)
def test_yolo__names_that_are_no_names_are_refused(tmp_path: Path, content: str, fault: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", LINE)
    text(tmp_path / "data.yaml", content)
    with pytest.raises(RedDinoError, match=rf"data\.yaml.*{fault}"):
        read_yolo(tmp_path)


@pytest.mark.parametrize("place", ["images", "labels", "labels/train", "obj_train_data"])
def test_yolo__names_may_stand_next_to_the_labels(tmp_path: Path, place: str) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    text(tmp_path / "labels" / "train" / "a.txt", LINE)
    text(tmp_path / place / "classes.txt", "ring\n")
    assert cells(read_yolo(tmp_path))[0][-1] == "ring"
    text(tmp_path / "labels" / "val" / "classes.txt", "burr\nring\n")
    with pytest.raises(RedDinoError, match="list other class names"):
        read_yolo(tmp_path)


def test_yolo__lists_of_names_that_disagree_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", LINE)
    text(tmp_path / "classes.txt", "R\nW\n")
    text(tmp_path / "data.yaml", "names: [R, W]")
    assert read_yolo(tmp_path).strings("label") == ["R"]
    text(tmp_path / "data.yaml", "names: [W, R]")
    with pytest.raises(RedDinoError, match=r"data\.yaml and .*classes\.txt list other class names"):
        read_yolo(tmp_path)
    assert read_yolo(tmp_path, names=["R"]).strings("label") == ["R"]
    text(tmp_path / "data.yaml", "names: [R, R]")
    (tmp_path / "classes.txt").unlink()
    assert kinds(read_yolo(tmp_path)) == {"class names given twice": 1}


def test_yolo__a_blank_line_among_class_names_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", LINE)
    text(tmp_path / "classes.txt", "R\n\nW\n")
    with pytest.raises(RedDinoError, match=r"classes\.txt, line 2: is blank"):
        read_yolo(tmp_path)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("burr/1.png", "burr"),
        ("train/burr/1.png", "burr"),
        ("Fold_3/burr/1.png", "burr"),
        ("burr/test/1.png", "burr"),
        ("burr/patient 7/1.png", None),
        ("train/burr/old/1.png", None),
        ("1.png", None),
        ("train/1.png", None),
    ],
)
def test_class_folders__the_class_is_clear_or_the_picture_is_listed(
    tmp_path: Path, path: str, label: str | None
) -> None:
    picture(tmp_path / "target/0.png")
    picture(tmp_path / path)
    failures = Failures()
    found = {row[0]: row[5] for row in cells(read_class_folders(tmp_path, failures=failures))}
    assert found == {"target/0.png": "target", **({path: label} if label else {})}
    assert failures.count == (label is None)
    if label is None:
        with pytest.raises(RedDinoError, match=r"no class folder|not clear"):
            read_class_folders(tmp_path)


def test_readers__where_nothing_could_be_taken_the_first_fault_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "burr/patient 7/1.png")
    with pytest.raises(RedDinoError, match=r"none of its images.*the first fault: 1\.png, .*not clear"):
        read_class_folders(tmp_path, failures=Failures())


def test_class_folders__a_pattern_names_the_folder_of_the_class(tmp_path: Path) -> None:
    for path in ("burr/P1/1.png", "target/P1/2.png"):
        picture(tmp_path / path)
    assert read_class_folders(tmp_path, label="^(?P<label>[^/]+)/").strings("label") == ["burr", "target"]


def test_named_cells__in_no_class_folder_are_listed(tmp_path: Path) -> None:
    for path in ("C1P1thinF_x_cell_1.png", "Uninfected/C1P1thinF_x_cell_2.png"):
        picture(tmp_path / path)
    failures = Failures()
    assert read_nih_malaria(tmp_path, failures=failures).strings("label") == ["Uninfected"]
    assert failures.count == 1
