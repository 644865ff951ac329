"""The architecture of a bare weights file, read from the shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from reddino.foundations.errors import RedDinoError
from reddino.networks.folder import ModelCard
from reddino.networks.position import position_side

#: Every network of the DINOv2 family has heads of 64 numbers (S 6, B 12, L 16, G 24 heads).
HEAD_WIDTH = 64
#: Width and depth of the networks that timm has a name for; the giant is the one with SwiGLU.
_STANDARD = {"small": (384, 12), "base": (768, 12), "large": (1024, 24), "giant": (1536, 40)}
_BY_WIDTH = {384: "small", 768: "base", 1024: "large"}
#: Gate and value of the giant's SwiGLU, packed into one matrix.
GIANT_HIDDEN = 8192
#: How to open the weights of another network.
OTHERS = (
    "name timm's architecture if it is of another family (--architecture resnet50, or resnet50@FILE as the "
    "model), or give a model folder with a config.json"
)
_BLOCK = re.compile(r"^blocks\.(\d{1,4})\.")


def recognise(tensors: Mapping[str, Tensor], origin: str) -> ModelCard:
    """Describe the DINOv2-family network that a file's tensors belong to.

    Width, depth, patch size, registers, feed-forward (MLP or SwiGLU) and input size follow from the shapes;
    the number of heads does not, and is DINOv2's, width / 64.

    Args:
        tensors: under timm's names, see `weights.read_tensors`.
        origin: the file, for errors.

    Raises:
        RedDinoError: these are not the tensors of such a network; names what is missing or does not fit.
    """
    patches = _require(tensors, "patch_embed.proj.weight", 4, origin)
    fc1 = _require(tensors, "blocks.0.mlp.fc1.weight", 2, origin)
    fc2 = _require(tensors, "blocks.0.mlp.fc2.weight", 2, origin)
    _require_layer_scale(tensors, origin)
    width, patch = int(patches.shape[0]), int(patches.shape[-1])
    if not width or width % HEAD_WIDTH:
        raise RedDinoError(
            f"{origin}: {width} numbers a token are no multiple of {HEAD_WIDTH}, the width of DINOv2's "
            f"heads, so the number of heads is unknown; {OTHERS}"
        )
    depth = 1 + max(int(match[1]) for match in map(_BLOCK.match, tensors) if match)
    swiglu = fc1.shape[0] == 2 * fc2.shape[1]
    registers = int(_require(tensors, "reg_token", 3, origin).shape[1]) if "reg_token" in tensors else 0
    side = position_side(_require(tensors, "pos_embed", 3, origin), 0 if registers else 1, origin)

    size = "giant" if swiglu else _BY_WIDTH.get(width, "small")
    hidden = int(fc1.shape[0])
    standard = (
        _STANDARD[size] == (width, depth)
        and patch == 14
        and registers in (0, 4)
        and hidden == (GIANT_HIDDEN if swiglu else 4 * width)
    )
    return ModelCard(
        backbone=f"vit_{size}_patch14_{'reg4_' if registers else ''}dinov2",
        image_size=side * patch,
        arguments={} if standard else _arguments(width, depth, patch, registers, hidden),
    )


def _arguments(width: int, depth: int, patch: int, registers: int, hidden: int) -> dict[str, Any]:
    """Return timm's arguments for a network without a name of its own; timm rounds width * mlp_ratio down."""
    ratio = hidden / width if int(width * (hidden / width)) == hidden else (hidden + 0.5) / width
    arguments = {
        "embed_dim": width,
        "depth": depth,
        "num_heads": width // HEAD_WIDTH,
        "patch_size": patch,
        "mlp_ratio": ratio,
    }
    return arguments | ({"reg_tokens": registers} if registers else {})


def _require(tensors: Mapping[str, Tensor], name: str, axes: int, origin: str) -> Tensor:
    found = tensors.get(name)
    if found is None or found.ndim != axes:
        held = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise RedDinoError(
            f"{origin} is not the backbone of a DINOv2-family network: tensor '{name}' is "
            f"{'missing' if found is None else 'of another rank'} (it holds {held}, ...); {OTHERS}"
        )
    return found


def _require_layer_scale(tensors: Mapping[str, Tensor], origin: str) -> None:
    lost = [name for name in ("blocks.0.ls1.gamma", "blocks.0.ls2.gamma") if name not in tensors]
    if lost:
        raise RedDinoError(
            f"{origin} holds a ViT without LayerScale ('{lost[0]}' is missing), which one of DINOv2's family "
            f"has lost, so that it would compute something else; {OTHERS}"
        )
