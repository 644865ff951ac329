"""Models by name: list them, load one, export it for other programs, push it to the hub."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reddino.api.sole_writer import sole_writer
from reddino.embedding import open_encoder
from reddino.embedding.choices import ExportFormat
from reddino.embedding.export import Export, export_model
from reddino.embedding.known_models import KnownModel, known_models
from reddino.embedding.push import push_folder
from reddino.networks.encoder import Encoder
from reddino.networks.licences import licence_of
from reddino.networks.model_names import with_architecture
from reddino.networks.training_images import seen_before

log = logging.getLogger(__name__)


def models() -> list[KnownModel]:
    """List the names that `embed` and a recipe's `model.start` take, and where the weights come from."""
    return known_models()


def load(name: str | Path, **options: Any) -> Encoder:
    """Open a model, ready to embed images of any size; options as `reddino.embedding.open_encoder.load`.

    >>> vectors = reddino.load("reddino-small").embed(["cell.png", array, pil_image])  # (3, 384) float32
    """
    return open_encoder.load(name, **options)


@sole_writer(folders=("out",))
def export(
    model: str,
    out: str | Path,
    *,
    form: ExportFormat = "onnx",
    pooling: str = "cls",
    image_size: int | None = None,
    channel_order: str | None = None,
    scores: Mapping[str, float] | None = None,
    licence: str | None = None,
    architecture: str | None = None,
    half: bool = False,
) -> Export:
    """Write a model for other programs; what it computes is checked against torch.

    Args:
        model: as for `embed`.
        out: a new folder.
        form: `onnx`, `openvino` (IR) or `hub` (timm's hub format and a model card).
        pooling: of the exported graph.
        image_size: pixels of the network's input; None: as for `load`.
        channel_order: `RGB` or `BGR`, the order that the network sees; None: as the model's card has it.
        scores: for the model card.
        licence: of the weights, for a hub folder's card; None: as their makers state it, if they do.
        architecture: of timm, where `model` is a state dict of another network than DINOv2's.
        half: a hub folder's weights in float16.

    Raises:
        RedDinoError: an extra is not installed, the folder is not empty, or the file computes something else.
    """
    model = with_architecture(model, architecture)
    stated = licence_of(model) if form == "hub" else None
    if licence is not None and stated is not None and licence != stated:
        log.warning("the licence of %s is %s, and the card will have %s", model, stated, licence)
    encoder = load(model, image_size=image_size, channel_order=channel_order, device="cpu", precision="fp32")
    listed = seen_before(str(model))
    return export_model(
        encoder,
        Path(out),
        form=form,
        pooling=pooling,
        scores=scores,
        licence=licence or stated,
        seen=listed if listed.sources else None,
        half=half,
    )


def push(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Send a folder that `export(form="hub")` made to the Hugging Face hub; return the commit's address.

    Raises:
        RedDinoError: the folder is not ready, the hub is out of reach, or nobody is logged in.
    """
    return push_folder(Path(folder), repository, private=private)
