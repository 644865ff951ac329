"""A model by name, in the runtime that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.runtimes.check import drawn_cells
from reddino.embedding.runtimes.choice import use_bf16_where_it_keeps, use_runtime
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Precision, bf16_is_fast, choose_device, choose_runtime
from reddino.networks.encoder import Encoder, open_model


def load(
    name: str | Path,
    *,
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
        image_size: pixels of the square input; None: 224 for the short names, else the model's own.
        channel_order: `RGB` or `BGR`, the order that the network sees; None: what the model's card says.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        runtime: `torch`, `openvino`, `onnx`, or `auto`, which measures them on `sample`.
        precision: `fp32`, `bf16`, or `auto`: bf16 where the hardware computes it and the vectors keep.
        compiled: torch.compile.
        pooling: which `auto` measures with.
        sample: squares (n, s, s, 3) that `auto` measures on; None: drawn cells.

    Raises:
        RedDinoError: the weights cannot be had or do not fit, or an option is not known.
    """
    if precision not in get_args(Precision):
        raise RedDinoError(f"precision '{precision}' is not known; give {', '.join(get_args(Precision))}")
    level = cast(Precision, precision)
    plain = runtime == "torch" and not compiled
    unsure = plain and level == "auto" and bf16_is_fast(choose_device(device))
    chosen = choose_runtime(device, level if plain and not unsure else "fp32")
    encoder = open_model(name, image_size=image_size, channel_order=channel_order, runtime=chosen)
    if plain and not unsure:
        return encoder
    encoder.check_pooling(pooling)
    squares = drawn_cells(32, encoder.input_size) if sample is None else sample
    if unsure:
        use_bf16_where_it_keeps(encoder, squares, pooling)
    else:
        use_runtime(encoder, runtime, level, compiled=compiled, sample=squares, pooling=pooling)
    return encoder
