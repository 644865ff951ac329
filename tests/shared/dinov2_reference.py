"""A tiny DINOv2 of transformers with random weights, and its tensors under the names of DINOv2's files."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from random_weights import randomise
from torch import Tensor, nn

WIDTH, HEADS, DEPTH, GRID = 128, 2, 2, 3
SIZE = 14 * GRID


def reference(*, swiglu: bool = False, registers: int = 0, grid: int = GRID) -> nn.Module:
    """transformers' network: plain MLP or SwiGLU, with or without registers."""
    transformers = pytest.importorskip("transformers")
    options: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": DEPTH,
        "patch_size": 14,
        "image_size": 14 * grid,
        "use_swiglu_ffn": swiglu,
        "attn_implementation": "eager",
    }
    if registers:
        config = transformers.Dinov2WithRegistersConfig(**options, num_register_tokens=registers)
        model = transformers.Dinov2WithRegistersModel(config)
    else:
        model = transformers.Dinov2Model(transformers.Dinov2Config(**options))
    randomise(model, 7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lambda1" in name:
                parameter.add_(1.0)
    model.eval()
    return cast(nn.Module, model)


def native(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of the reference under the names that DINOv2's code gives them."""
    given = {name: value.detach().clone() for name, value in model.state_dict().items()}
    modern = any(name.endswith("q_proj.weight") for name in given)
    query = ("q_proj", "k_proj", "v_proj") if modern else tuple(f"attention.{n}" for n in _OLD)
    out = "o_proj" if modern else "output.dense"
    tensors = {
        "cls_token": given["embeddings.cls_token"],
        "mask_token": given["embeddings.mask_token"],
        "pos_embed": given["embeddings.position_embeddings"],
    }
    if "embeddings.register_tokens" in given:
        tensors["register_tokens"] = given["embeddings.register_tokens"]
    for kind in ("weight", "bias"):
        tensors[f"patch_embed.proj.{kind}"] = given[f"embeddings.patch_embeddings.projection.{kind}"]
        tensors[f"norm.{kind}"] = given[f"layernorm.{kind}"]
    for i in range(DEPTH):
        layer, block = f"encoder.layer.{i}", f"blocks.{i}"
        for k in (1, 2):
            tensors[f"{block}.ls{k}.gamma"] = given[f"{layer}.layer_scale{k}.lambda1"]
        for kind in ("weight", "bias"):
            parts = [given[f"{layer}.attention.{name}.{kind}"] for name in query]
            tensors[f"{block}.attn.qkv.{kind}"] = torch.cat(parts)
            tensors[f"{block}.attn.proj.{kind}"] = given[f"{layer}.attention.{out}.{kind}"]
            for name in ("norm1", "norm2"):
                tensors[f"{block}.{name}.{kind}"] = given[f"{layer}.{name}.{kind}"]
            for theirs, own in _FEED_FORWARD.items():
                if f"{layer}.mlp.{theirs}.{kind}" in given:
                    tensors[f"{block}.mlp.{own}.{kind}"] = given[f"{layer}.mlp.{theirs}.{kind}"]
            if f"{layer}.mlp.gate_proj.{kind}" in given:
                packed = [given[f"{layer}.mlp.{name}_proj.{kind}"] for name in ("gate", "up")]
                tensors[f"{block}.mlp.w12.{kind}"] = torch.cat(packed)
    assert sum(value.numel() for value in tensors.values()) == sum(value.numel() for value in given.values())
    return tensors


_OLD = ("query", "key", "value")
_FEED_FORWARD = {"fc1": "fc1", "fc2": "fc2", "weights_in": "w12", "weights_out": "w3", "down_proj": "w3"}
