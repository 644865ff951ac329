"""The online score: which cells take part, what it says, and that it is the plain 20-NN."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

from reddino.embedding.baselines import ColourHistogram
from reddino.evaluation.online import OnlineNeighbours
from reddino.evaluation.splits import grouped_folds
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.write import write_smears
from reddino.views.by_image import ViewsByImage
from reddino.views.spec import ViewSpec

CELLS = ViewSpec(kind="cells", side=1.6, unit="diameters", output=28)
COLOURS = ColourHistogram(28)
PICTURES = ViewSpec(kind="image", output=28)


def patches(folder: Path, labels: list[str], slides: list[str]) -> Manifest:
    """Small pictures whose colour tells their label: a, b, c, ... from dark to light."""
    rng = np.random.default_rng(0)
    for i, label in enumerate(labels):
        level = 30 + 60 * "abcd".index(label)
        picture = np.clip(level + rng.normal(0, 3, (32, 32, 3)), 0, 255).astype(np.uint8)
        assert cv2.imwrite(str(folder / f"{i}.png"), picture)
    columns = {"path": [f"{i}.png" for i in range(len(labels))], "label": labels, "slide": slides}
    return Manifest(pa.table(columns), folder)


def test_online__perfect_where_colour_tells_the_class(tmp_path: Path) -> None:
    labels = ["a", "b"] * 60
    manifest = patches(tmp_path, labels, [f"s{i // 2 % 6}" for i in range(120)])
    scores = OnlineNeighbours.of(manifest, PICTURES)(ColourHistogram(28))
    assert scores == dict.fromkeys(scores, 1.0)
    assert "online_knn_macro_f1" in scores


def test_online__leaves_out_and_names_classes_of_one_slide(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command line, which other tests run, keeps the package's lines from the root logger.
    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)
    labels = ["a", "b"] * 60 + ["c"] * 5
    slides = [f"s{i // 2 % 6}" for i in range(120)] + ["s0"] * 5
    online = OnlineNeighbours.of(patches(tmp_path, labels, slides), PICTURES)
    assert online.cells == 120
    assert "c" in caplog.text


def test_online__needs_more_cells_than_neighbours(tmp_path: Path) -> None:
    manifest = patches(tmp_path, ["a", "b"] * 10, [f"s{i}" for i in range(20)])
    with pytest.raises(RedDinoError, match="more than 20 labelled cells"):
        OnlineNeighbours.of(manifest, PICTURES)


def test_online__says_why_no_cell_could_be_cut(tmp_path: Path) -> None:
    manifest = patches(tmp_path, ["a", "b"] * 15, [f"s{i}" for i in range(30)])
    for file in tmp_path.glob("*.png"):
        file.write_bytes(b"not a picture")
    with pytest.raises(RedDinoError, match="no cell to score"):
        OnlineNeighbours.of(manifest, PICTURES)


@pytest.fixture(scope="module")
def smears(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Eight patients of two laboratories, 589 cells; all 'ring-stage parasite' are one patient's."""
    return write_smears(
        tmp_path_factory.mktemp("online") / "smears",
        sources=list(SOURCES)[:2],
        patients_per_source=4,
        fields_per_patient=2,
        field_um=80.0,
    )


@pytest.fixture(scope="module")
def diseased(smears: Manifest) -> Manifest:
    """Shapes that are about equally common and live in several patients each."""
    shapes = ["teardrop", "schistocyte", "ovalocyte", "burr", "stomatocyte", "sickle", "target"]
    return smears.select(np.isin(smears.strings("label"), shapes))


def test_online__is_the_plain_20_nn_over_folds_of_patients(diseased: Manifest) -> None:
    manifest, patients = diseased, diseased.strings("patient")
    found = OnlineNeighbours.of(manifest, CELLS, groups=patients, folds=2)(COLOURS)

    views = ViewsByImage(manifest, CELLS)
    opened = [views.open(number) for number in range(len(views))]
    row = np.concatenate([image.squares["row"] for image in opened])
    pixels = np.concatenate([image.cut(0, len(image.squares), CELLS.output) for image in opened])
    vectors = COLOURS.embed(pixels, "cls")
    labels = [manifest.strings("label")[i] for i in row]
    truth = np.array(labels)
    scores = []
    for train, test in grouped_folds(labels, [patients[i] for i in row], 2, 0):
        model = KNeighborsClassifier(20, algorithm="brute").fit(vectors[train], truth[train])
        scores.append(
            f1_score(
                truth[test], model.predict(vectors[test]), average="macro", labels=np.unique(truth[test])
            )
        )
    assert found["online_knn_macro_f1"] == pytest.approx(np.mean(scores), abs=1e-9)
    assert set(found) == {f"online_knn_{name}" for name in
                          ("weighted_f1", "balanced_accuracy", "accuracy", "macro_f1")}  # fmt: skip


def test_online__survives_classes_that_live_in_one_patient(smears: Manifest) -> None:
    labels, patients = np.array(smears.strings("label")), np.array(smears.strings("patient"))
    homes = {name: len(set(patients[labels == name])) for name in set(labels)}
    lonely = [name for name, count in homes.items() if count == 1]
    assert lonely == ["ring-stage parasite"]
    online = OnlineNeighbours.of(smears, CELLS, groups=patients.tolist())
    assert online.cells == int((~np.isin(labels, lonely)).sum())
    assert all(0 <= value <= 1 for value in online(COLOURS).values())


def test_online__is_the_same_each_time_and_takes_at_most_so_many(diseased: Manifest) -> None:
    manifest, patients = diseased, diseased.strings("patient")
    online = OnlineNeighbours.of(manifest, CELLS, groups=patients, most=100)
    assert online.cells <= 100
    again = OnlineNeighbours.of(manifest, CELLS, groups=patients, most=100)
    assert online(COLOURS) == online(COLOURS) == again(COLOURS)
    other = OnlineNeighbours.of(manifest, CELLS, groups=patients, most=100, seed=1)
    assert other(COLOURS) != online(COLOURS)


def test_online__refuses_a_single_patient(smears: Manifest) -> None:
    with pytest.raises(RedDinoError, match=r"classes that live in two groups .* has 0$"):
        OnlineNeighbours.of(smears, CELLS, groups=["one"] * len(smears))


def test_online__refuses_vectors_that_are_not_finite(tmp_path: Path) -> None:
    class Diverged(ColourHistogram):
        def embed(self, images: np.ndarray, pooling: str = "cls", /) -> np.ndarray:
            vectors = super().embed(images, pooling)
            vectors[0, 0] = np.nan
            return vectors

    manifest = patches(tmp_path, ["a", "b"] * 60, [f"s{i // 2 % 6}" for i in range(120)])
    with pytest.raises(RedDinoError, match="2 of 120 vectors of the teacher are not finite"):
        OnlineNeighbours.of(manifest, PICTURES)(Diverged(28))
