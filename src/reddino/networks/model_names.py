"""Names of weights files that say which architecture of timm they are of."""

from __future__ import annotations

from pathlib import Path

from reddino.foundations.errors import RedDinoError

#: Suffixes of weights files.
FILES = (".pth", ".pt", ".bin", ".safetensors")
#: Between an architecture and the file of its weights.
AT = "@"


def with_architecture(model: str, architecture: str | None) -> str:
    """Return the name of a model whose file holds the weights of `architecture`; None: as it is.

    Raises:
        RedDinoError: the model is not a file.
    """
    if architecture is None:
        return model
    if not model.endswith(FILES):
        raise RedDinoError(
            f"the architecture {architecture} was given for '{model}', which is not a weights file "
            f"({', '.join(FILES)}): leave it out"
        )
    return f"{architecture}{AT}{model}"


def split_architecture(name: str) -> tuple[str, Path] | None:
    """Split `resnet50@FILE`; None for every other name."""
    architecture, at, file = name.partition(AT)
    if not at or not file.endswith(FILES) or "/" in architecture or Path(name).exists():
        return None
    return architecture, Path(file)
