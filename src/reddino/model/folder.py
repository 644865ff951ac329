"""Model folders: timm's hub format, and `reddino.json`, which says where the weights come from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from reddino import __version__
from reddino.atomic import atomic_path, write_text
from reddino.errors import RedDinoError
from reddino.model.backbone import PATCH14, Backbone, ViTBackbone, create_backbone
from reddino.model.position import RESAMPLING
from reddino.model.weights import backbone_tensors, hash_weights, load_strictly, read_tensors

CONFIG, WEIGHTS, CARD, HEADS = "config.json", "model.safetensors", "reddino.json", "heads.safetensors"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ModelCard:
    """What `reddino.json` holds.

    Attributes:
        backbone: name as given to `create_backbone`.
        image_size: pixels of the square input whose grid the position embedding has.
        depth: ViT blocks, where another than the architecture's own.
        layer_scale: LayerScale's starting value; None where the architecture's own.
        mean, std: normalisation of RGB in 0..1.
        channel_order: RGB, or BGR for weights that were trained on swapped channels.
        training: recipe, data fingerprint, samples seen, seed and command of the run; empty for foreign
            weights.
    """

    backbone: str
    image_size: int
    depth: int | None = None
    layer_scale: float | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    channel_order: str = "RGB"
    position_resampling: str = RESAMPLING
    version: str = __version__
    weights_hash: str = ""
    training: dict[str, Any] = field(default_factory=dict)

    def create(self, image_size: int | None = None) -> Backbone:
        """Build the untrained backbone that the card describes."""
        return create_backbone(
            self.backbone,
            image_size=image_size or self.image_size,
            depth=self.depth,
            layer_scale=self.layer_scale,
        )


def save_model_folder(
    folder: Path, backbone: Backbone, card: ModelCard, heads: dict[str, Tensor] | None = None
) -> ModelCard:
    """Write `backbone` and `card` to `folder`, each file whole; returns the card with the weights' hash.

    Args:
        heads: projection heads and mask token, kept beside the backbone for continued pretraining.
    """
    card = ModelCard(**{**vars(card), "weights_hash": hash_weights(backbone)})
    with atomic_path(folder / WEIGHTS) as partial:
        save_file(backbone_tensors(backbone), partial, metadata={"format": "pt"})
    if heads is not None:
        with atomic_path(folder / HEADS) as partial:
            save_file({name: value.detach().cpu().contiguous() for name, value in heads.items()}, partial)
    write_text(folder / CONFIG, json.dumps(_timm_config(backbone, card), indent=2) + "\n")
    write_text(folder / CARD, json.dumps(vars(card), indent=2) + "\n")
    return card


def _timm_config(backbone: Backbone, card: ModelCard) -> dict[str, Any]:
    architecture, arguments = PATCH14.get(card.backbone, (card.backbone, {}))
    arguments = dict(arguments)
    is_vit = isinstance(backbone, ViTBackbone)
    if is_vit:
        optional = {"img_size": card.image_size, "depth": card.depth, "init_values": card.layer_scale}
        arguments |= {key: value for key, value in optional.items() if value is not None}
    pretrained = {
        "input_size": [3, card.image_size, card.image_size],
        "fixed_input_size": is_vit,
        "mean": list(card.mean),
        "std": list(card.std),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "num_classes": 0,
    }
    return {
        "architecture": architecture.split(".")[0],
        "num_classes": 0,
        "num_features": backbone.dim,
        **({"global_pool": "token"} if is_vit else {}),
        "model_args": arguments,
        "pretrained_cfg": pretrained,
    }


def read_card(folder: Path) -> ModelCard:
    """Read `reddino.json`, or make a card from timm's `config.json` alone (a folder from the hub).

    Raises:
        RedDinoError: the folder holds neither, or one that cannot be understood.
    """
    if (folder / CARD).is_file():
        content = _read_json(folder / CARD)
        try:
            return ModelCard(**{**content, "mean": tuple(content["mean"]), "std": tuple(content["std"])})
        except (TypeError, KeyError) as error:
            raise RedDinoError(f"{folder / CARD} does not fit RedDino {__version__}: {error}") from error
    if not (folder / CONFIG).is_file():
        raise RedDinoError(f"{folder} is no model folder: it holds neither {CARD} nor {CONFIG}")
    config = _read_json(folder / CONFIG)
    pretrained = config.get("pretrained_cfg", {})
    arguments = config.get("model_args", {})
    name = config.get("architecture", "")
    if (name, arguments.get("patch_size")) == ("vit_tiny_patch16_224", 14):
        name = "vit_tiny_patch14"
    return ModelCard(
        backbone=name,
        image_size=int(pretrained.get("input_size", [3, 224, 224])[-1]),
        depth=arguments.get("depth"),
        layer_scale=arguments.get("init_values"),
        mean=tuple(pretrained.get("mean", IMAGENET_MEAN)),
        std=tuple(pretrained.get("std", IMAGENET_STD)),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RedDinoError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise RedDinoError(f"{path} holds no JSON object")
    return content


def open_model_folder(folder: Path, image_size: int | None = None) -> tuple[Backbone, ModelCard]:
    """Open a model folder strictly; for another `image_size` the position embedding is resampled.

    Raises:
        RedDinoError: a file is missing or damaged, or the weights are not those that the card names.
    """
    card = read_card(folder)
    backbone = card.create()
    load_strictly(backbone, read_tensors(folder / WEIGHTS), str(folder / WEIGHTS))
    found = hash_weights(backbone)
    if card.weights_hash and found != card.weights_hash:
        raise RedDinoError(
            f"{folder}: the weights ({found}) are not those of {CARD} ({card.weights_hash}); the "
            "folder was mixed or half copied"
        )
    if image_size is not None and image_size != card.image_size and isinstance(backbone, ViTBackbone):
        resized = card.create(image_size)
        load_strictly(resized, backbone_tensors(backbone), str(folder))
        backbone = resized
    return backbone, ModelCard(**{**vars(card), "weights_hash": found})


def read_heads(folder: Path) -> dict[str, Tensor]:
    """Projection heads and mask token saved beside a backbone; empty where none were kept."""
    path = folder / HEADS
    return read_tensors(path) if path.is_file() else {}
