"""Reading weights without executing code, and loading them strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from reddino.errors import RedDinoError
from reddino.model.backbone import Backbone, PooledBackbone, ViTBackbone
from reddino.model.position import resample_positions
from reddino.provenance import hash_bytes

MASK_TOKEN = "mask_token"
_CHUNKED_BLOCK = re.compile(r"^blocks\.\d+\.(\d+)\.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a weights file: `.safetensors`, or a `.pth`/`.pt` of plain tensors.

    A training checkpoint in the layout of DINOv2, RedDino or DinoBloom (`teacher` → `backbone.*`) gives the
    teacher's backbone; block-chunked names become plain ones.

    Raises:
        RedDinoError: the file is missing, is not weights, or holds more than tensors (which could execute
            code).
    """
    if not path.is_file():
        raise RedDinoError(f"weights file {path} does not exist; give a .safetensors, .pth or .pt file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on bytes that are no weights, torch's reader raises errors of many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(
            f"{path} cannot be read as weights (plain tensors only, code is never executed): {reason}"
        ) from error
    return _backbone_tensors(content, path)


def _backbone_tensors(content: object, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("teacher"), Mapping):
        content = content["teacher"]
    if not isinstance(content, Mapping):
        raise RedDinoError(
            f"{path} holds no dictionary of tensors; give a state dict or a DINOv2 training checkpoint"
        )
    prefix = "backbone."
    if any(str(name).startswith(prefix) for name in content):
        content = {
            name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)
        }
    strangers = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        raise RedDinoError(
            f"{path}: entry '{strangers[0]}' is no tensor; give a state dict or a DINOv2 training checkpoint"
        )
    return {_CHUNKED_BLOCK.sub(r"blocks.\1.", name): value for name, value in content.items()}


def load_strictly(backbone: Backbone, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Load `tensors` into `backbone`; every tensor must be used and every parameter filled.

    Two differences are allowed: the mask token may be missing (released models lack it; it is zero then), and
    a position embedding of another square grid is resampled (`position.RESAMPLING`).

    Raises:
        RedDinoError: names what is missing, unexpected or of the wrong shape.
    """
    remaining = dict(tensors)
    network = backbone.vit if isinstance(backbone, ViTBackbone) else backbone.network
    if isinstance(backbone, ViTBackbone):
        if MASK_TOKEN in remaining:
            backbone.mask_token.data.copy_(remaining.pop(MASK_TOKEN).reshape(1, -1))
        _fit_positions(backbone, remaining)
    expected = network.state_dict()
    _require_same_names(set(expected), set(remaining), origin)
    for name, value in remaining.items():
        if value.shape != expected[name].shape:
            raise RedDinoError(
                f"{origin}: tensor '{name}' has shape {tuple(value.shape)}, this backbone needs "
                f"{tuple(expected[name].shape)}"
            )
    network.load_state_dict(remaining, strict=True)


def _fit_positions(backbone: ViTBackbone, tensors: dict[str, Tensor]) -> None:
    wanted = backbone.vit.pos_embed
    given = tensors.get("pos_embed")
    if given is None or given.shape == wanted.shape or given.shape[-1] != wanted.shape[-1]:
        return
    side = round((wanted.shape[1] - 1) ** 0.5)
    tensors["pos_embed"] = resample_positions(given, (side, side))


def _require_same_names(expected: set[str], given: set[str], origin: str) -> None:
    missing, unexpected = sorted(expected - given), sorted(given - expected)
    if missing or unexpected:
        parts = [
            f"{len(names)} {kind} (first: {names[0]})"
            for kind, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise RedDinoError(f"{origin} does not fit this backbone: tensors {' and '.join(parts)}")


def backbone_tensors(backbone: Backbone) -> dict[str, Tensor]:
    """The tensors of the timm network inside `backbone`, contiguous on the CPU."""
    network = backbone.network if isinstance(backbone, PooledBackbone) else backbone.vit
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def hash_weights(backbone: Backbone) -> str:
    """16 hex digits that two backbones share only if all names and values agree."""
    chunks = []
    for name, value in sorted(backbone_tensors(backbone).items()):
        chunks += [name.encode(), str(tuple(value.shape)).encode(), value.float().numpy().tobytes()]
    return hash_bytes(*chunks)
