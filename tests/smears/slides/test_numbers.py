"""Numbers of slides in Parquet are numbers; what is a user's own text of such a name stays text."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reddino.smears.manifest import Manifest, read_manifest, write_manifest
from reddino.smears.slides.numbers import number_types, with_types


@pytest.mark.parametrize(
    ("name", "values", "loose", "exact"),
    [
        ("um_per_px", ["0.25", None], "double", "double"),
        ("um_per_px", ["0.250", None], "double", "string"),
        ("um_per_px", ["0.25", "n/a"], "string", "string"),
        ("um_per_px", ["0.25", "nan"], "string", "string"),
        ("um_per_px", ["0.25", "inf"], "string", "string"),
        ("level0_x", ["1200", "1234.5"], "double", "double"),
        ("region", ["0", "12"], "int64", "int64"),
        ("region", ["north", "12"], "string", "string"),
        ("region", ["007", "12"], "string", "string"),
        ("monolayer", [None, None], "int64", "int64"),
        ("slide_width", ["40000", None], "int64", "int64"),
        ("stain", ["1", "2"], "string", "string"),
    ],
)
def test_columns__are_numbers_where_they_hold_numbers_alone(
    name: str, values: list[str | None], loose: str, exact: str
) -> None:
    table = pa.table({name: pa.array(values, pa.string())})
    for kind, found in ((loose, number_types(table)), (exact, number_types(table, exact=True))):
        assert str(with_types(table, found).schema.field(name).type) == kind


def test_manifest__has_one_fingerprint_in_both_formats(tmp_path: Path) -> None:
    table = pa.table(
        {
            "path": ["a.svs", "b.svs"],
            "um_per_px": ["0.25", "0.1"],
            "levels": ["3", None],
            "region": ["x", "1"],
        }
    )
    manifest = Manifest(table, tmp_path)
    for name in ("a.csv", "a.parquet"):
        write_manifest(manifest, tmp_path / name)
        assert read_manifest(tmp_path / name).fingerprint() == manifest.fingerprint()
        assert read_manifest(tmp_path / name).strings("um_per_px") == ["0.25", "0.1"]
    kinds = [str(kind) for kind in pq.read_schema(tmp_path / "a.parquet").types]
    assert kinds[-3:] == ["double", "int64", "string"]
