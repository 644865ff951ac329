"""Model folders: timm's hub format, and `reddino.json`, which records where the weights come from."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from reddino.foundations.atomic import atomic_path, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit, read_json
from reddino.foundations.version import __version__
from reddino.networks.arguments import is_number, require_architecture, require_name
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.networks.budget import no_larger_than
from reddino.networks.create_backbone import PATCH14, create_backbone, is_vit
from reddino.networks.position import RESAMPLING, position_side
from reddino.networks.weights import (
    backbone_tensors,
    hash_weights,
    load_strictly,
    read_tensors,
    require_finite_tensors,
)

CONFIG, WEIGHTS, CARD, HEADS = "config.json", "model.safetensors", "reddino.json", "heads.safetensors"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: Arguments in a foreign configuration that we set ourselves.
_SET_ANYWAY = ("num_classes", "global_pool", "pretrained")


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
        arguments: of timm's constructor, where the architecture's own do not fit.
        resampled_from: pixels of the input whose position embedding was resampled; None: as trained.
        position_resampling: how another size's position embedding is (or was) made.
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
    arguments: dict[str, Any] = field(default_factory=dict)
    resampled_from: int | None = None

    def create(self, image_size: int | None = None) -> Backbone:
        """Build the untrained backbone that the card describes."""
        return create_backbone(
            self.backbone,
            image_size=image_size or self.image_size,
            depth=self.depth,
            layer_scale=self.layer_scale,
            arguments=self.arguments,
        )


def save_model_folder(
    folder: Path,
    backbone: Backbone,
    card: ModelCard,
    heads: dict[str, Tensor] | None = None,
    *,
    half: bool = False,
) -> ModelCard:
    """Write `backbone` and `card` to `folder`, each file whole; return the card with the weights' hash.

    Args:
        folder: where they are written.
        backbone: its weights.
        card: all that opens them again, but for the hash.
        heads: projection heads and mask token, kept for continued pretraining.
        half: weights in float16, half as large; the hash is that of the weights so rounded.

    Raises:
        RedDinoError: a weight is too large for float16.
    """
    if half:
        backbone = _rounded(backbone)
    card = replace(card, weights_hash=hash_weights(backbone))
    with atomic_path(folder / WEIGHTS) as partial:
        save_file(_as_stored(backbone, half), partial, metadata={"format": "pt"})
    if heads is not None:
        with atomic_path(folder / HEADS) as partial:
            save_file({name: value.detach().cpu().contiguous() for name, value in heads.items()}, partial)
    write_text(folder / CONFIG, json.dumps(_timm_config(backbone, card), indent=2) + "\n")
    write_text(folder / CARD, json.dumps(vars(card), indent=2) + "\n")
    return card


def _rounded(backbone: Backbone) -> Backbone:
    """Return a copy whose weights are float32 numbers that float16 can hold."""
    copied = copy.deepcopy(backbone)
    for name, value in copied.state_dict().items():
        if value.is_floating_point():
            value.copy_(value.half())
            if not value.isfinite().all():
                raise RedDinoError(f"the weights '{name}' hold numbers beyond float16: keep them in float32")
    return copied


def _as_stored(backbone: Backbone, half: bool) -> dict[str, Tensor]:
    tensors = backbone_tensors(backbone)
    if not half:
        return tensors
    return {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}


def _timm_config(backbone: Backbone, card: ModelCard) -> dict[str, Any]:
    architecture, arguments = PATCH14.get(card.backbone, (card.backbone, {}))
    arguments = {**arguments, **card.arguments}
    plain_vit = isinstance(backbone, ViTBackbone)
    if plain_vit:
        optional = {"img_size": card.image_size, "depth": card.depth, "init_values": card.layer_scale}
        arguments |= {key: value for key, value in optional.items() if value is not None}
    pretrained = {
        "input_size": [3, card.image_size, card.image_size],
        "fixed_input_size": plain_vit,
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
        **({"global_pool": "token"} if plain_vit else {}),
        "model_args": arguments,
        "pretrained_cfg": pretrained,
    }


def read_card(folder: Path) -> ModelCard:
    """Read `reddino.json`, or make a card from timm's `config.json` alone (a folder from the hub).

    Raises:
        RedDinoError: the folder holds neither, or one that cannot be understood.
    """
    if (folder / CARD).is_file():
        content = read_json(folder / CARD)
        return _checked(content, f"{folder / CARD} does not fit RedDino {__version__}")
    if not (folder / CONFIG).is_file():
        raise RedDinoError(f"{folder} is no model folder: it holds neither {CARD} nor {CONFIG}")
    return _checked(_timm_card(read_timm_config(folder), str(folder / CONFIG)), str(folder / CONFIG))


def _checked(content: dict[str, Any], origin: str) -> ModelCard:
    """Return a card whose values a network can be built from and images can be normalised with."""
    for name in ("mean", "std"):
        if name not in content:
            raise RedDinoError(f"{origin}: {name}: it is missing")
    card = fit(ModelCard, content, origin)
    require_name(card.backbone, origin)
    named = {"img_size": card.image_size, "depth": card.depth, "init_values": card.layer_scale}
    require_architecture(named, origin)
    require_architecture(card.arguments, origin)
    for name, values, least in (("mean", card.mean, 0.0), ("std", card.std, 1e-6)):
        if not all(is_number(value, least, 1) for value in values):
            raise RedDinoError(
                f"{origin}: {name}: {list(values)} are not three numbers for RGB from 0 to 1, above 0 for std"
            )
    if card.channel_order not in ("RGB", "BGR"):
        raise RedDinoError(f"{origin}: channel_order: {card.channel_order[:60]!r} is neither RGB nor BGR")
    return card


def read_timm_config(folder: Path) -> dict[str, Any]:
    """Read timm's `config.json`, and check the types of its sections and of the names in it.

    Raises:
        RedDinoError: the file cannot be read, or one is not.
    """
    config: dict[str, Any] = read_json(folder / CONFIG)
    pretrained = config.get("pretrained_cfg", config)
    arguments = config.get("model_args") or {}
    for name, section in (("pretrained_cfg", pretrained), ("model_args", arguments)):
        if not isinstance(section, dict):
            raise RedDinoError(f"{folder / CONFIG}: {name}: it does not hold keys and values")
    classifier = pretrained.get("classifier") or []
    names = [classifier] if isinstance(classifier, str) else classifier
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RedDinoError(f"{folder / CONFIG}: classifier: it is neither a name nor a list of names")
    return {**config, "pretrained_cfg": {**pretrained, "classifier": names}, "model_args": arguments}


def _timm_card(config: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return the content of a card for a network that only timm's hub configuration describes."""
    pretrained = config["pretrained_cfg"]
    arguments = {key: value for key, value in config["model_args"].items() if key not in _SET_ANYWAY}
    name = config.get("architecture", "")
    require_name(name, origin)
    for own, (architecture, fixed) in PATCH14.items():
        if architecture == name and fixed["patch_size"] == arguments.get("patch_size"):
            name = own
            del arguments["patch_size"]
    size = _square(arguments.get("img_size") or pretrained.get("input_size", [3, 224, 224]), origin)
    if is_vit(name):
        arguments.pop("img_size", None)
    return {
        "backbone": name,
        "image_size": size,
        "depth": arguments.pop("depth", None),
        "layer_scale": arguments.pop("init_values", None),
        "mean": pretrained.get("mean", IMAGENET_MEAN),
        "std": pretrained.get("std", IMAGENET_STD),
        "arguments": arguments,
    }


def _square(size: Any, origin: str) -> Any:
    """Return the side of a square input, given as one number, (height, width) or (3, height, width)."""
    if not isinstance(size, list):
        return size
    sides = size[1:] if len(size) == 3 and size[0] == 3 else size
    if len(sides) not in (1, 2) or any(side != sides[0] for side in sides):
        raise RedDinoError(f"{origin}: the input size {str(size)[:60]} is not that of a square RGB picture")
    return sides[0]


def open_model_folder(
    folder: Path, image_size: int | None = None, weights: Path | None = None
) -> tuple[Backbone, ModelCard]:
    """Open a model folder strictly; for another `image_size` the position embedding is resampled.

    Args:
        folder: in timm's hub format, with or without `reddino.json`.
        image_size: pixels of the square input; None takes the card's.
        weights: the weights file, where it is not the folder's `model.safetensors`.

    Raises:
        RedDinoError: a file is missing or damaged, or the weights are not those that the card names.
    """
    card = read_card(folder)
    path = weights or folder / WEIGHTS
    tensors = read_tensors(path)
    if not (folder / CARD).is_file():
        tensors = _without_classifier(tensors, read_timm_config(folder))
    return open_tensors(tensors, card, str(path), image_size)


def open_tensors(
    tensors: Mapping[str, Tensor], card: ModelCard, origin: str, image_size: int | None = None
) -> tuple[Backbone, ModelCard]:
    """Build the network that a card describes, fill it strictly, and bring it to `image_size`.

    Raises:
        RedDinoError: the tensors do not fit the card: names, shapes, number of positions or hash.
    """
    with no_larger_than(tensors, origin):
        backbone = card.create()
    if image_size is not None and isinstance(backbone, ViTBackbone) and "pos_embed" in tensors:
        # A user's own size need not be the one for which the positions were trained.
        side = position_side(tensors["pos_embed"], backbone.positioned_prefix, origin)
        card = replace(card, image_size=side * backbone.patch_size)
        with no_larger_than(tensors, origin):
            backbone = card.create()
    load_strictly(backbone, tensors, origin)
    found = hash_weights(backbone)
    if card.weights_hash and found != card.weights_hash:
        raise RedDinoError(
            f"{origin}: the weights ({found}) are not those of {CARD} ({card.weights_hash}); the "
            "folder was mixed or half copied"
        )
    return at_size(backbone, replace(card, weights_hash=found), image_size)


def at_size(backbone: Backbone, card: ModelCard, image_size: int | None) -> tuple[Backbone, ModelCard]:
    """Return the same network for another input size; a ViT's position embedding is resampled.

    Raises:
        RedDinoError: the size is no multiple of the patch size.
    """
    if image_size is None or image_size == card.image_size:
        return backbone, card
    if not isinstance(backbone, ViTBackbone):
        return backbone, replace(card, image_size=image_size)
    if image_size < backbone.patch_size or image_size % backbone.patch_size:
        raise RedDinoError(
            f"image size {image_size} does not fit patches of {backbone.patch_size} px: give a multiple of it"
        )
    resized = card.create(image_size)
    load_strictly(resized, backbone_tensors(backbone), card.backbone, resample=True)
    if isinstance(resized, ViTBackbone):
        resized.mask_token.data.copy_(backbone.mask_token.data)
    return resized, replace(
        card, image_size=image_size, resampled_from=card.resampled_from or card.image_size
    )


def _without_classifier(tensors: dict[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return all tensors but the classifier that timm's configuration names."""
    prefixes = tuple(f"{name}." for name in config["pretrained_cfg"]["classifier"])
    if not config.get("num_classes") or not prefixes:
        return tensors
    return {name: value for name, value in tensors.items() if not name.startswith(prefixes)}


def read_heads(folder: Path) -> dict[str, Tensor]:
    """Read projection heads and mask token saved with a backbone; empty where none were kept."""
    path = folder / HEADS
    if not path.is_file():
        return {}
    heads = read_tensors(path)
    require_finite_tensors(heads, str(path))
    return heads
