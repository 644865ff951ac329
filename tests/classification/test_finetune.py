"""Fine-tuning: the loss falls, the same seed gives the same bits, and lower layers learn more slowly."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled_smears import draw_fields

import reddino
from reddino.classification.class_weights import class_weights
from reddino.classification.classifier import Classifier, open_classifier
from reddino.classification.finetune import (
    TuneSettings,
    _Job,
    _Tuned,
    parameter_groups,
    rate_at,
)
from reddino.classification.turned_views import augmented
from reddino.embedding.open_encoder import open_encoder
from reddino.foundations.errors import RedDinoError
from reddino.networks.encoder import Encoder, open_model

OPTIONS = {"epochs": 10, "lr": 3e-4, "batch_size": 16, "patience": 10, "layer_decay": 0.9}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model folder with a ViT of two narrow blocks."""
    from reddino.networks.create_backbone import initialise
    from reddino.networks.folder import ModelCard, save_model_folder

    card = ModelCard(backbone="vit_tiny_patch14", image_size=28, depth=2, layer_scale=1.0)
    backbone = card.create()
    initialise(backbone, 0)
    folder = tmp_path_factory.mktemp("network") / "model"
    save_model_folder(folder, backbone, card)
    return str(folder)


def tuned(network: str, folder: Path, out: str, **options: Any) -> Classifier:
    torch.set_num_threads(1)
    smears = draw_fields(folder / "smears", fields=12)
    return reddino.fit(
        smears, folder / out, model=network, fine_tune=True, device="cpu", **{**OPTIONS, **options}
    )


@pytest.fixture(scope="module")
def made(network: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Classifier]:
    folder = tmp_path_factory.mktemp("tuned")
    return folder, tuned(network, folder, "first")


def test_fine_tune__lowers_both_losses(made: tuple[Path, Classifier]) -> None:
    epochs = made[1].report["epochs"]
    assert epochs[-1]["train_loss"] < 0.8 * epochs[0]["train_loss"]
    assert min(epoch["validation_loss"] for epoch in epochs) < 0.9 * np.log(3)
    assert made[1].report["scores"]["macro_f1"] > 0.6


def test_fine_tune__is_the_same_to_the_bit_with_the_same_seed(
    made: tuple[Path, Classifier], network: str
) -> None:
    folder = made[0]
    first, again = (tuned(network, folder, out, epochs=2) for out in ("short", "again"))
    assert again.weights_hash == first.weights_hash
    assert again.head.fingerprint() == first.head.fingerprint()
    assert again.report == first.report
    assert tuned(network, folder, "other", seed=1, epochs=1).weights_hash != first.weights_hash


def test_fine_tune__leaves_a_model_folder_that_its_classifier_fits(made: tuple[Path, Classifier]) -> None:
    folder, first = made
    opened = open_classifier(folder / "first")
    inner = open_model(str(folder / "first" / "model"))
    assert inner.weights_hash == opened.weights_hash == first.weights_hash
    assert inner.card.training["start"] != first.weights_hash
    assert not list((folder / "first").glob(".views-*"))
    found = reddino.predict(folder / "first", draw_fields(folder / "new", fields=5), device="cpu")
    agreed = np.mean(
        [
            a == b
            for a, b in zip(found.rows().column("predicted").to_pylist(), found.strings("label"), strict=True)
        ]
    )
    assert agreed > 0.6


def test_fine_tune__stops_early_and_keeps_the_best_epoch(network: str, tmp_path: Path) -> None:
    # So high a rate that it cannot settle: patience ends it before the planned epochs.
    made = tuned(network, tmp_path, "c", epochs=12, patience=1, lr=0.05)
    losses = [epoch["validation_loss"] for epoch in made.report["epochs"]]
    assert len(losses) < 12
    assert losses[-1] >= min(losses)


def test_fine_tune__refuses_what_has_no_weights_and_odd_settings(network: str, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "smears")
    with pytest.raises(RedDinoError, match="has no weights to tune"):
        reddino.fit(smears, tmp_path / "c", model="colour-histogram", fine_tune=True)
    with pytest.raises(RedDinoError, match="fine-tuned in one orientation: leave 'turned:' out"):
        reddino.fit(smears, tmp_path / "c", model=f"turned:{network}", fine_tune=True)
    with pytest.raises(RedDinoError, match="epochs"):
        tuned(network, tmp_path, "c", epochs=0)
    with pytest.raises(RedDinoError, match="only fine-tuning takes epochs"):
        reddino.fit(smears, tmp_path / "c", model=network, epochs=3)


def test_parameter_groups__hold_every_parameter_once_and_slow_down_towards_the_input(network: str) -> None:
    for name in (network, "untrained:efficientnet_lite0"):
        encoder = open_encoder(name, device="cpu")
        assert isinstance(encoder, Encoder)
        whole = _Tuned(encoder, "cls", encoder.dim, 3)
        groups = parameter_groups(whole, TuneSettings(layer_decay=0.5))
        listed = [id(parameter) for group in groups for parameter in group["params"]]
        assert len(set(listed)) == len(listed)
        trained = {n: p for n, p in whole.named_parameters() if not n.endswith("mask_token")}
        assert set(listed) == {id(parameter) for parameter in trained.values()}
        scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
        first = scale[id(next(iter(p for n, p in trained.items() if "patch_embed" in n or "conv_stem" in n)))]
        assert first < 0.3 < scale[id(whole.head.weight)] == 1.0


def test_fine_tune__leaves_batch_norm_statistics_alone() -> None:
    encoder = open_encoder("untrained:efficientnet_lite0", image_size=32, device="cpu")
    assert isinstance(encoder, Encoder)
    whole = _Tuned(encoder, "cls", encoder.dim, 3)
    before = {name: value.clone() for name, value in whole.named_buffers()}
    whole.learn()
    assert whole.training
    whole(torch.randn(4, 3, 32, 32))
    assert before
    assert all(torch.equal(value, before[name]) for name, value in whole.named_buffers())


def test_class_weights__make_every_class_count_alike() -> None:
    truth = np.array([0] * 6 + [1] * 3 + [3])
    weights = class_weights(truth, 4)
    assert weights[truth].mean() == pytest.approx(1)
    assert [weights[truth][truth == i].sum() for i in (0, 1, 3)] == pytest.approx([10 / 3] * 3)
    assert weights[2] == 1


def test_rate_at__rises_then_falls_to_nought() -> None:
    settings = TuneSettings(lr=1.0, warmup=0.2)
    rates = [rate_at(step, 50, settings) for step in range(50)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01


def test_augmented__turns_and_flips_without_losing_a_pixel() -> None:
    images = np.random.default_rng(0).integers(40, 200, (64, 8, 8, 3), dtype=np.uint8)
    changed = augmented(images, np.random.default_rng(1))
    assert changed.shape == images.shape
    means = images.mean(axis=(1, 2)), changed.mean(axis=(1, 2))
    ratio = means[1] / means[0]
    assert ratio.min() > 0.89
    assert ratio.max() < 1.11
    ranks = [np.sort(np.argsort(np.argsort(one.mean(axis=2).ravel()))) for one in changed]
    assert len({tuple(rank) for rank in ranks}) == 1
    corners = (changed[:, 0, 0].mean(axis=1) - images[:, 0, 0].mean(axis=1)) / images[:, 0, 0].mean(axis=1)
    assert 0.5 < (np.abs(corners) > 0.11).mean() < 1


def test_predict__finds_a_moved_network_that_was_turned(network: str, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "smears", fields=6)
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(network, here)
    fitted = reddino.fit(smears, tmp_path / "c", model=f"turned:{here}", device="cpu", folds=2)
    assert fitted.preprocessing["orientations"] == 4
    first = reddino.predict(tmp_path / "c", smears, device="cpu")
    here.rename(there)
    again = reddino.predict(tmp_path / "c", smears, model=str(there), device="cpu")
    np.testing.assert_array_equal(first.probabilities, again.probabilities)


def test_fine_tune__that_diverges_leaves_no_classifier(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _Job._step

    def breaking(self: _Job, rows: np.ndarray, rate: float) -> float:
        loss = plain(self, rows, rate)
        with torch.no_grad():  # as a last step does whose rate is too high
            self.network.head.weight.fill_(float("nan"))
        return loss

    monkeypatch.setattr(_Job, "_step", breaking)
    with pytest.raises(RedDinoError, match="its loss is no longer a number: give a lower --lr"):
        tuned(network, tmp_path, "c", epochs=1, batch_size=1024)
    assert not (tmp_path / "c" / "classifier.json").exists()


@pytest.mark.parametrize("wrong", [float("inf"), float("nan")])
def test_fine_tune__refuses_settings_that_are_not_finite(wrong: float) -> None:
    with pytest.raises(ValueError, match="lr"):
        TuneSettings(lr=wrong)
