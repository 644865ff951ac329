"""A manifest is read back as it was written, whatever its texts and numbers, from CSV and from Parquet."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reddino.smears.manifest import Manifest, read_manifest, write_manifest
from reddino.smears.spelling import tidy

#: Texts of any script, with commas, quotes and what a spreadsheet would compute.
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.sampled_from(" ,;\"'=+-@|"), max_size=12
)
NUMBER = st.none() | st.floats(0, 1e6, allow_nan=False, width=32)
ROW = st.fixed_dictionaries(
    {"path": st.sampled_from(["a.png", "b.png", "under/c.png"]), "source": TEXT, "slide": TEXT, "label": TEXT,
     "note": TEXT, "x": NUMBER, "cell_diameter": st.none() | st.floats(1, 200, width=32)}
)  # fmt: skip


def made(rows: list[dict[str, Any]]) -> Manifest:
    return Manifest(pa.Table.from_pylist([{**row, "y": row["x"]} for row in rows]), Path())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@given(rows=st.lists(ROW, min_size=1, max_size=6))
@settings(deadline=None)
def test_manifest__is_read_as_it_was_written(rows: list[dict[str, Any]], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        manifest = made(rows)
        manifest = Manifest(manifest.table, Path(folder), manifest.findings)
        path = Path(folder) / f"m.{suffix}"
        write_manifest(manifest, path)
        again = read_manifest(path)
    assert again.fingerprint() == manifest.fingerprint()
    for name in ("path", "source", "slide", "label"):
        assert again.strings(name) == manifest.strings(name)
        assert all(value == tidy(value) for value in again.strings(name))
    for name in ("x", "y", "cell_diameter"):
        assert np.array_equal(again.numbers(name), manifest.numbers(name), equal_nan=True)


@given(rows=st.lists(ROW, min_size=1, max_size=6), data=st.data())
@settings(deadline=None)
def test_select__takes_the_rows_in_the_order_given(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    manifest = made(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    part = manifest.select(np.array(chosen, np.int64))
    assert part.strings("path") == [rows[row]["path"] for row in chosen]
    assert part.strings("label") == [manifest.strings("label")[row] for row in chosen]
    assert np.array_equal(part.numbers("x"), manifest.numbers("x")[chosen], equal_nan=True)
    names, codes = part.images()
    assert [names[code] for code in codes] == part.strings("path")
