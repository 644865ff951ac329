"""Open a network in a chosen runtime, or a baseline, by its name."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.baselines import CELL_SIZE, COLOUR_HISTOGRAM, MORPHOLOGY, CellSize, ColourHistogram
from reddino.embedding.runtimes.check import synthetic_cells
from reddino.embedding.runtimes.choice import use_bf16_where_it_keeps, use_runtime
from reddino.embedding.view_encoder import ViewEncoder
from reddino.foundations.choices import Precision
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import bf16_is_fast, choose_device, choose_runtime
from reddino.networks.encoder import Encoder, open_model
from reddino.networks.model_names import TURNED, with_architecture
from reddino.networks.training_images import NOTHING, SeenImages, seen_before
from reddino.rbc.morphology import WORK_SIZE, Morphology


def load(
    name: str | Path,
    *,
    architecture: str | None = None,
    image_size: int | None = None,
    channel_order: str | None = None,
    device: str = "auto",
    runtime: str = "torch",
    precision: str = "auto",
    compiled: bool = False,
    pooling: str = "cls",
    sample: NDArray[np.uint8] | None = None,
) -> Encoder:
    """Open a model, ready to embed: `load("reddino-small").embed(images)`.

    Args:
        name: a short name (`reddino models` lists them), `hf_hub:<id>`, `timm:<name>`, a model folder or a
            weights file.
        architecture: of timm, such as resnet50, where it is the state dict of such a network.
        image_size: pixels of the square input; None: 224 for the short names, else the model's own.
        channel_order: `RGB` or `BGR`, the order that the network sees; None: as the model's card has it.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        runtime: `torch`, `openvino`, `onnx`, or `auto`, which measures them on `sample`.
        precision: `fp32`, `bf16`, or `auto`: bf16 where the hardware computes it and the vectors stay.
        compiled: torch.compile.
        pooling: which `auto` measures with.
        sample: squares (n, s, s, 3) that `auto` measures on; None: synthetic cells.

    Raises:
        RedDinoError: the weights cannot be had or do not fit, or an option is not known.
    """
    if precision not in get_args(Precision):
        raise RedDinoError(f"precision '{precision}' is not known; give {', '.join(get_args(Precision))}")
    level = cast(Precision, precision)
    plain = runtime == "torch" and not compiled
    unsure = plain and level == "auto" and bf16_is_fast(choose_device(device))
    chosen = choose_runtime(device, level if plain and not unsure else "fp32")
    name = with_architecture(str(name), architecture)
    encoder = open_model(name, image_size=image_size, channel_order=channel_order, runtime=chosen)
    if plain and not unsure:
        return encoder
    encoder.check_pooling(pooling)
    squares = synthetic_cells(32, encoder.input_size) if sample is None else sample
    if unsure:
        use_bf16_where_it_keeps(encoder, squares, pooling)
    else:
        use_runtime(encoder, runtime, level, compiled=compiled, sample=squares, pooling=pooling)
    return encoder


def open_encoder(
    name: str,
    *,
    image_size: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    channel_order: str | None = None,
) -> ViewEncoder:
    """Open a network in torch (until `put_in_runtime`) or a baseline, ready to embed.

    Raises:
        RedDinoError: the name is not known, or the weights cannot be had.
    """
    if image_size is not None and image_size < 1:
        raise RedDinoError(f"the image size must be 1 pixel or more, not {image_size}")
    # In tables and classifiers a baseline has its own name, "cell size": that opens it too.
    short = name.replace(" ", "-")
    if short in (COLOUR_HISTOGRAM, CELL_SIZE):
        baseline = ColourHistogram if short == COLOUR_HISTOGRAM else CellSize
        return baseline(image_size or 224)
    if short == MORPHOLOGY:
        return Morphology(image_size or WORK_SIZE)

    runtime = choose_runtime(device, precision)
    return open_model(name, image_size=image_size, channel_order=channel_order, runtime=runtime)


def seen_by(name: str) -> SeenImages:
    """Return what a model saw in pretraining.

    Baselines, untrained networks and networks trained on natural images saw no smears; of other foreign
    weights nothing is known.

    Args:
        name: the model, as `open_encoder` takes it.
    """
    baseline = name.replace(" ", "-") in (COLOUR_HISTOGRAM, CELL_SIZE, MORPHOLOGY)
    return NOTHING if baseline else seen_before(name.removeprefix(TURNED))
