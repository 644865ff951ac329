"""Build backbones: by timm's names, with fresh weights, behind one interface.

timm is imported where a network is built: that takes two seconds, in which a run's first batch is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from reddino.foundations.errors import RedDinoError
from reddino.networks.arguments import require_architecture, require_name
from reddino.networks.backbone import Backbone, PooledBackbone, ViTBackbone

#: Backbones with patch size 14 that have no timm name of their own: (timm architecture, its arguments).
PATCH14: dict[str, tuple[str, dict[str, Any]]] = {
    "vit_tiny_patch14": ("vit_tiny_patch16_224", {"patch_size": 14, "init_values": 1e-5})
}
#: The paper's ResNet50 baseline, cut before its last stage: 1024 numbers an image.
RESNET50_CUT = "resnet50-cut"


def create_backbone(
    name: str,
    *,
    image_size: int | None = None,
    depth: int | None = None,
    layer_scale: float | None = None,
    drop_path: float = 0.0,
    arguments: Mapping[str, Any] | None = None,
) -> Backbone:
    """Build an untrained backbone by its timm name (or `vit_tiny_patch14`).

    Args:
        name: `vit_tiny_patch14`, `vit_small_patch14_dinov2`, ..., or any timm architecture.
        image_size: pixels; sets the grid of a ViT's position embedding.
        depth: number of ViT blocks, where another than the architecture's own is wanted.
        layer_scale: LayerScale's starting value for a ViT; None keeps the architecture's.
        drop_path: rate for a network without tokens, where its architecture has one; a ViT takes it at each
            forward.
        arguments: of timm's constructor, beyond those above.

    Raises:
        RedDinoError: timm has no such architecture, or it does not take these arguments.
    """
    import timm

    require_name(name, "the backbone")
    if name == RESNET50_CUT:
        return PooledBackbone(cut_last_stage(timm.create_model("resnet50", pretrained=False, num_classes=0)))
    architecture, own = PATCH14.get(name, (name, {}))
    if not timm.is_model(architecture.split(".")[0]):
        raise RedDinoError(
            f"backbone '{name}' is neither vit_tiny_patch14 nor an architecture of timm {timm.__version__}"
        )
    arguments = {**own, **(arguments or {}), "num_classes": 0}
    if is_vit(architecture):
        arguments |= {"global_pool": "token"}
        optional: dict[str, Any] = {"img_size": image_size, "depth": depth, "init_values": layer_scale}
        arguments |= {key: value for key, value in optional.items() if value is not None}
    elif depth is not None or layer_scale is not None:
        key = "depth" if depth is not None else "layer_scale"
        raise RedDinoError(f"model.{key} only fits Vision Transformers, and '{name}' is not one")
    elif drop_path:
        arguments |= {"drop_path_rate": drop_path}
    require_architecture(arguments, f"backbone '{name}'")
    try:
        network = timm.create_model(architecture, pretrained=False, **arguments)
    except (
        TypeError,
        ValueError,
        AssertionError,
        RuntimeError,
        KeyError,
        IndexError,
        OverflowError,
    ) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(f"backbone '{name}' cannot be built with these arguments ({reason})") from error
    return wrap(network)


def is_vit(architecture: str) -> bool:
    """Return whether a timm name is a plain ViT with a class token, which our masked forward computes."""
    registers = "reg" in architecture and "dinov2" not in architecture
    return architecture.startswith("vit_") and not registers and "clip" not in architecture


def cut_last_stage(resnet: Any) -> Any:
    """Cut a timm ResNet so that it pools its last stage but one, as in the paper's baseline."""
    resnet.num_features = resnet.head_hidden_size = int(resnet.layer4[0].conv1.in_channels)
    resnet.layer4 = nn.Identity()
    return resnet


def is_cut(network: Any) -> bool:
    """Return whether `cut_last_stage` was applied."""
    return isinstance(getattr(network, "layer4", None), nn.Identity)


def wrap(network: Any) -> Backbone:
    """Put a timm network behind the interface of this module."""
    return ViTBackbone(network) if _is_plain_vit(network) else PooledBackbone(network)


def _is_plain_vit(network: Any) -> bool:
    """Return whether our forward computes what timm's would: every part must be of a known kind."""
    from timm.layers import Attention
    from timm.models import vision_transformer

    if type(network) is not vision_transformer.VisionTransformer:
        return False
    attention = [block.attn for block in network.blocks if type(block) is vision_transformer.Block]
    known_blocks = len(attention) == len(network.blocks) and all(
        type(part) is Attention
        and getattr(part, "gate", None) is None
        and all(isinstance(norm, nn.Identity) for norm in (part.q_norm, part.k_norm, part.norm))
        for part in attention
    )
    return (
        known_blocks
        and network.cls_token is not None
        and network.pos_embed is not None
        and (network.reg_token is None or network.no_embed_class)
        and hasattr(network.patch_embed, "proj")
        and isinstance(network.patch_embed.norm, nn.Identity)
        and isinstance(network.fc_norm, nn.Identity)
    )


def initialise(backbone: Backbone, seed: int) -> None:
    """Draw all weights from `seed` as DINOv2 does: truncated normal 0.02, zero biases, mask token zero.

    The patch embedding keeps the uniform fan-in scale of a convolution; a network without tokens keeps timm's
    scheme.
    """
    generator = torch.Generator().manual_seed(seed)
    if isinstance(backbone, PooledBackbone):
        _redraw(backbone.network, seed)
        return
    vit = backbone.vit
    with torch.no_grad():
        for module in vit.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
                nn.init.zeros_(module.bias)
        fan_in = vit.patch_embed.proj.weight[0].numel()
        nn.init.uniform_(
            vit.patch_embed.proj.weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator
        )
        nn.init.zeros_(vit.patch_embed.proj.bias)
        nn.init.trunc_normal_(vit.pos_embed, std=0.02, generator=generator)
        nn.init.normal_(vit.cls_token, std=1e-6, generator=generator)
        if vit.reg_token is not None:
            nn.init.normal_(vit.reg_token, std=1e-6, generator=generator)
        nn.init.zeros_(backbone.mask_token)


def _redraw(network: Any, seed: int) -> None:
    """Give a timm network fresh weights; many draw them only when they are built, so build it once more."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = timm.create_model(network.pretrained_cfg["architecture"], num_classes=0)
    if is_cut(network):
        fresh = cut_last_stage(fresh)
    network.load_state_dict(fresh.state_dict())
