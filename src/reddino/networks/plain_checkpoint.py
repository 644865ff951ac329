"""The state dict of a network of timm without a configuration: the user names its architecture."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import Backbone
from reddino.networks.create_backbone import is_vit
from reddino.networks.folder import ModelCard, open_tensors
from reddino.networks.position import position_side
from reddino.networks.weights import read_state_dict

log = logging.getLogger(__name__)


def open_plain_checkpoint(
    architecture: str, path: Path, image_size: int | None = None
) -> tuple[Backbone, ModelCard]:
    """Open a state dict strictly as a network of timm; the classifier in it is left out.

    Size and normalisation of the input are not in the file: they are those that timm has for the
    architecture, and the log names them.

    Args:
        architecture: of timm, such as `resnet50`, or with a tag, as `resnet50.a1_in1k`.
        path: the file, of plain tensors.
        image_size: pixels of the square input, where another is wanted.

    Raises:
        RedDinoError: timm has no such architecture, or the tensors are not those of such a network.
    """
    import timm

    name = architecture.partition(".")[0]
    if not timm.is_model(name):
        raise RedDinoError(f"timm {timm.__version__} has no architecture '{architecture}', given for {path}")
    settings = _settings(architecture)
    tensors = read_state_dict(path)
    classifier = settings.classifier or ()
    prefixes = tuple(f"{one}." for one in ((classifier,) if isinstance(classifier, str) else classifier))
    tensors = {name: value for name, value in tensors.items() if not name.startswith(prefixes or "\0")}
    size = int(settings.input_size[-1])
    if is_vit(name) and "pos_embed" in tensors and "patch_embed.proj.weight" in tensors:
        prefix = 1 if "cls_token" in tensors else 0
        side = position_side(tensors["pos_embed"], prefix, str(path))
        size = side * int(tensors["patch_embed.proj.weight"].shape[-1])
    card = ModelCard(backbone=name, image_size=size, mean=tuple(settings.mean), std=tuple(settings.std))
    tagged = f"{settings.architecture or name}.{settings.tag}" if settings.tag else name
    log.info(
        "%s: %d px, mean %s and std %s, as timm has for %s", path.name, size, card.mean, card.std, tagged
    )
    return open_tensors(tensors, card, str(path), image_size)


def _settings(architecture: str) -> Any:
    """Return timm's settings for an architecture: size and normalisation of its input, its classifier."""
    import timm

    try:
        return timm.get_pretrained_cfg(architecture, allow_unregistered=False)
    except RuntimeError as error:
        raise RedDinoError(
            f"timm {timm.__version__} has no settings '{architecture}' ({error}): leave out what follows the "
            "point, or give a model folder with a config.json"
        ) from error
