"""Stain normalisation across laboratories: which cells are scored, and what is compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reddino.embedding.comparable import require_same_views
from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from stain_normalisation import as_if_same_views, batch_effect, batch_lines, some_pictures
from stain_reference import pictures_by_source


def fields(pictures: int = 6) -> Manifest:
    """Ten cells in each of some pictures of two laboratories, and a picture without any."""
    rows: list[dict[str, object]] = [
        {"path": f"{lab}{number}.png", "source": lab, "x": 5.0 * cell, "y": 5.0, "label": "normal"}
        for lab in ("a", "b")
        for number in range(pictures)
        for cell in range(10)
    ]
    rows.append({"path": "whole.png", "source": "a", "x": None, "y": None, "label": "normal"})
    return Manifest(pa.table({key: [row[key] for row in rows] for key in rows[0]}), Path())


def table(stain: str | None, seed: int = 0) -> Embeddings:
    """240 cells of two laboratories; the vectors hold the laboratory."""
    labs = ["one", "other"] * 120
    noise = np.random.default_rng(seed).normal(size=(240, 4))
    vectors = (noise + np.eye(4)[[int(lab == "one") for lab in labs]]).astype(np.float32)
    columns = {
        "path": [f"{lab}{row // 20}.png" for row, lab in enumerate(labs)],
        "source": labs,
        "label": ["normal"] * 200 + ["WBC"] * 40,
        **{column: [""] * 240 for column in ("patient", "slide", "group")},
    }
    view = {"kind": "cells", **({"stain": stain} if stain else {})}
    return Embeddings(vectors, pa.table(columns), {"model": "m", "data": "d", "plan": "p", "view": view})


def test_some_pictures__are_as_many_of_each_source_and_whole() -> None:
    drawn = some_pictures(fields(), 2)
    names = drawn.images()[0]
    assert sorted(name[0] for name in names) == ["a", "a", "b", "b"]
    assert len(drawn) == 40
    assert some_pictures(fields(), 2).fingerprint() == drawn.fingerprint()
    assert len(some_pictures(fields(), 99)) == 120


def test_pictures_by_source__are_a_draw_of_each() -> None:
    found = pictures_by_source(fields(), 3)
    assert {source: len(names) for source, names in found.items()} == {"a": 3, "b": 3}


def test_as_if_same_views__lets_stains_be_compared_and_nothing_else() -> None:
    plain, stained = table(None), table("macenko")
    with pytest.raises(RedDinoError, match="stain"):
        require_same_views({"a": plain, "b": stained})
    require_same_views({"a": as_if_same_views(plain), "b": as_if_same_views(stained)})
    assert stained.meta["view"]["stain"] == "macenko"


def test_batch_effect__is_that_of_red_cells_of_several_sources() -> None:
    emb = table(None)
    report = batch_effect(emb, emb.strings("label"), "source", "tiny none")
    assert report is not None
    assert report.rows == 200
    lines = batch_lines({"tiny none": report})
    assert lines[1] == "| measure | tiny none |"
    assert any(line.startswith("| source told | 0.") for line in lines)
    assert not any("class" in line for line in lines[2:])
    one = emb.select(np.array(emb.strings("source")) == "one")
    assert batch_effect(one, one.strings("label"), "source", "tiny none") is None
    assert batch_lines({}) == []
