"""Real smears: a white cell finds white cells of other pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import reddino
from reddino.smears.manifest import write_manifest

pytestmark = pytest.mark.smears


def test_search__of_a_white_cell_finds_white_cells(smears: Path, tmp_path: Path) -> None:
    cells = reddino.read_manifest(smears / "bccd" / "manifest.csv")
    paths = list(dict.fromkeys(cells.strings("path")))[:25]
    some = cells.select(np.isin(cells.strings("path"), paths))
    write_manifest(some, tmp_path / "cells.csv")
    reddino.embed(tmp_path / "cells.csv", "reddino-tiny", tmp_path / "t", runtime="torch", precision="fp32")
    reddino.filter_table(tmp_path / "t", tmp_path / "w", ["label=WBC"])
    hits = reddino.search(tmp_path / "t", tmp_path / "w", exclude_same="field", top=5)
    labels = hits.table.column("label").to_pylist()
    base = some.strings("label").count("WBC") / len(some)
    assert labels.count("WBC") / len(labels) > 5 * base
