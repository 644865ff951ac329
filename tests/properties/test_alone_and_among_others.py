"""The same cells get the same vectors, whichever pictures come along, in any order and any folders."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fields_of_discs import draw_discs, grid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reddino
from reddino.embedding.embeddings import Embeddings
from reddino.smears.manifest import Manifest, join_manifests, read_manifest

#: Of the cells of each synthetic source, in pixels.
SCALES = {"near": 18.0, "middle": 30.0, "far": 52.0}
FIELDS = 3
Vectors = dict[tuple[str, float, float], bytes]


def vectors_of(table: Embeddings) -> Vectors:
    """Return the vector and the diameter of each cell, by its picture's name and its place."""
    names = [Path(path).name for path in table.strings("path")]
    x, y, diameter = (table.numbers(name) for name in ("view_x", "view_y", "cell_diameter"))
    keys = zip(names, x.tolist(), y.tolist(), strict=True)
    return {
        key: vector.tobytes() + size.tobytes()
        for key, vector, size in zip(keys, table.vectors, diameter, strict=True)
    }


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three sources of different scale, with a picture of each that differs from the rest."""
    root = tmp_path_factory.mktemp("smears")
    for source, diameter in SCALES.items():
        for number in range(FIELDS):
            own = diameter * (1.0 + 0.15 * number)
            centres, size = grid(own)
            draw_discs(root / f"{source}-{number}.png", own, centres, size)
    return root


@pytest.fixture(scope="module")
def alone(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    """The vectors of each picture by itself."""
    out = tmp_path_factory.mktemp("alone")
    found: Vectors = {}
    for picture in sorted(fields.glob("*.png")):
        reddino.embed(picture, "morphology", out / picture.stem, find_cells=True)
        found |= vectors_of(reddino.read_embeddings(out / picture.stem))
    return found


PICTURES = [f"{source}-{number}.png" for source in SCALES for number in range(FIELDS)]
SOME = st.lists(st.sampled_from(PICTURES), min_size=1, unique=True)


@given(SOME, st.sampled_from(["flat", "sources", "deep"]))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_embed__of_found_cells_is_the_same_alone_and_among_others(
    fields: Path, alone: Vectors, tmp_path: Path, chosen: Sequence[str], layout: str
) -> None:
    shutil.rmtree(tmp_path)
    for name in chosen:
        source = name.partition("-")[0]
        folder = {"flat": tmp_path / "s", "sources": tmp_path / "s" / source, "deep": tmp_path / "s/a/b"}[
            layout
        ]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fields / name, folder / name)
    reddino.embed(tmp_path / "s", "morphology", tmp_path / "t", find_cells=True)
    found = vectors_of(reddino.read_embeddings(tmp_path / "t"))
    assert found == {key: value for key, value in alone.items() if key[0] in chosen}


def listed(fields: Path, chosen: Sequence[str], one_source: bool) -> Manifest:
    """Return the cells of some pictures by their centres alone, in that order."""
    rows: dict[str, list[object]] = {"path": [], "source": [], "x": [], "y": []}
    for name in chosen:
        source, number = name.removesuffix(".png").split("-")
        centres, _ = grid(SCALES[source] * (1.0 + 0.15 * int(number)))
        for x, y in centres:
            for column, value in zip(rows, (name, "all" if one_source else source, x, y), strict=True):
                rows[column].append(value)
    return Manifest(pa.table(rows), fields)


@pytest.fixture(scope="module")
def alone_listed(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    out = tmp_path_factory.mktemp("listed")
    found: Vectors = {}
    for name in PICTURES:
        reddino.embed(listed(fields, [name], True), "morphology", out / name)
        found |= vectors_of(reddino.read_embeddings(out / name))
    return found


@given(SOME.flatmap(st.permutations), st.booleans())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_embed__of_listed_cells_is_the_same_alone_and_among_others(
    fields: Path, alone_listed: Vectors, tmp_path: Path, chosen: Sequence[str], one_source: bool
) -> None:
    shutil.rmtree(tmp_path)
    reddino.embed(listed(fields, chosen, one_source), "morphology", tmp_path / "t")
    found = vectors_of(reddino.read_embeddings(tmp_path / "t"))
    assert found == {key: value for key, value in alone_listed.items() if key[0] in chosen}


@pytest.mark.smears
def test_embed__of_real_cells_is_the_same_alone_and_among_others(smears: Path, tmp_path: Path) -> None:
    few: list[Manifest] = []
    for name in ("bccd", "chula_rbc12", "uganda_sickle", "txl_pbc"):
        manifest = read_manifest(smears / name / "manifest.csv")
        names, codes = manifest.images()
        chosen = np.unique(np.linspace(0, len(names) - 1, 4).astype(int))
        first = np.unique(codes, return_index=True)[1][chosen]
        bare = manifest.select(first).table.select(["path"])
        few.append(Manifest(bare, manifest.root))
    together = join_manifests(few)
    reddino.embed(together, "morphology", tmp_path / "together", find_cells=True)
    found = vectors_of(reddino.read_embeddings(tmp_path / "together"))
    alone: Vectors = {}
    for number, manifest in enumerate(few):
        reddino.embed(manifest, "morphology", tmp_path / str(number), find_cells=True)
        alone |= vectors_of(reddino.read_embeddings(tmp_path / str(number)))
    same = [value == found.get(key) for key, value in alone.items()]
    # A picture with too few cells to measure borrows, and may borrow of others than before.
    assert len(found) == len(alone) > 500 and np.mean(same) >= 0.99
