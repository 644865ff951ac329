"""A microscope file among the data becomes its pictures: one, or regions that say where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from slide_files import smear, write_czi, write_dicom, write_lif, write_pyramid

import reddino
from reddino.foundations.errors import RedDinoError
from reddino.smears.choices import Subfolders
from reddino.smears.contents import is_unchanged, read_content
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest, read_manifest, write_manifest
from reddino.smears.opening import open_data
from reddino.smears.readers.slides import read_slides
from reddino.smears.slides.opening import opened

#: Wide enough for two regions.
WIDE = smear(4200, 300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pyramid, and a plain TIFF."""
    import tifffile

    (tmp_path / "lab").mkdir()
    write_pyramid(tmp_path / "lab" / "wide.tif", WIDE)
    tifffile.imwrite(tmp_path / "lab" / "plain.tif", WIDE, photometric="rgb")
    return tmp_path / "lab"


def rows(manifest: Manifest) -> list[tuple[str | None, ...]]:
    names = ("path", "slide", "um_per_px", "region", "region_x", "region_y")
    columns = [manifest.table.column(name).to_pylist() for name in names]
    return list(zip(*columns, strict=True))


REGIONS = [
    ("wide.tif::x0-y0-w1560-h300", "wide", "0.25", "0", "0", "0"),
    ("wide.tif::x1240-y0-w1720-h300", "wide", "0.25", "1", "1240", "0"),
    ("wide.tif::x2640-y0-w1560-h300", "wide", "0.25", "2", "2640", "0"),
]


def test_open_data__a_large_pyramid_becomes_its_regions(folder: Path) -> None:
    manifest = open_data(folder / "wide.tif")
    assert rows(manifest) == REGIONS
    assert manifest.strings("source") == ["lab"] * 3
    np.testing.assert_array_equal(decode_image(manifest.paths()[1]), WIDE[:, 1240:2960])
    assert not manifest.missing_files()
    assert open_data(manifest).fingerprint() == manifest.fingerprint()


def test_open_data__a_plain_tiff_stays_one_picture(folder: Path) -> None:
    manifest = open_data(folder / "plain.tif")
    assert manifest.strings("path") == ["plain.tif"]
    assert "region" not in manifest.table.column_names
    assert "um_per_px" not in manifest.table.column_names


def test_open_data__a_small_pyramid_stays_one_picture(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "small.tif", smear(900, 700))
    assert (
        open_data(tmp_path / "small.tif").table.column_names
        == open_data(Manifest(pa.table({"path": ["small.tif"]}), tmp_path)).table.column_names
    )


def test_open_data__folders_and_patterns_hold_slides_too(folder: Path) -> None:
    assert [row[0] for row in rows(open_data(folder))] == ["plain.tif", *(row[0] for row in REGIONS)]
    assert rows(open_data(f"{folder}/w*")) == REGIONS


def test_open_data__a_row_of_a_manifest_becomes_regions_with_what_it_says(folder: Path) -> None:
    table = {
        "path": ["plain.tif", "wide.tif"],
        "slide": ["p", "s7"],
        "patient": ["1", "2"],
        "note": ["a", "b"],
        "um_per_px": [None, "0.251"],
    }
    write_manifest(Manifest(pa.table(table), folder), folder / "m.csv")
    manifest = open_data(folder / "m.csv")
    assert manifest.strings("slide") == ["p", *["s7"] * 3]
    assert manifest.strings("patient") == ["1", *["2"] * 3]
    assert manifest.strings("note") == ["a", *["b"] * 3]
    assert manifest.strings("um_per_px") == ["", *["0.251"] * 3]
    assert not [one for one in manifest.findings if one.kind == "sizes of a pixel differ"]


def test_open_data__a_conflict_of_scales_is_a_finding(folder: Path) -> None:
    table = {"path": ["wide.tif"], "um_per_px": ["0.5"]}
    manifest = open_data(Manifest(pa.table(table), folder))
    assert manifest.strings("um_per_px") == ["0.5"] * 3
    (found,) = [one for one in manifest.findings if one.kind == "sizes of a pixel differ"]
    assert not found.harmless
    assert found.first == "wide.tif (0.5 in the manifest, 0.25 in the file)"


def test_open_data__a_slide_without_scale_is_a_finding(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", WIDE, um=None)
    manifest = open_data(tmp_path / "a.tif")
    assert [(one.kind, one.harmless) for one in manifest.findings] == [("slides without scale", True)]


def test_open_data__cells_of_a_slide_go_to_their_regions(folder: Path) -> None:
    """Coordinates of level 0, as programs for annotation write them."""
    table = {
        "path": ["wide.tif"] * 4,
        "x": [10.0, 1399.0, 1400.0, 4100.0],
        "y": [20.0] * 4,
        "w": [None, None, None, 30.0],
        "h": [None, None, None, 30.0],
        "label": ["a", "b", "c", "d"],
    }
    manifest = open_data(Manifest(pa.table(table), folder))
    assert manifest.strings("region") == ["0", "0", "1", "2"]
    assert manifest.numbers("x").tolist() == [10, 1399, 160, 1460]
    assert manifest.strings("label") == ["a", "b", "c", "d"]
    corner = np.array([float(one) for one in manifest.strings("region_x")])
    assert (corner + manifest.numbers("x")).tolist() == [10, 1399, 1400, 4100]


def test_open_data__never_replaces_a_column_of_the_user(folder: Path) -> None:
    table = pa.table({"path": ["wide.tif"], "region": ["north"]})
    with pytest.raises(RedDinoError, match="a column 'region', which the regions of a slide uses itself"):
        open_data(Manifest(table, folder))
    other = pa.table({"path": ["plain.tif"], "region": ["north"]})
    assert open_data(Manifest(other, folder)).strings("region") == ["north"]


def test_open_data__regions_that_were_written_stay_what_they_are(folder: Path) -> None:
    write_manifest(open_data(folder), folder / "all.csv")
    again = open_data(folder / "all.csv")
    assert rows(again)[1:] == REGIONS
    joined = open_data([folder / "all.csv", folder / "wide.tif"])
    assert rows(joined)[1:] == [*REGIONS, *REGIONS]


def test_open_data__scenes_that_are_small_are_pictures(tmp_path: Path) -> None:
    pytest.importorskip("liffile", reason="liffile is not installed")
    write_lif(tmp_path / "two.lif", [smear(300, 200), WIDE])
    manifest = open_data(tmp_path / "two.lif")
    assert manifest.strings("path") == [
        "two.lif::s0",
        "two.lif::s1-x0-y0-w1560-h300",
        "two.lif::s1-x1240-y0-w1720-h300",
        "two.lif::s1-x2640-y0-w1560-h300",
    ]
    assert manifest.strings("slide") == ["two-s0", *["two-s1"] * 3]


def test_open_data__a_dicom_slide_is_one_slide_however_many_files_it_has(tmp_path: Path) -> None:
    pytest.importorskip("wsidicom", reason="wsidicom is not installed")
    write_dicom(tmp_path / "case", smear(900, 700), levels=3)
    label = write_dicom(tmp_path / "case", smear(300, 300), levels=1, kind="LABEL")[0]
    failures = Failures()
    manifest = open_data(tmp_path / "case", failures)
    assert manifest.strings("path") == ["volume-0.dcm"]
    assert manifest.strings("slide") == ["case"]
    assert dict(failures) == {str(label): "is the label of a slide, which is never read"}
    assert len(open_data(f"{tmp_path}/case/volume-*.dcm")) == 1
    assert "ecret" not in str(manifest.table.to_pylist())


def test_open_data__names_files_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(b"not a slide at all")
    write_pyramid(tmp_path / "b.tif", WIDE)
    failures = Failures()
    assert len(open_data(tmp_path, failures)) == 3
    assert [Path(path).name for path, _ in failures] == ["a.svs"]


def test_content__of_regions_is_that_of_their_file(folder: Path) -> None:
    first, second, *_ = open_data(folder / "wide.tif").paths()
    before = read_content(first)
    assert before is not None
    assert read_content(second) == before
    assert is_unchanged(first, before)
    write_pyramid(folder / "wide.tif", smear(4200, 300, 1))
    assert not is_unchanged(first, before)


def test_manifest_slides__lists_mixed_formats(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("wsidicom", reason="wsidicom is not installed")
    write_dicom(folder / "case", smear(900, 700), um=0.5)
    write_dicom(folder / "case", smear(300, 300), levels=1, kind="LABEL")
    (folder / "broken.ndpi").write_bytes(b"no")
    (folder / "old.vsi").write_bytes(b"no")
    failures = reddino.Failures()
    reddino.manifest("slides", folder, tmp_path / "slides.csv", failures=failures)
    manifest = read_manifest(tmp_path / "slides.csv")
    columns = ("path", "slide", "um_per_px", "scanner", "objective", "format", "slide_width", "levels")
    found = [tuple(manifest.strings(name)[row] for name in columns) for row in range(len(manifest))]
    assert found == [
        ("lab/case/volume-0.dcm", "case", "0.5", "Maker Model", "40x", "DICOM", "900", "2"),
        ("lab/wide.tif", "wide", "0.25", "", "", "TIFF", "4200", "3"),
    ]
    assert {Path(path).name for path, _ in failures} == {"label-0.dcm", "broken.ndpi", "old.vsi"}
    assert "ecret" not in (tmp_path / "slides.csv").read_text()
    assert len(open_data(tmp_path / "slides.csv")) == 4


def test_manifest_slides__scenes_have_rows(tmp_path: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed")
    write_czi(tmp_path / "two.czi", [smear(300, 200), smear(310, 220)])
    manifest = reddino.manifest("slides", tmp_path, tmp_path / "m.csv")
    assert manifest.strings("path") == ["two.czi::s0", "two.czi::s1"]
    assert manifest.strings("slide_width") == ["300", "310"]


@pytest.mark.parametrize("subfolders", ["patient", "none"])
def test_open_data__slides_of_one_stem_are_two_slides(folder: Path, subfolders: Subfolders) -> None:
    for patient in ("p1", "p2"):
        (folder / "all" / patient).mkdir(parents=True)
        write_pyramid(folder / "all" / patient / "scan.tif", WIDE)
    found = open_data(folder / "all", Failures(), subfolders=subfolders)
    assert list(dict.fromkeys(found.strings("slide"))) == ["p1/scan", "p2/scan"]
    assert len(set(found.fold_groups())) == 2


def test_open_data__two_paths_of_one_file_are_one_slide(folder: Path) -> None:
    (folder / "again").mkdir()
    (folder / "again" / "wide.tif").symlink_to(folder / "wide.tif")
    found = open_data(folder, Failures(), subfolders="none")
    assert {slide for slide in found.strings("slide") if slide} == {"wide"}


def test_fold_groups__rectangles_of_one_file_stay_together(folder: Path) -> None:
    paths = ["wide.tif::x0-y0-w500-h300", "wide.tif::x400-y0-w500-h300", "plain.tif"]
    groups = Manifest(pa.table({"path": paths}), folder).fold_groups()
    assert groups[0] == groups[1] != groups[2]


def test_manifest_slides__of_one_stem_are_two_slides(folder: Path) -> None:
    (folder / "b").mkdir()
    write_pyramid(folder / "b" / "wide.tif", WIDE)
    assert read_slides(folder).strings("slide") == ["b/wide", f"{folder.name}/wide"]


def test_open_data__a_slide_whose_thumbnail_comes_first_is_a_slide(tmp_path: Path) -> None:
    import tifffile

    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for step in (16, 4, 1):
            file.write(WIDE[::step, ::step], tile=(256, 256), photometric="rgb", metadata=None)
    assert len(open_data(tmp_path / "a.tif", Failures())) > 1
    with opened(tmp_path / "a.tif") as reader:
        assert reader.size == (WIDE.shape[1], WIDE.shape[0])
        assert len(reader.level_sizes) == 3


def test_open_data__takes_a_rectangle_of_a_slide_by_its_name(folder: Path) -> None:
    name = f"{folder / 'wide.tif'}::x10-y0-w64-h32"
    manifest = open_data(name)
    assert manifest.strings("path") == ["wide.tif::x10-y0-w64-h32"]
    np.testing.assert_array_equal(decode_image(manifest.paths()[0]), WIDE[:32, 10:74])
    for name, sentence in (
        ("other.tif::x10-y0-w64-h32", r"other\.tif: there is no such file, of which .* names a part"),
        ("wide.tif::x10", r"wide\.tif::x10.*names no part of its file; write ::x0-y0-w512-h512"),
        ("plain.png::x10-y0-w64-h32", "no microscope file; give the picture itself"),
        ("some.tar::a.png", "a shard is given as a whole"),
    ):
        for made in ("plain.png", "some.tar"):
            (folder / made).touch()
        with pytest.raises(RedDinoError, match=sentence):
            open_data(f"{folder / name}")
