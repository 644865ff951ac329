"""`reddino.load`, and the scikit-learn step that is built on it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from small_models import SIZE, small_encoder, small_folder, squares

import reddino
from reddino import EmbeddingTransformer
from reddino.embedding import open_encoder
from reddino.embedding.runtimes.check import synthetic_cells
from reddino.foundations.errors import RedDinoError
from reddino.networks.folder import CARD, WEIGHTS, save_model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("model"))


def test_load__gives_an_encoder_of_images_of_any_kind(folder: Path, tmp_path: Path) -> None:
    encoder = reddino.load(folder, precision="fp32")
    Image.fromarray(squares(1)[0]).save(tmp_path / "cell.png")
    mixed = [squares(1)[0], tmp_path / "cell.png", str(tmp_path / "cell.png"), synthetic_cells(1, 70)[0]]
    vectors = encoder.embed(mixed)
    assert vectors.shape == (4, encoder.dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[1], vectors[0], atol=1e-5)
    np.testing.assert_allclose(vectors[2], vectors[0], atol=1e-5)
    np.testing.assert_allclose(vectors[:1], small_encoder().embed(squares(1)), atol=1e-5)


@pytest.mark.parametrize("runtime", ["auto", "onnx"])
def test_load__in_another_runtime_gives_the_same_vectors(folder: Path, runtime: str) -> None:
    pytest.importorskip("onnxruntime")
    encoder = reddino.load(folder, runtime=runtime, precision="fp32")
    wanted = small_encoder().embed(squares(6))
    np.testing.assert_allclose(encoder.embed(squares(6)), wanted, atol=2e-4 * np.abs(wanted).max())
    assert encoder.choice is not None and encoder.choice["chosen"]
    assert bool(encoder.choice["measured"]) == (runtime == "auto")


@pytest.mark.parametrize("keeps", [True, False])
def test_load__takes_bf16_only_where_the_vectors_keep(
    folder: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    monkeypatch.setattr(open_encoder, "bf16_is_fast", lambda device: True)
    monkeypatch.setattr("reddino.embedding.runtimes.check.FAITHFUL", 0.0 if keeps else 1.1)
    assert reddino.load(folder).engine.precision == ("bf16" if keeps else "fp32")
    assert reddino.load(folder, precision="fp32").engine.precision == "fp32"


def test_load__refuses_unknown_options(folder: Path) -> None:
    with pytest.raises(RedDinoError, match="precision 'fp8' is not known"):
        reddino.load(folder, precision="fp8")
    with pytest.raises(RedDinoError, match="runtime 'jax' is not known"):
        reddino.load(folder, runtime="jax")


def test_transformer__embeds(folder: Path) -> None:
    made = EmbeddingTransformer(str(folder), pooling="cls+mean", batch_size=3, precision="fp32")
    found = made.fit_transform(list(squares(7)))
    np.testing.assert_allclose(found, small_encoder().embed(squares(7), "cls+mean"), atol=1e-5)
    assert len(made.get_feature_names_out()) == found.shape[1]
    assert list(made.get_feature_names_out())[:2] == ["embeddingtransformer0", "embeddingtransformer1"]
    frame = made.set_output(transform="pandas").transform(squares(2))
    assert frame.shape == (2, found.shape[1])


def test_transformer__works_in_a_pipeline_and_a_grid(folder: Path) -> None:
    dark, pale = squares(12) // 3, squares(12) // 3 + 160
    images = [*dark, *pale]
    labels = np.repeat([0, 1], 12)
    pipeline = make_pipeline(EmbeddingTransformer(str(folder)), LogisticRegression(max_iter=200))
    search = GridSearchCV(pipeline, {"embeddingtransformer__pooling": ["cls", "mean"]}, cv=2)
    search.fit(images, labels)
    assert search.best_score_ == 1.0
    assert (search.predict(images) == labels).all()


def test_transformer__is_cloned_by_its_parameters(folder: Path) -> None:
    made = EmbeddingTransformer(str(folder), pooling="mean", image_size=70).fit(squares(1))
    copy = clone(made)
    assert copy.get_params() == made.get_params() and not hasattr(copy, "weights_hash_")
    with pytest.raises(NotFittedError):
        copy.transform(squares(1))
    assert "pooling='mean'" in repr(made)


def test_transformer__is_pickled_without_the_network(tmp_path: Path) -> None:
    small_folder(tmp_path / "m")
    made = EmbeddingTransformer(str(tmp_path / "m")).fit(squares(1))
    stored = pickle.dumps(made)
    assert len(stored) < 10_000 < (tmp_path / "m" / WEIGHTS).stat().st_size
    np.testing.assert_allclose(pickle.loads(stored).transform(squares(2)), made.transform(squares(2)))
    other = small_encoder(seed=9)
    (tmp_path / "m" / CARD).unlink()
    save_model_folder(tmp_path / "m", other.backbone, other.card)
    with pytest.raises(RedDinoError, match="are not those that this transformer was fitted with"):
        pickle.loads(stored).transform(squares(2))


@pytest.mark.parametrize(
    "name",
    [
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_estimator_repr",
        "check_estimator_cloneable",
    ],
)
def test_transformer__passes_scikit_learns_checks_of_the_interface(name: str, folder: Path) -> None:
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this scikit-learn has no {name}")
    check("EmbeddingTransformer", EmbeddingTransformer(str(folder)))


def test_transformer__refuses_what_it_cannot_embed(folder: Path) -> None:
    with pytest.raises(RedDinoError, match="no images to fit on"):
        EmbeddingTransformer(str(folder)).fit([])
    with pytest.raises(RedDinoError, match="pooling 'max' is not known"):
        EmbeddingTransformer(str(folder), pooling="max").fit(squares(1))
    assert EmbeddingTransformer(str(folder)).fit(squares(1)).transform([]).shape == (0, small_encoder().dim)
    assert squares(1).shape[1] == SIZE
