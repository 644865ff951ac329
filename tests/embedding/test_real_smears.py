"""Real smears through the pass, by manifests that `reddino manifest` makes of them; whole fields included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import reddino
from reddino import cli
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.table import read_embeddings
from reddino.foundations.runtime import choose_runtime
from reddino.networks.encoder import Encoder, open_model
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest, read_manifest
from reddino.views.choices import ViewKind
from reddino.views.cutting import cut_square
from reddino.views.spec import ViewSpec

SIZE = 28
#: Folder, layout with its options, and of how many images one is embedded.
SETS = {
    "chula_rbc12": (["chula"], 150),
    "txl_pbc": (["yolo", "--names", "WBC", "RBC", "Platelets"], 200),
    "bccd/images": (["folder"], 100),
    "iml_malaria/images": (["folder"], 100),
    "uganda_sickle/images": (["folder"], 60),
    "chula_diseases/images": (["class-folders"], 10),
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Nobody trained it: what is tested is which pixels it sees."""
    return open_model("untrained:vit_tiny_patch14", image_size=SIZE, runtime=choose_runtime("cpu", "fp32", 1))


def few(folder: Path, layout: list[str], every: int, out: Path) -> Manifest:
    kind, *options = layout
    assert cli.main(["manifest", kind, str(folder), *options, "--out", str(out)]) == 0
    manifest = read_manifest(out, check_files=True)
    return manifest.select(manifest.images()[1] % every == 0)


@pytest.mark.smears
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", ["image", "patches", "cells"])
def test_real_smears__every_view_has_the_vector_of_its_own_place(
    smears: Path, tmp_path: Path, encoder: Encoder, name: str, kind: ViewKind
) -> None:
    layout, every = SETS[name]
    manifest = few(smears / name, layout, every, tmp_path / "m.csv")
    find = kind == "cells" and not manifest.is_cell().any()
    view = ViewSpec(kind=kind, side=64 if kind == "cells" else 224, output=SIZE)
    report = embed_manifest(manifest, encoder, tmp_path / "t", view=view, find_cells=find, part_rows=30)
    emb = read_embeddings(tmp_path / "t")
    assert report.failed == 0
    assert report.rows == len(emb)
    if kind == "image":
        assert emb.strings("path") == manifest.images()[0]
    if kind == "cells" and not find:
        assert len(emb) == manifest.is_cell().sum()
    for row in np.linspace(0, len(emb) - 1, 5).astype(int):
        image = decode_image(manifest.root / emb.strings("path")[row])
        place = (emb.numbers("view_x")[row], emb.numbers("view_y")[row], emb.numbers("view_side")[row])
        alone = encoder.embed(cut_square(image, *place, SIZE)[None])[0]
        np.testing.assert_allclose(emb.vectors[row], alone, atol=1e-4)


@pytest.mark.smears
def test_real_smears__the_mean_of_a_field_is_that_of_its_patches(
    smears: Path, tmp_path: Path, encoder: Encoder
) -> None:
    manifest = few(smears / "bccd/images", ["folder"], 30, tmp_path / "m.csv")
    view = ViewSpec(kind="patches", side=224, output=SIZE)
    embed_manifest(manifest, encoder, tmp_path / "patches", view=view, batch_size=7)
    embed_manifest(manifest, encoder, tmp_path / "fields", view=view, per="field", batch_size=5)
    patches, fields = read_embeddings(tmp_path / "patches"), read_embeddings(tmp_path / "fields")
    paths = np.array(patches.strings("path"))
    assert fields.strings("path") == manifest.images()[0]
    for path, vector, count in zip(
        fields.strings("path"), fields.vectors, fields.numbers("views"), strict=True
    ):
        mine = patches.vectors[paths == path]
        assert len(mine) == count == 4
        np.testing.assert_allclose(vector, mine.mean(axis=0), atol=1e-4)


@pytest.mark.smears
def test_real_smears__a_folder_goes_in_as_it_is(smears: Path, tmp_path: Path) -> None:
    report = reddino.embed(
        str(smears / "draaslan_bcd" / "**" / "*.png"), "colour-histogram", tmp_path / "t", image_size=SIZE
    )
    assert (report.rows, report.failed) == (100, 0)
