"""Models by name: list them, export one for other programs, push it to the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import reddino
from reddino.cli.options import Several
from reddino.cli.program import app
from reddino.cli.summaries import model_table
from reddino.cli.terminal import complain, print_line, show_tables
from reddino.embedding.choices import ExportFormat
from reddino.foundations.errors import RedDinoError
from reddino.networks.choices import ChannelOrder, VectorPooling


@app.command
def models() -> None:
    """List the models that embed and a recipe's model.start take by name."""
    show_tables([model_table(reddino.models())])


@app.command
def export(
    model: str,
    out: Path,
    /,
    *,
    form: Annotated[ExportFormat, Parameter(name="--format")] = "onnx",
    pooling: VectorPooling = "cls",
    image_size: int | None = None,
    channel_order: ChannelOrder | None = None,
    scores: Annotated[Sequence[str], Several] = (),
    licence: str | None = None,
    architecture: str | None = None,
    half: bool = False,
) -> None:
    """Write a model for other programs, checked against torch: ONNX, OpenVINO, or a folder for the hub.

    Args:
        model: a model folder, a weights file, or a name of `reddino models`.
        out: a new folder.
        form: onnx, openvino (IR), or hub (timm's hub format and a model card).
        pooling: of the exported graph.
        image_size: pixels of the network's input; the model's own if not given.
        channel_order: in which the network sees the colours; as its model folder has it, if not given.
        scores: for the model card, as name=number.
        licence: of the weights, for the model card, such as mit; as their makers state it, if not given.
        architecture: of timm, such as resnet50, where MODEL is a state dict of such a network.
        half: weights in float16 (hub only).
    """
    written = reddino.export(
        model,
        out,
        form=form,
        pooling=pooling,
        image_size=image_size,
        channel_order=channel_order,
        scores={name: _number(name, value) for name, value in map(_score, scores)},
        licence=licence,
        architecture=architecture,
        half=half,
    )
    checked = (
        "" if written.difference is None else f"; largest difference from torch {written.difference:.1e}"
    )
    print_line(f"{written.folder}: {', '.join(written.files)}{checked}")
    if form == "hub":
        print_line(f"licence of the weights, in README.md: {written.licence or 'unknown'}")
        if written.licence is None:
            complain(
                "nothing states the licence of these weights: name it by --licence before they are pushed."
            )


@app.command
def push(folder: Path, repository: str, /, *, private: bool = False) -> None:
    """Send a folder that `export --format hub` made to the Hugging Face hub.

    Args:
        folder: the folder.
        repository: OWNER/NAME on the hub; made if need be.
        private: make it private.
    """
    print_line(reddino.push(folder, repository, private=private))


def _score(entry: str) -> tuple[str, str]:
    name, equals, value = entry.rpartition("=")
    if not (name and equals and value):
        raise RedDinoError(f"--scores takes name=number, not '{entry}'")
    return name, value


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise RedDinoError(f"--scores: '{name}' is '{value}', which is not a number") from error
