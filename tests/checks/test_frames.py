"""Boxes of pictures with an EXIF orientation: each cell is cut where it is, however its box was drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_collections import cells, coco, picture, save, text, voc

from reddino.checks.inspection import inspect_rows
from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import Failures, decode_image
from reddino.smears.frames import Frame, read_frame
from reddino.smears.manifest import Manifest
from reddino.smears.readers import read_chula, read_coco, read_voc, read_yolo
from reddino.views.cutting import cut_square

RED = (200, 40, 40)


def marked(path: Path, orientation: int) -> Path:
    """A stored picture of 60 x 40 with a red box at (6, 10), 12 x 8, on white."""
    pixels = np.full((40, 60, 3), 255, np.uint8)
    pixels[10:18, 6:18] = RED
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, pixels, orientation)
    return path


def assert_red(manifest: Manifest, row: int = 0) -> None:
    """The box of a row is red throughout, and all that is red."""
    x, y, w, h = (round(manifest.numbers(name)[row]) for name in "xywh")
    red = decode_image(manifest.paths()[row])[:, :, 1] < 140
    assert red[y : y + h, x : x + w].mean() > 0.8 and abs(int(red.sum()) - w * h) < 60


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_frame__turns_boxes_as_the_decoder_turns_pixels(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path = marked(tmp_path / f"a{suffix}", orientation)
    frame = read_frame(path)
    pixels = decode_image(path)
    assert (frame.stored, frame.size) == ((60, 40), pixels.shape[1::-1])
    x, y, w, h = frame.upright((6, 10, 12, 8))
    red = pixels[:, :, 1] < 140
    assert red[int(y) : int(y + h), int(x) : int(x + w)].mean() > 0.9
    assert frame.upright((12, 14)) == (x + w / 2, y + h / 2)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("layout", ["voc", "coco"])
def test_readers__turn_boxes_where_the_listed_size_is_the_stored_one(
    tmp_path: Path, layout: str, orientation: int
) -> None:
    marked(tmp_path / "a.png", orientation)
    if layout == "voc":
        text(tmp_path / "a.xml", voc(("R", 6, 10, 18, 18), size=(60, 40)))
        read = read_voc(tmp_path)
    else:
        image = {"id": 1, "file_name": "a.png", "width": 60, "height": 40}
        coco(tmp_path / "a.json", [image], [{"image_id": 1, "category_id": 5, "bbox": [6, 10, 12, 8]}])
        read = read_coco(tmp_path)
    assert_red(read)
    assert read.strings("boxes_on") == ["upright"]
    x, y = read.centres()[0]
    red = cut_square(decode_image(read.paths()[0]), x, y, 4, 4)
    assert np.abs(red.reshape(-1, 3) - np.array(RED)).max() < 6


def test_readers__keep_boxes_where_the_listed_size_is_the_upright_one(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (60, 40), 6)
    text(tmp_path / "a.xml", voc(("R", 1, 2, 11, 22), size=(40, 60)))
    assert cells(read_voc(tmp_path)) == [("a.png", 1, 2, 10, 20, "R")]


@pytest.mark.parametrize(
    ("stored", "listed", "fault"),
    [
        ((60, 40, 1), (640, 480), r"for 640 x 480 pixels, the picture has 60 x 40"),
        ((60, 40, 1), (40, 60), r"for 40 x 60 pixels, the picture has 60 x 40"),
        ((60, 40, 6), (80, 60), r"for 80 x 60 pixels, the picture has 40 x 60 \(stored 60 x 40\)"),
        ((50, 50, 6), (50, 50), "orientation is 6, and nothing shows"),
        ((60, 40, 3), (60, 40), "orientation is 3, and nothing shows"),
        ((60, 40, 6), None, "orientation is 6, and nothing shows"),
        ((60, 40, 1), ("x", 40), "is not a size"),
        ((60, 40, 1), (-60, 40), "is not a size"),
    ],
)
@pytest.mark.parametrize("layout", ["voc", "coco"])
def test_readers__refuse_the_boxes_of_another_picture(
    tmp_path: Path, layout: str, stored: tuple[int, int, int], listed: tuple[int, int], fault: str
) -> None:
    picture(tmp_path / "a.png", stored[:2], stored[2])
    if layout == "voc":
        text(tmp_path / "a.xml", voc(("R", 1, 2, 11, 22), size=listed))
        reader = read_voc
    else:
        image = {"id": 1, "file_name": "a.png"}
        image |= {} if listed is None else {"width": listed[0], "height": listed[1]}
        coco(tmp_path / "a.json", [image], [{"image_id": 1, "category_id": 5, "bbox": [1, 2, 10, 20]}])
        reader = read_coco
    with pytest.raises(RedDinoError, match=fault):
        reader(tmp_path)
    failures = Failures()
    assert cells(reader(tmp_path, failures=failures)) == [("a.png", None, None, None, None, None)]
    assert failures.count == 1


@pytest.mark.parametrize("orientation", range(2, 9))
def test_readers__take_the_users_choice_where_nothing_shows_it(tmp_path: Path, orientation: int) -> None:
    marked(tmp_path / "images/a.png", orientation)
    text(tmp_path / "images/a.xml", voc(("R", 6, 10, 18, 18)))
    assert_red(read_voc(tmp_path, boxes_on="stored"))
    text(tmp_path / "labels/a.txt", "0 0.2 0.35 0.2 0.2\n")
    assert_red(read_yolo(tmp_path, boxes_on="stored"))
    text(tmp_path / "labels/a.txt", "12 14 0\n")
    points = read_chula(tmp_path, boxes_on="stored")
    x, y = points.centres()[0]
    assert tuple(decode_image(points.paths()[0])[int(y), int(x)]) == RED
    assert cells(read_chula(tmp_path, boxes_on="upright"))[0][1:3] == (12, 14)
    with pytest.raises(RedDinoError, match="nothing shows"):
        read_chula(tmp_path)


def test_voc__without_a_size_is_read_by_the_picture(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", voc(("R", 1, 2, 11, 22), size=(0, 0)))
    assert cells(read_voc(tmp_path)) == [("a.png", 1, 2, 10, 20, "R")]


def test_yolo__counts_turned_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (60, 40), 6)
    text(tmp_path / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    read = read_yolo(tmp_path)
    assert cells(read) == [("a.jpg", 10, 15, 20, 30, "0")] and "boxes_on" not in read.table.column_names
    assert [(one.kind, one.count, one.harmless) for one in inspect_rows(read)] == [
        ("boxes on turned pictures", 1, False)
    ]


def test_readers__leave_out_cells_outside_the_picture(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    image = {"id": 1, "file_name": "images/a.png"}
    boxes = [[10, 10, 20, 20], [90, 10, 15, 20], [95, 10, 20, 20], [-30, 10, 20, 20], [0.1, 0.1, 0.2, 0.2]]
    coco(tmp_path / "a.json", [image], [{"image_id": 1, "category_id": 5, "bbox": box} for box in boxes])
    failures = Failures()
    assert [row[1] for row in cells(read_coco(tmp_path, failures=failures))] == [10, 90]
    reasons = " ".join(reason for _, reason in failures)
    assert (
        reasons.count("outside the picture of 100 x 50") == 2 and reasons.count("less than one across") == 1
    )
    text(tmp_path / "labels/a.txt", "5 6 0\n101 6 0\n")
    with pytest.raises(RedDinoError, match=r"a\.txt, cell 2 \('normal'\) at \(101, 6\) lies outside"):
        read_chula(tmp_path)


def test_frame__of_a_square_is_stored_as_shown() -> None:
    assert Frame((50, 50), 6).stored == (50, 50)
    assert json.dumps(Frame((50, 40), 2).upright((5, 6, 10, 4))) == "[35, 6, 10, 4]"
