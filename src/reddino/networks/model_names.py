"""Names of weights files with the architecture of timm that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reddino.foundations.errors import RedDinoError

#: Suffixes of weights files.
FILES = (".pth", ".pt", ".bin", ".safetensors")
#: Before a model's name: it sees each image in its four quarter turns, and its vectors are their means.
TURNED = "turned:"
#: Between an architecture and the file of its weights.
AT = "@"


def with_architecture(model: str, architecture: str | None) -> str:
    """Return the name of a model whose file holds the weights of `architecture`; None: as it is.

    Args:
        model: a weights file, or `turned:` and one.
        architecture: of timm, such as resnet50.

    Raises:
        RedDinoError: the model is not a file, or its name has an architecture.
    """
    if architecture is None:
        return model
    way = TURNED if model.startswith(TURNED) else ""
    file = model.removeprefix(way)
    if not file.endswith(FILES):
        raise RedDinoError(
            f"the architecture {architecture} was given for '{model}', which is not a weights file "
            f"({', '.join(FILES)}): leave it out"
        )
    if split_architecture(file) is not None:
        raise RedDinoError(
            f"'{model}' names an architecture, and {architecture} was given too: leave one of them out"
        )
    return f"{way}{architecture}{AT}{file}"


def with_architectures(models: Sequence[str], architecture: str | None) -> list[str]:
    """Return models, each with a name of its own or without (`name=model`), as of `with_architecture`.

    Of several models, those that are no weights files, or name their architecture, stay as they are.

    Raises:
        RedDinoError: it bears on none of them.
    """
    if architecture is None:
        return list(models)
    found = []
    for model in models:
        name, equals, spec = model.rpartition("=")
        plain = spec.endswith(FILES) and split_architecture(spec.removeprefix(TURNED)) is None
        found.append(f"{name}{equals}{with_architecture(spec, architecture)}" if plain else model)
    if found == list(models):
        raise RedDinoError(
            f"the architecture {architecture} was given, and no model is a weights file ({', '.join(FILES)}) "
            f"without one: {', '.join(models) or 'none'}; leave it out"
        )
    return found


def split_architecture(name: str) -> tuple[str, Path] | None:
    """Split `resnet50@FILE`; None for every other name."""
    architecture, at, file = name.partition(AT)
    if not at or not file.endswith(FILES) or "/" in architecture or Path(name).exists():
        return None
    return architecture, Path(file)
