"""Folders of synthetic smears: what is on disk, and that no shortcut solves the shape task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest
from reddino.synthetic.morphologies import MORPHOLOGIES
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.write import write_smears


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write_small(folder: Path, **changes: Any) -> Manifest:
    settings: dict[str, Any] = {
        "sources": ["phone", "cream"],
        "patients_per_source": 2,
        "fields_per_patient": 2,
        "field_um": 30.0,
    }
    return write_smears(folder, **{**settings, **changes})


def test_write_smears__same_seed_same_bytes_and_no_leftovers(tmp_path: Path) -> None:
    write_small(tmp_path / "a")
    write_small(tmp_path / "b")
    write_small(tmp_path / "c", seed=1)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() != c.keys()
    assert len(a) == 8 + 2
    assert {Path(name).suffix for name in a} == {".jpg", ".png", ".csv", ".json"}
    assert json.loads(a["synthetic.json"])["seed"] == 0


def test_write_smears__manifest_describes_the_pictures(tmp_path: Path) -> None:
    manifest = write_small(tmp_path, slides_per_patient=2)
    assert set(manifest.strings("label")) <= set(MORPHOLOGIES)
    sources = manifest.strings("source")
    assert manifest.numbers("cell_diameter").tolist() == [
        SOURCES[s.removeprefix("drawn-")].cell_px for s in sources
    ]
    corners = np.stack([manifest.numbers(k) for k in "xywh"], axis=1)
    for path in set(manifest.paths()):
        rows = np.array([p == path for p in manifest.paths()])
        height, width = decode_image(path).shape[:2]
        assert (corners[rows, 0] + corners[rows, 2] <= width + 0.01).all()
        assert (corners[rows, 1] + corners[rows, 3] <= height + 0.01).all()
    patients = list(zip(sources, manifest.strings("patient"), strict=True))
    assert len(set(patients)) == len({p for _, p in patients}) == 4
    assert len(set(manifest.strings("slide"))) == 8
    assert set(manifest.strings("group")) == {""}


def test_write_smears__every_source_shows_the_same_cells(tmp_path: Path) -> None:
    manifest = write_small(tmp_path, every_source=True)
    rows = list(zip(*(manifest.strings(n) for n in ("source", "cell", "label", "group")), strict=True))
    phone = sorted(row[1:] for row in rows if row[0] == "drawn-phone")
    cream = sorted(row[1:] for row in rows if row[0] == "drawn-cream")
    assert phone == cream
    assert len(phone) == len(rows) // 2 == len(set(phone))
    assert manifest.strings("group") == manifest.strings("scene")


def test_write_smears__bystanders_are_rows_only_on_request(tmp_path: Path) -> None:
    with_them = write_small(tmp_path, bystanders=True, field_um=60.0)
    assert {"platelet", "white cell"} & set(with_them.strings("label"))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"sources": ["phone", "moon"]}, "moon"),
        ({"sources": []}, "at least one source"),
        ({"fields_per_patient": 0}, "fields_per_patient"),
        ({"seed": -1}, "seed"),
        ({"field_um": 0.0}, "field_um"),
    ],
)
def test_write_smears__refuses_bad_settings_before_writing(
    tmp_path: Path, changes: dict[str, object], word: str
) -> None:
    with pytest.raises(RedDinoError, match=word):
        write_small(tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


def test_write_smears__refuses_a_folder_that_holds_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path\n")
    with pytest.raises(RedDinoError, match=r"manifest\.csv"):
        write_small(tmp_path)


@pytest.fixture(scope="module")
def one_laboratory(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Many patients of one laboratory: the easiest case for colour, which need not bridge stains."""
    folder = tmp_path_factory.mktemp("laboratory")
    return write_smears(folder, sources=["phone"], patients_per_source=36, fields_per_patient=1)


def macro_f1(features: NDArray[np.float64], manifest: Manifest) -> float:
    """20-NN macro F1 on patients that were held out, with every class weighing the same in training."""
    labels, patients = np.array(manifest.strings("label")), np.array(manifest.strings("patient"))
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    predicted = np.empty_like(labels)
    for train, test in GroupKFold(3).split(features, labels, patients):
        rng = np.random.default_rng(0)
        even = [rng.choice(train[labels[train] == name], 40) for name in MORPHOLOGIES]
        chosen = np.concatenate(even)
        model = KNeighborsClassifier(20).fit(features[chosen], labels[chosen])
        predicted[test] = model.predict(features[test])
    return float(f1_score(labels, predicted, average="macro"))


def test_write_smears__a_colour_histogram_does_not_solve_the_shapes(one_laboratory: Manifest) -> None:
    paths, centres = one_laboratory.paths(), one_laboratory.centres()
    side = round(1.6 * SOURCES["phone"].cell_px)
    pictures = {path: decode_image(path) for path in set(paths)}
    rows = []
    for path, centre in zip(paths, centres, strict=True):
        square = cv2.getRectSubPix(pictures[path], (side, side), tuple(centre.astype(float)))
        rows.append(np.concatenate([np.histogram(square[..., c], 16, (0, 256))[0] for c in range(3)]))
    assert macro_f1(np.array(rows, dtype=float), one_laboratory) < 0.3


def test_write_smears__cell_size_does_not_solve_the_shapes(one_laboratory: Manifest) -> None:
    size = np.array([float(d) for d in one_laboratory.strings("diameter_um")])[:, None]
    assert macro_f1(size, one_laboratory) < 0.3


def test_write_smears__shape_predicts_more_than_size(one_laboratory: Manifest) -> None:
    # the bounds above mean something only if the same score can be high: box shape and size lift it at once
    box = np.stack([one_laboratory.numbers("w"), one_laboratory.numbers("h")], axis=1)
    size = np.array([float(d) for d in one_laboratory.strings("diameter_um")])[:, None]
    assert macro_f1(np.hstack([size, box]), one_laboratory) > 1.25 * macro_f1(size, one_laboratory)
