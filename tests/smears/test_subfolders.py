"""What the subfolders of a folder of images are taken for, and what the user is told about it."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

import reddino
from reddino.smears.choices import Subfolders
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data


def collection(root: Path, *paths: str) -> Path:
    for number, path in enumerate(paths):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((12, 16, 3), 40 * number, np.uint8))
    return root


def columns(manifest: Manifest) -> dict[str, list[str]]:
    return {name: manifest.strings(name) for name in ("source", "slide", "patient", "label")}


@pytest.mark.parametrize(
    ("paths", "filled", "said"),
    [
        (("bangkok/1.png", "lahore/1.png"), {"source": ["bangkok", "lahore"]}, "taken as sources"),
        (("lab1/a/1.png", "lab2/1.png"), {"source": ["lab1", "lab2"]}, "taken as sources"),
        (("train/x/1.png", "test/y/1.png"), {"source": ["y", "x"]}, "taken as sources"),
        (("slide_1/1.png", "slide_2/1.png"), {"slide": ["slide_1", "slide_2"]}, "taken as slides"),
        (("01/1.png", "02/1.png"), {"slide": ["01", "02"]}, "taken as slides"),
        (("2024-03-01/1.png", "2024-03-02/1.png"), {"slide": ["2024-03-01", "2024-03-02"]}, "as slides"),
        (("1.3.24/1.png", "20240302_1432/1.png"), {"slide": ["1.3.24", "20240302_1432"]}, "as slides"),
        (("lab1/a/1.png", "lab2/b/1.png"), {"source": ["lab1", "lab2"]}, "(a, b) are not read"),
        (("images/P1/1.png", "images/P2/1.png"), {"patient": ["P1", "P2"]}, "folders in images (P1, P2)"),
        (("all/train/x/1.png", "all/test/y/1.png"), {"source": ["x", "y"]}, "taken as sources"),
        (("images/1.png", "images/P2/1.png"), {}, "lie next to"),
        (("P1/a/1.png", "P1/b/1.png"), {}, "the 2 folders in P1 (a, b) are not read"),
        (("p1 /1.png", "p2/1.png"), {"patient": ["p1", "p2"]}, "taken as patients"),
        (("patient 3/1.png", "P4/1.png"), {"patient": ["P4", "patient 3"]}, "taken as patients"),
        (("Normal cells/1.png", "sickle/1.png"), {}, "look like classes"),
        (("images/1.png", "masks/1.png"), {}, "do not all hold smears"),
        (("odd.png", "bangkok/1.png", "lahore/1.png"), {}, "lie next to"),
        (("train/1.png", "test/1.png"), {}, ""),
        (("images/1.png", "images/2.png"), {}, ""),
        (("1.png", "2.png"), {}, ""),
    ],
)
def test_subfolders__are_taken_for_what_they_look_like_and_said(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    paths: tuple[str, ...],
    filled: dict[str, list[str]],
    said: str,
) -> None:
    folder = collection(tmp_path / "all", *paths)
    with caplog.at_level(logging.WARNING, "reddino"):
        found = columns(open_data(folder))
    plain = {name: [""] * len(paths) for name in found} | {"source": ["all"] * len(paths)}
    assert {name: sorted(values) for name, values in found.items()} == {
        name: sorted(values) for name, values in (plain | filled).items()
    }
    assert said in caplog.text
    assert ("--subfolders" in caplog.text) == bool(said)


@pytest.mark.parametrize("how", ["source", "slide", "patient", "label"])
def test_subfolders__go_where_the_user_says(tmp_path: Path, how: Subfolders) -> None:
    folder = collection(tmp_path / "all", "normal/1.png", "sickle/1.png")
    found = columns(open_data(folder, subfolders=how))
    assert found[how] == ["normal", "sickle"]
    assert found["source"] == (["normal", "sickle"] if how == "source" else ["all", "all"])
    assert columns(open_data(folder, subfolders="none"))["source"] == ["all", "all"]


def test_subfolders__beside_a_table_are_one_source_and_the_table_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = collection(tmp_path / "all", "bangkok/1.png", "lahore/1.png")
    (folder / "manifest.csv").write_text("path,source\nbangkok/1.png,B\n")
    with caplog.at_level(logging.WARNING, "reddino"):
        assert columns(open_data(folder))["source"] == ["all", "all"]
    assert "manifest.csv" in caplog.text
    assert open_data(folder / "manifest.csv").strings("source") == ["B"]


def test_subfolders__of_several_folders_leave_each_a_source(tmp_path: Path) -> None:
    labs = [collection(tmp_path / lab, "a/1.png", "b/1.png") for lab in ("one", "two")]
    assert open_data(labs).strings("source") == ["one", "one", "two", "two"]


def test_manifest__takes_subfolders_of_the_layout_folder(tmp_path: Path) -> None:
    folder = collection(tmp_path / "all", "bangkok/1.png", "lahore/1.png")
    made = reddino.manifest("folder", folder, tmp_path / "m.csv")
    assert made.strings("source") == ["bangkok", "lahore"]
    made = reddino.manifest("folder", folder, tmp_path / "m.csv", source="mine")
    assert made.strings("source") == ["mine", "mine"]
    made = reddino.manifest("folder", folder, tmp_path / "m.csv", subfolders="slide")
    assert made.strings("slide") == ["bangkok", "lahore"]
    with pytest.raises(reddino.RedDinoError, match="takes no option 'subfolders'"):
        reddino.manifest("class-folders", folder, tmp_path / "m.csv", subfolders="slide")
    classes = reddino.manifest("class-folders", folder, tmp_path / "m.csv")
    assert classes.strings("label") == ["bangkok", "lahore"]


def test_check__takes_subfolders_as_told(tmp_path: Path) -> None:
    folder = collection(tmp_path / "all", "bangkok/1.png", "lahore/1.png")
    assert reddino.check(folder, pictures=False).strings("source") == ["bangkok", "lahore"]
    assert reddino.check(folder, pictures=False, subfolders="none").strings("source") == ["all", "all"]


def test_subfolders__that_the_user_named_count_where_there_is_one_alone(tmp_path: Path) -> None:
    folder = collection(tmp_path / "s", "P1/1.png", "P1/2.png")
    assert open_data(folder, subfolders="patient").strings("patient") == ["P1", "P1"]
    assert open_data(folder, subfolders="auto").strings("patient") == ["", ""]
