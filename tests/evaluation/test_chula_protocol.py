"""The whole way on real smears: manifest, views, table, folds, scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reddino.embedding.baselines import ColourHistogram
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.table import read_embeddings
from reddino.evaluation.class_map import ClassMap
from reddino.evaluation.protocol import evaluate_table
from reddino.evaluation.question import Question
from reddino.evaluation.results import CHANCE
from reddino.smears.manifest import read_manifest, with_groups
from reddino.views.spec import ViewSpec

FIELDS = 150


@pytest.mark.smears
def test_colours_of_chula__beat_chance_and_ungrouped_folds_flatter_them(smears: Path, tmp_path: Path) -> None:
    folder = smears / "chula_rbc12"
    manifest = with_groups(read_manifest(folder / "manifest.csv"), folder / "same_field_groups.csv")
    labelled = np.array(manifest.strings("label")) != ""
    manifest = manifest.select(labelled & (manifest.images()[1] < FIELDS))
    encoder = ColourHistogram(64)
    report = embed_manifest(manifest, encoder, tmp_path / "t", view=ViewSpec(side=64, output=64))
    assert (report.rows, report.failed) == (len(manifest), 0)

    emb = read_embeddings(tmp_path / "t")
    kept = [
        name
        for name in set(emb.strings("label"))
        if name in ("normal", "target", "spherocyte", "stomatocyte")
    ]
    drop = ClassMap(drop=tuple(name for name in set(emb.strings("label")) if name not in kept))
    grouped = evaluate_table(emb, Question(classes=drop))
    ungrouped = evaluate_table(emb, Question(classes=drop, protocol="kfold"))
    assert grouped.classes == ungrouped.classes == tuple(sorted(kept))
    assert grouped.groups > 50
    for classifier in ("probe", "1-NN", "20-NN"):
        assert grouped.mean(classifier).macro_f1 > grouped.mean(CHANCE).macro_f1 + 0.1
    assert ungrouped.mean("1-NN").macro_f1 > grouped.mean("1-NN").macro_f1 + 0.01
