"""What a cell is: the head that comes along, the kinds that it names, and the columns of a table."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import reddino
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.kinds import (
    KINDS,
    UNKNOWN,
    KindHead,
    read_kind_head,
    require_kind_views,
    save_kind_head,
    shipped_kind_head,
    with_kinds,
)
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.networks.encoder import open_model
from reddino.networks.shipped import DEFAULT_MODEL, shipped_models
from reddino.smears.manifest import Manifest
from reddino.synthetic.write import write_smears
from reddino.views.spec import ViewSpec


def small_head(dim: int = 3) -> KindHead:
    """A head that names kind i where entry i of the vector is large, and else a red cell."""
    return KindHead(
        "hash",
        np.zeros(dim),
        np.ones(dim),
        np.vstack([np.zeros(dim), 20 * np.eye(4, dim)]),
        np.array([10.0, 0, 0, 0, 0]),
        red=0.5,
        other=0.95,
    )


def test_shipped_head__is_of_the_shipped_model_and_small() -> None:
    head = shipped_kind_head()
    model = open_model(shipped_models()[DEFAULT_MODEL])
    assert head.weights_hash == model.weights_hash
    assert head.mean.shape == (model.dim,)
    folder = shipped_models()[DEFAULT_MODEL].parent
    assert sum(file.stat().st_size for file in folder.glob("cell-kinds.*")) < 100_000
    assert set(shipped_models()) == {DEFAULT_MODEL}


def test_decide__says_unknown_rather_than_guess() -> None:
    probabilities = np.array(
        [
            [0.90, 0.10, 0.0, 0.0, 0.0],
            [0.50, 0.50, 0.0, 0.0, 0.0],
            [0.30, 0.00, 0.7, 0.0, 0.0],
            [0.04, 0.00, 0.0, 0.5, 0.46],
            [0.01, 0.00, 0.0, 0.0, 0.99],
        ]
    )
    found = small_head().decide(probabilities)
    assert found.names == ("red cell", "red cell", UNKNOWN, "clump", "artefact")
    assert found.probabilities == pytest.approx([0.9, 0.5, 0.7, 0.5, 0.99])
    assert found.not_red().tolist() == [False, False, False, True, True]
    assert found.counts() == "1 clump, 1 artefact, 1 unknown"


def test_decide__calls_large_pieces_clumps_where_they_may_be() -> None:
    doubtful, red = [0.55, 0.0, 0.0, 0.45, 0.0], [0.75, 0.0, 0.0, 0.25, 0.0]
    found = small_head().decide(
        np.array([doubtful, doubtful, doubtful, doubtful, red, [0.01, 0.99, 0.0, 0.0, 0.0]]),
        np.array([[1.0, 1.4], [1.2, 1.2], [0.7, 1.9], [np.nan, np.nan], [1.3, 1.5], [1.5, 1.5]]),
    )
    # two cells are long and wide; an elliptocyte is long alone, and a box of the user says nothing
    assert found.names == ("clump", "red cell", "red cell", "red cell", "red cell", "white cell")
    assert found.probabilities[0] == pytest.approx(0.45)


def test_read__of_no_view_is_nothing() -> None:
    assert len(small_head().read(np.empty((0, 3), np.float32))) == 0


def test_read__refuses_vectors_of_another_length() -> None:
    with pytest.raises(RedDinoError, match="vectors of 3 numbers, not of 5"):
        small_head().read(np.zeros((2, 5), np.float32))


def test_takes__only_plain_vectors_of_its_network() -> None:
    head, made = small_head(), {"channel_order": "RGB", "input_size": 112}
    assert head.takes("hash", "cls", made)
    assert not head.takes("other", "cls", made)
    assert not head.takes("hash", "mean", made)
    assert not head.takes("hash", "cls", made | {"orientations": 4})
    assert not head.takes("hash", "cls", made | {"channel_order": "BGR"})
    assert not head.takes("hash", "cls", made | {"input_size": 224})


def test_saved_head__comes_back_whole_whatever_the_order_of_its_numbers(tmp_path: Path) -> None:
    head = replace(small_head(), weights=np.asfortranarray(small_head().weights))
    save_kind_head(tmp_path, head, "a test")
    again = read_kind_head(tmp_path)
    assert again.fingerprint() == head.fingerprint()
    vectors = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    assert again.read(vectors).names == head.read(vectors).names


def test_saved_head__of_two_fits_is_refused(tmp_path: Path) -> None:
    save_kind_head(tmp_path, small_head(), "a test")
    described = json.loads((tmp_path / "cell-kinds.json").read_text())
    (tmp_path / "cell-kinds.json").write_text(json.dumps(described | {"other": 0.5}))
    with pytest.raises(RedDinoError, match="does not belong to"):
        read_kind_head(tmp_path)
    (tmp_path / "cell-kinds.safetensors").write_bytes(b"torn")
    with pytest.raises(RedDinoError, match="cannot be read"):
        read_kind_head(tmp_path)


@pytest.mark.parametrize(
    ("spec", "pooling", "per", "reason"),
    [
        (ViewSpec(kind="image", output=112), "cls", "view", "not cut around cells"),
        (ViewSpec(kind="cells", side=64, unit="px", output=112), "cls", "view", "a side of 64 px"),
        (ViewSpec(kind="cells", side=2, unit="diameters", output=112), "cls", "view", "2 diameters"),
        (ViewSpec(kind="cells", output=112), "cls", "field", "a row is not one view"),
        (ViewSpec(kind="cells", output=112), "tokens", "view", "a row is not one view"),
        (ViewSpec(kind="cells", output=112, mask_centre=1.2), "cls", "view", "masked"),
        (ViewSpec(kind="cells", output=112, stain="macenko"), "cls", "view", "stain is normalised"),
    ],
)
def test_kinds__are_refused_of_other_views(spec: ViewSpec, pooling: str, per: str, reason: str) -> None:
    sides = {"image": {"side": 1.6, "unit": "diameters"}, "cells": {}}[spec.kind]
    if spec.model_fields_set.isdisjoint({"side", "unit"}):
        spec = spec.model_copy(update={"side": 1.6, "unit": "diameters", **sides})
    with pytest.raises(RedDinoError, match=reason):
        require_kind_views(spec, pooling, per)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Synthetic fields of laboratories and patients that the head was not taught, hard parasites in them."""
    folder = tmp_path_factory.mktemp("smears")
    return write_smears(
        folder,
        sources=("random-907-01", "random-907-02", "random-907-03"),
        patients_per_source=2,
        fields_per_patient=1,
        seed=907,
        bystanders=True,
        parasites="hard",
        field_um=70,
    )


@pytest.fixture(scope="module")
def table(drawn: Manifest) -> Embeddings:
    reddino.embed(drawn, DEFAULT_MODEL, drawn.root / "table", kinds=True, runtime="torch", precision="fp32")
    return read_embeddings(drawn.root / "table")


def test_embed__keeps_red_cells_with_parasites_and_remnants(table: Embeddings) -> None:
    labels, kinds = np.array(table.strings("label")), np.array(table.strings("kind"))
    red = ~np.isin(labels, ("white cell", "platelet"))
    assert red.sum() > 60
    assert np.isin(kinds[red], ("red cell", UNKNOWN)).mean() > 0.97
    found = Counter(kinds[labels == "platelet"])
    assert found["platelet"] > 0
    assert ((table.numbers("kind_probability") > 0) & (table.numbers("kind_probability") <= 1)).all()


def test_embed__reads_the_same_kinds_next_to_another_network(
    table: Embeddings, drawn: Manifest, tmp_path: Path
) -> None:
    reddino.embed(drawn, "morphology", tmp_path / "other", kinds=True)
    other = read_embeddings(tmp_path / "other")
    mine, theirs = np.array(table.strings("kind")), np.array(other.strings("kind"))
    # its views are of another size, and brought to that of the head's network
    assert other.strings("path") == table.strings("path")
    assert (mine == theirs).mean() > 0.9


def test_embed__continues_only_with_the_same_kinds(drawn: Manifest, table: Embeddings) -> None:
    assert table.meta["kinds"] == shipped_kind_head().fingerprint()
    with pytest.raises(RedDinoError, match="the kinds of cells"):
        reddino.embed(drawn, DEFAULT_MODEL, drawn.root / "table", runtime="torch", precision="fp32")


def test_embed__without_the_option_has_no_such_columns(drawn: Manifest, tmp_path: Path) -> None:
    few = drawn.select(np.arange(5))
    reddino.embed(few, "morphology", tmp_path / "plain")
    part = pq.read_table(next((tmp_path / "plain").glob("*.parquet")))
    assert not {"kind", "kind_probability"} & set(part.column_names)
    assert "kinds" not in read_embeddings(tmp_path / "plain").meta


def test_with_kinds__takes_the_place_of_older_columns(table: Embeddings) -> None:
    few = table.select(np.arange(3))
    changed = with_kinds(few, small_head().decide(np.eye(5)[[0, 3, 4]]))
    assert changed.strings("kind") == [KINDS[0], KINDS[3], KINDS[4]]
    assert changed.table.column_names == few.table.column_names


@pytest.mark.smears
def test_embed__takes_the_pointer_of_a_microscope_for_an_artefact(smears: Path, tmp_path: Path) -> None:
    """It reaches into these fields from below, right of the middle, and the finder cuts it into pieces."""
    fields = [smears / f"chula_diseases/images/HS/{name}.JPG" for name in (5, 7)]
    reddino.embed(
        fields, DEFAULT_MODEL, tmp_path / "t", find_cells=True, kinds=True, runtime="torch", precision="fp32"
    )
    table = read_embeddings(tmp_path / "t")
    kinds = np.array(table.strings("kind"))
    long = table.numbers("h") > 1.4 * table.numbers("w")
    pointer = long & (table.numbers("x") > 500) & (table.numbers("y") > 220) & (table.numbers("h") > 45)
    assert (kinds[pointer] == "artefact").sum() >= 4
    assert np.isin(kinds, ("red cell", UNKNOWN)).mean() > 0.9
