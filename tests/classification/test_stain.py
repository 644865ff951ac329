"""Stain normalisation in classifiers: what was learned in one stain is predicted and compared in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from dyed_pictures import dyed

import reddino
from reddino.api.review import _tune_options
from reddino.classification.looks import SIDE, look_at
from reddino.classification.predicted_kinds import kinds_of_vectors
from reddino.embedding.kinds import KindReader
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest
from reddino.views.cutting import cut_square
from reddino.views.spec import ViewSpec
from reddino.views.stain_normaliser import normalise_stain


@pytest.fixture(scope="module")
def dyed_smears(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Eight cells in each of eight pictures of two laboratories, and a table of them in one stain."""
    folder = tmp_path_factory.mktemp("dyed")
    rows = []
    for lab, image in {"one": dyed(), "two": dyed((245, 225, 215), strength=0.7)}.items():
        (folder / lab).mkdir()
        for number in range(4):
            cv2.imwrite(str(folder / lab / f"{number}.png"), np.roll(image, 37 * number, axis=1)[..., ::-1])
            for place, label in enumerate(("round", "long") * 4):
                at = {"x": 25.0 + 25 * place, "y": 40.0 + 20 * place, "cell_diameter": 26.0}
                rows.append({"path": f"{lab}/{number}.png", "source": lab, "label": label, **at})
    manifest = Manifest(pa.table({key: [row[key] for row in rows] for key in rows[0]}), folder)
    reddino.embed(manifest, "colour-histogram", folder / "table", stain="reinhard", image_size=32)
    return manifest


def test_classifier__predicts_in_the_stain_that_it_learned_on(dyed_smears: Manifest, tmp_path: Path) -> None:
    manifest, table = dyed_smears, dyed_smears.root / "table"
    made = reddino.fit(
        manifest, tmp_path / "c", model="colour-histogram", image_size=32, stain="reinhard", folds=2
    )
    assert made.view.stain == "reinhard"
    on_smears = reddino.predict(tmp_path / "c", manifest, kinds=False)
    on_table = reddino.predict(tmp_path / "c", table, kinds=False)
    assert on_smears.probabilities == pytest.approx(on_table.probabilities)
    reddino.embed(manifest, "colour-histogram", tmp_path / "plain", image_size=32)
    with pytest.raises(RedDinoError, match="stain"):
        reddino.predict(tmp_path / "c", tmp_path / "plain", kinds=False)
    with pytest.raises(RedDinoError, match="stain would do nothing"):
        reddino.fit(table, tmp_path / "d", stain="macenko")


def test_looks__are_those_that_the_network_sees(dyed_smears: Manifest) -> None:
    emb = read_embeddings(dyed_smears.root / "table")
    view = ViewSpec(**emb.meta["view"])
    found = look_at(emb.table, dyed_smears.root, view, emb.strings("source"), pictures=1, cells=1)
    row = int(found.rows[0])
    x, y, side = (emb.numbers(name)[row] for name in ("view_x", "view_y", "view_side"))
    image = decode_image(dyed_smears.root / emb.strings("path")[row])
    seen = normalise_stain(image, "reinhard")
    assert not isinstance(seen, str)
    assert np.array_equal(found.views[0], cut_square(seen, x, y, side, SIDE))


def test_kinds__are_not_read_from_vectors_of_another_stain(
    dyed_smears: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    emb = read_embeddings(dyed_smears.root / "table")
    reader = KindReader("cpu")
    monkeypatch.setattr(type(reader.head), "takes", lambda *_: True)
    assert kinds_of_vectors(emb, reader) is None


def test_tuning_from_a_review__sees_the_stain_of_its_table(dyed_smears: Manifest) -> None:
    emb = read_embeddings(dyed_smears.root / "table")
    assert "--stain reinhard" in " ".join(_tune_options(emb, None, None, (), False))
