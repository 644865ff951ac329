"""Readers: each known layout, built small, gives the rows that one would write by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import Failures, decode_image
from reddino.smears.manifest import Manifest, read_manifest
from reddino.smears.readers import (
    READERS,
    read_chula,
    read_class_folders,
    read_coco,
    read_elsafty,
    read_folder,
    read_nih_malaria,
    read_voc,
    read_yolo,
)


def picture(path: Path, size: tuple[int, int] = (100, 50)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def cells(manifest: Manifest) -> list[tuple[Any, ...]]:
    """(path, x, y, w, h, label) a row, with None for missing."""
    columns = [manifest.table[name].to_pylist() for name in ("path", "x", "y", "w", "h", "label")]
    return list(zip(*columns, strict=True))


def test_readers__are_found_by_name() -> None:
    names = {"folder", "class-folders", "chula", "voc", "yolo", "coco", "nih-malaria", "elsafty", "slides"}
    assert set(READERS) == names


@pytest.mark.parametrize("name", sorted(READERS))
def test_readers__refuse_an_absent_or_empty_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(RedDinoError, match="no such folder"):
        READERS[name](tmp_path / "absent")
    with pytest.raises(RedDinoError, match=r"holds no images|has no folder"):
        READERS[name](tmp_path)


# ---- plain folders


def test_read_folder__lists_images_in_natural_order(tmp_path: Path) -> None:
    names = ["10.PNG", "2.jpg", "sub/1.tiff", "sub/deep/x.WebP", "1.bmp"]
    for name in [*names, ".hidden.png", ".cache/1.png"]:
        picture(tmp_path / name)
    text(tmp_path / "notes.txt", "no image")
    manifest = read_folder(tmp_path)
    assert manifest.strings("path") == ["1.bmp", "2.jpg", "10.PNG", "sub/1.tiff", "sub/deep/x.WebP"]
    assert set(manifest.strings("source")) == {tmp_path.name}
    assert manifest.missing_files() == [] and set(manifest.strings("label")) == {""}
    assert read_folder(tmp_path, source="Kigali").strings("source")[0] == "Kigali"


def test_read_folder__enters_a_linked_folder_once(tmp_path: Path) -> None:
    picture(tmp_path / "real" / "1.png")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    assert read_folder(tmp_path / "data").strings("path") == ["link/1.png"]


def test_read_folder__takes_slide_and_patient_from_the_path(tmp_path: Path) -> None:
    for name in ("P07/s1_a.png", "P08/s2_a.png", "other/z.png"):
        picture(tmp_path / name)
    manifest = read_folder(tmp_path, slide=r"/(?P<slide>s\d+)_", patient=r"^P(?P<patient>\d+)/")
    assert manifest.strings("slide") == ["s1", "s2", ""] or sorted(manifest.strings("slide")) == [
        "",
        "s1",
        "s2",
    ]
    assert (
        dict(zip(manifest.strings("path"), manifest.strings("patient"), strict=True))["P07/s1_a.png"] == "07"
    )
    for pattern, fault in (
        ("(", "not a regular expression"),
        ("x", "named group"),
        ("(?P<slide>q{9})", "finds nothing"),
    ):
        with pytest.raises(RedDinoError, match=fault):
            read_folder(tmp_path, slide=pattern)


def test_read_class_folders__labels_by_the_nearest_folder(tmp_path: Path) -> None:
    for name in ("train/burr/1.png", "test/burr/2.png", "test/target/3.png"):
        picture(tmp_path / name)
    manifest = read_class_folders(tmp_path)
    assert [(row[0], row[5]) for row in cells(manifest)] == [
        ("test/burr/2.png", "burr"),
        ("test/target/3.png", "target"),
        ("train/burr/1.png", "burr"),
    ]
    picture(tmp_path / "stray.png")
    with pytest.raises(RedDinoError, match=r"stray\.png, lies in no class folder"):
        read_class_folders(tmp_path)


# ---- Chula RBC-12


@pytest.mark.parametrize(("images", "labels"), [("Dataset", "Label"), ("images", "labels")])
def test_read_chula__gives_points_and_unlabelled_fields(tmp_path: Path, images: str, labels: str) -> None:
    for number in (1, 2, 3):
        picture(tmp_path / images / f"{number}.jpg", (640, 480))
    text(tmp_path / labels / "1.txt", "594 95 0\n\n12 30 12\n")
    text(tmp_path / labels / "2.txt", "")
    assert cells(read_chula(tmp_path)) == [
        (f"{images}/1.jpg", 594, 95, None, None, "normal"),
        (f"{images}/1.jpg", 12, 30, None, None, "elliptocyte"),
        (f"{images}/2.jpg", None, None, None, None, None),
        (f"{images}/3.jpg", None, None, None, None, None),
    ]


@pytest.mark.parametrize("line", ["1 2", "1 2 13", "1 2 -1", "a 2 3", "1 2 3 4", "nan 2 3"])
def test_read_chula__names_the_line_that_is_wrong(tmp_path: Path, line: str) -> None:
    picture(tmp_path / "Dataset" / "1.jpg")
    text(tmp_path / "Label" / "1.txt", f"1 2 3\n{line}\n")
    with pytest.raises(RedDinoError, match=rf"1\.txt, line 2: '{line}' is not"):
        read_chula(tmp_path)
    failures = Failures()
    assert len(read_chula(tmp_path, failures=failures)) == 1
    assert failures.count == 1


def test_read_chula__refuses_a_folder_without_labels(tmp_path: Path) -> None:
    picture(tmp_path / "Dataset" / "1.jpg")
    with pytest.raises(RedDinoError, match="no folder Label/"):
        read_chula(tmp_path)
    text(tmp_path / "Label" / "other.txt", "1 2 3\n")
    with pytest.raises(RedDinoError, match="none of its images has cells"):
        read_chula(tmp_path)


# ---- Pascal VOC


def voc(*objects: str, filename: str = "wrong_name.jpg") -> str:
    return f"<annotation><filename>{filename}</filename>{''.join(objects)}</annotation>"


def voc_object(name: str, *corners: object) -> str:
    parts = "".join(
        f"<{key}>{value}</{key}>"
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name><bndbox>{parts}</bndbox></object>"


def test_read_voc__matches_by_stem(tmp_path: Path) -> None:
    for name in ("JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/c.jpg"):
        picture(tmp_path / name)
    text(
        tmp_path / "Annotations/a.xml",
        voc(voc_object("RBC", 10, 20, 40, 45), voc_object("WBC", 1, 2, 3.5, 4), filename="b.jpg"),
    )
    text(tmp_path / "Annotations/c.xml", voc())
    assert cells(read_voc(tmp_path)) == [
        ("JPEGImages/a.jpg", 10, 20, 30, 25, "RBC"),
        ("JPEGImages/a.jpg", 1, 2, 2.5, 2, "WBC"),
        ("JPEGImages/b.jpg", None, None, None, None, None),
        ("JPEGImages/c.jpg", None, None, None, None, None),
    ]


def test_read_voc__prefers_the_image_next_to_the_xml(tmp_path: Path) -> None:
    for part in ("train", "test"):
        picture(tmp_path / part / "1.jpg")
    text(tmp_path / "train" / "1.xml", voc(voc_object("RBC", 0, 0, 5, 5)))
    assert [row[0] for row in cells(read_voc(tmp_path)) if row[5]] == ["train/1.jpg"]
    text(tmp_path / "Annotations" / "1.xml", voc(voc_object("RBC", 0, 0, 5, 5)))
    with pytest.raises(RedDinoError, match=r"could belong to test/1\.jpg and train/1\.jpg"):
        read_voc(tmp_path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (voc(voc_object("RBC", 5, 0, 5, 9)), r"object 1 \('RBC'\).*no area"),
        (voc(voc_object("RBC", 5, "?", 9, 9)), "lacks a number"),
        (voc("<object><name>RBC</name></object>"), "lacks a number"),
        ("<annotation><object>", "cannot be read as XML.*line 1"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "DOCTYPE"),
        ("", "cannot be read as XML"),
    ],
)
def test_read_voc__names_the_file_and_object_that_is_wrong(tmp_path: Path, content: str, fault: str) -> None:
    picture(tmp_path / "a.jpg")
    text(tmp_path / "a.xml", content)
    with pytest.raises(RedDinoError, match=rf"a\.xml, .*{fault}"):
        read_voc(tmp_path)
    failures = Failures()
    assert len(read_voc(tmp_path, failures=failures)) == 1 and failures.count == 1


def test_read_voc__refuses_a_document_type_in_any_encoding(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    bomb = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>'
    (tmp_path / "a.xml").write_bytes(bomb.encode("utf-16"))
    with pytest.raises(RedDinoError, match="DOCTYPE"):
        read_voc(tmp_path)


# ---- YOLO


def test_read_yolo__turns_fractions_into_pixels_with_parallel_folders(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.jpg", (200, 100))
    picture(tmp_path / "images/train/b.jpg")
    picture(tmp_path / "images/train/c.jpg")
    text(tmp_path / "labels/train/a.txt", "1 0.5 0.5 0.2 0.4\n\n0 0.1 0.2 0.1 0.1 0.97\n")
    text(tmp_path / "labels/train/c.txt", "\n")
    text(tmp_path / "data.yaml", "nc: 2\nnames: [WBC, RBC]\n")
    found = cells(read_yolo(tmp_path))
    assert [(row[0], row[5]) for row in found] == [
        ("images/train/a.jpg", "RBC"),
        ("images/train/a.jpg", "WBC"),
        ("images/train/b.jpg", None),
        ("images/train/c.jpg", None),
    ]
    np.testing.assert_allclose(found[0][1:5], [80, 30, 40, 40])
    np.testing.assert_allclose(found[1][1:5], [10, 15, 20, 10])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("data.yaml", "names:\n  0: a\n  1: b\n"),
        ("dataset.yml", "names: ['a', 'b']\n"),
        ("classes.txt", "a\nb\n"),
        ("labels/classes.txt", "a\nb\n"),
        ("obj.names", "a\r\nb\r\n"),
    ],
)
def test_read_yolo__finds_class_names(tmp_path: Path, file: str, content: str) -> None:
    picture(tmp_path / "x.jpg")
    text(tmp_path / "x.txt", "1 0.5 0.5 0.2 0.4\n")
    assert read_yolo(tmp_path).strings("label") == ["1"]
    text(tmp_path / file, content)
    assert read_yolo(tmp_path).strings("label") == ["b"]
    assert read_yolo(tmp_path, names=["p", "q"]).strings("label") == ["q"]


def test_read_yolo__goes_by_the_image_as_decoded(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 50)).save(tmp_path / "x.jpg", exif=exif)
    text(tmp_path / "x.txt", "0 0.5 0.5 1 1\n")
    manifest = read_yolo(tmp_path)
    height, width = decode_image(tmp_path / "x.jpg").shape[:2]
    assert (manifest.numbers("w")[0], manifest.numbers("h")[0]) == (width, height) == (50, 100)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0 0.5 0.5 0.2", "is not 'class cx cy w h'"),
        ("RBC 0.5 0.5 0.2 0.2", "is not 'class cx cy w h'"),
        ("0 0.5 0.5 0 0.2", "not a box in fractions"),
        ("0 320 240 40 40", "not a box in fractions"),
        ("7 0.5 0.5 0.2 0.2", "class 7 has no name"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2", "outlines"),
    ],
)
def test_read_yolo__names_the_line_that_is_wrong(tmp_path: Path, line: str, fault: str) -> None:
    picture(tmp_path / "x.jpg")
    text(tmp_path / "x.txt", f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(RedDinoError, match=rf"x\.txt, line 2: .*{fault}"):
        read_yolo(tmp_path, names=["RBC"])
    failures = Failures()
    assert len(read_yolo(tmp_path, names=["RBC"], failures=failures)) == 1 and failures.count == 1


def test_read_yolo__leaves_out_images_that_cannot_be_measured(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.jpg")
        text(tmp_path / f"{name}.txt", "0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(RedDinoError, match=r"a\.jpg, the file is empty"):
        read_yolo(tmp_path)
    failures = Failures()
    assert read_yolo(tmp_path, failures=failures).strings("path") == ["b.jpg"]
    assert [reason for _, reason in failures] == ["the file is empty"]


# ---- COCO


def coco(tmp_path: Path, annotations: list[dict[str, Any]], name: str = "annotations/train.json") -> Path:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "somewhere/else/b.jpg"}],
        "categories": [{"id": 5, "name": "RBC"}],
        "annotations": annotations,
    }
    return text(tmp_path / name, json.dumps(content))


def test_read_coco__gives_boxes_and_empty_images(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    picture(tmp_path / "images/deep/b.jpg")
    picture(tmp_path / "images/unlisted.jpg")
    coco(tmp_path, [{"id": 9, "image_id": 1, "category_id": 5, "bbox": [1, 2.5, 30, 40]}])
    text(tmp_path / "unrelated.json", '{"settings": 1}')
    assert cells(read_coco(tmp_path)) == [
        ("images/a.jpg", 1, 2.5, 30, 40, "RBC"),
        ("images/deep/b.jpg", None, None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"image_id": 77}, "image_id 77 is not listed"),
        ({"category_id": 6}, "category_id 6 is not listed"),
        ({"category_id": [5]}, "is not listed"),
        ({"bbox": [1, 2, 3]}, "bbox is not"),
        ({"bbox": None}, "bbox is not"),
        ({"bbox": [1, 2, 0, 4]}, "no area"),
    ],
)
def test_read_coco__names_the_annotation_that_is_wrong(
    tmp_path: Path, change: dict[str, Any], fault: str
) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.jpg")
    good = {"id": 8, "image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4]}
    coco(tmp_path, [good, {**good, "id": 9, **change}])
    with pytest.raises(RedDinoError, match=rf"train\.json, annotation 1 \(id 9\): .*{fault}"):
        read_coco(tmp_path)
    failures = Failures()
    assert len(read_coco(tmp_path, failures=failures)) == 2 and failures.count == 1


def test_read_coco__names_the_missing_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    with pytest.raises(RedDinoError, match="no JSON file"):
        read_coco(tmp_path)
    coco(tmp_path, [])
    with pytest.raises(RedDinoError, match=r"image 1 \(id 2\): 'somewhere/else/b\.jpg' is missing"):
        read_coco(tmp_path)
    text(tmp_path / "annotations/train.json", "{")
    with pytest.raises(RedDinoError, match="cannot be read as JSON"):
        read_coco(tmp_path)


# ---- single cells with telling names


def test_read_nih_malaria__takes_the_patient_from_the_name(tmp_path: Path) -> None:
    for name in (
        "Parasitized/C100P61ThinF_IMG_20150918_144104_cell_162.png",
        "Uninfected/C33P1thinF_IMG_20150619_114756a_cell_179.png",
    ):
        picture(tmp_path / name)
    manifest = read_nih_malaria(tmp_path)
    assert manifest.strings("patient") == manifest.strings("slide") == ["C100P61", "C33P1"]
    assert manifest.strings("label") == ["Parasitized", "Uninfected"]
    assert manifest.strings("field") == ["IMG_20150918_144104", "IMG_20150619_114756a"]
    picture(tmp_path / "Uninfected/cell.png")
    with pytest.raises(RedDinoError, match=r"cell\.png, the name is not"):
        read_nih_malaria(tmp_path)
    failures = Failures()
    assert len(read_nih_malaria(tmp_path, failures=failures)) == 2 and failures.count == 1


def test_read_elsafty__takes_the_slide_from_the_name_and_the_source_from_a_table(tmp_path: Path) -> None:
    picture(tmp_path / "data/Rounded RBC/Slide 1 (1,93,472,116,497).png")
    picture(tmp_path / "data/Teardrop/Slide 12 (2,3,4,5,6).png")
    plain = read_elsafty(tmp_path / "data", source="Cairo")
    assert plain.strings("slide") == ["1", "12"] and set(plain.strings("source")) == {"Cairo"}
    assert plain.strings("label") == ["Rounded RBC", "Teardrop"]
    assert plain.strings("name_numbers") == ["1,93,472,116,497", "2,3,4,5,6"]
    assert set(plain.strings("patient")) == {""} and not plain.is_cell().any()
    table = text(tmp_path / "sources.csv", "slide,source\n1,stain A\n012,stain B\n")
    assert read_elsafty(tmp_path / "data", sources=table).strings("source") == ["stain A", "stain B"]
    text(table, "slide,source\n1,stain A\n")
    with pytest.raises(RedDinoError, match="does not list slide 12"):
        read_elsafty(tmp_path / "data", sources=table)
    text(table, "slide,source\n1,A\ntwo,B\n")
    with pytest.raises(RedDinoError, match=r"sources\.csv, line 3"):
        read_elsafty(tmp_path / "data", sources=table)
    text(table, "number,source\n1,A\n")
    with pytest.raises(RedDinoError, match="columns 'slide' and 'source'"):
        read_elsafty(tmp_path / "data", sources=table)


# ---- the real collection, against the manifests that came with it


@pytest.mark.smears
def test_read_chula__gives_the_cells_of_the_real_manifest(smears: Path) -> None:
    read = read_chula(smears / "chula_rbc12", source="chula_bangkok")
    assert Counter(cells(read)) == Counter(cells(read_manifest(smears / "chula_rbc12" / "manifest.csv")))
    of_image = dict(zip(read.strings("path"), read.strings("group"), strict=True))
    assert of_image["images/29.jpg"] == of_image["images/30.jpg"] == "1"


@pytest.mark.smears
def test_read_yolo__gives_the_boxes_of_the_real_manifest(smears: Path) -> None:
    def in_order(manifest: Manifest) -> tuple[list[tuple[str, str]], np.ndarray]:
        order = np.argsort(np.array(manifest.strings("path")), kind="stable")
        manifest = manifest.select(order)
        boxes = np.stack([manifest.numbers(name) for name in "xywh"], axis=1)
        return list(zip(manifest.strings("path"), manifest.strings("label"), strict=True)), boxes

    names, boxes = in_order(read_yolo(smears / "txl_pbc", names=["WBC", "RBC", "Platelets"]))
    expected_names, expected_boxes = in_order(read_manifest(smears / "txl_pbc" / "manifest.csv"))
    assert names == expected_names
    np.testing.assert_allclose(boxes, expected_boxes, atol=0.11)  # its corners are rounded to tenths


@pytest.mark.smears
def test_read_class_folders__reads_the_real_diseases(smears: Path) -> None:
    read = read_class_folders(smears / "chula_diseases" / "images")
    expected = read_manifest(smears / "chula_diseases" / "manifest.csv")
    found = {(f"images/{row[0]}", f"smear:{row[5]}") for row in cells(read)}
    assert found == {(row[0], row[5]) for row in cells(expected)}
