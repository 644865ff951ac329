"""Tiles and photographs of slides are no pictures of their own."""

from __future__ import annotations

from pathlib import Path

from reddino.smears.readers.rows import find_images
from reddino.smears.slides.companions import without_companions

VMS = """[Virtual Microscope Specimen]
NoLayers=1
ImageFile=Smear.jpg
ImageFile(1,0)=smear(1,0).jpg
MapFile=smear_map2.jpg
MacroImage=smear_macro.jpg
OptimisationFile=smear.opt
"""


def test_find_images__leaves_the_parts_of_a_vms_slide_out(tmp_path: Path) -> None:
    (tmp_path / "smear.vms").write_text(VMS)
    parts = ["smear.jpg", "smear(1,0).jpg", "smear_map2.jpg", "smear_macro.jpg"]
    for name in [*parts, "field.jpg"]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "smear_macro.jpg").write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert sorted(found) == ["field.jpg", "other/smear_macro.jpg", "smear.vms"]


def test_without_companions__of_a_file_that_cannot_be_read_are_all(tmp_path: Path) -> None:
    files = [tmp_path / "gone.vms", tmp_path / "a.jpg"]
    assert without_companions(files) == files
