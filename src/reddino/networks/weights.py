"""Reading weights without executing code, and loading them strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from reddino.foundations.archives import require_stored
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.networks.backbone import Backbone, PooledBackbone, ViTBackbone
from reddino.networks.position import position_side, resample_positions

MASK_TOKEN = "mask_token"
#: Keys under which training code keeps a state dict, outermost first.
_WRAPPERS = ("model", "state_dict", "teacher")
_PREFIXES = ("teacher.backbone.", "module.backbone.", "backbone.", "module.")
#: A tensor of every ViT.
_PATCHES = "patch_embed.proj.weight"
_CHUNKED_BLOCK = re.compile(r"^blocks\.\d+\.(\d+)\.")
#: SwiGLU as DINOv2 names it, and as timm does; both pack the gate before the value.
_SWIGLU = ((re.compile(r"\.mlp\.w12\."), ".mlp.fc1."), (re.compile(r"\.mlp\.w3\."), ".mlp.fc2."))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a weights file of the DINOv2 family: `.safetensors` or plain tensors, under timm's names.

    A training checkpoint in the layout of DINOv2, RedDino or DinoBloom (`teacher` → `backbone.*`) gives the
    teacher's backbone; block-chunked names become plain ones, and DINOv2's names of SwiGLU and registers
    become timm's.

    Raises:
        RedDinoError: the file is missing, is not weights, or holds more than tensors (which could execute
            code).
    """
    content = _read_content(path)
    # Tensors of safetensors are under the names of the program that wrote them, mostly ours.
    return content if path.suffix == ".safetensors" else teacher_backbone(content, path)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a weights file of any network, under the names in it; wrappers and prefixes of trainers go.

    Raises:
        RedDinoError: as `read_tensors`.
    """
    return state_dict_of(_read_content(path), path)


def _read_content(path: Path) -> Any:
    if not path.is_file():
        raise RedDinoError(f"weights file {path} does not exist; give a .safetensors, .pth, .pt or .bin file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        require_stored(path, path.stat().st_size, str(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except RedDinoError:
        raise
    except Exception as error:  # on bytes that are no weights, torch's reader raises errors of many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(
            f"{path} cannot be read as weights (plain tensors only, code is never executed): {reason}"
        ) from error


def teacher_backbone(content: object, path: Path) -> dict[str, Tensor]:
    """Return the backbone in the content of a file of the DINOv2 family, under timm's names.

    Raises:
        RedDinoError: it is no dictionary of tensors.
    """
    found = state_dict_of(content, path)
    if _PATCHES not in found:
        return found  # of another family, whose names mean something else
    tensors: dict[str, Tensor] = {}
    for given, value in found.items():
        name = _timm_name(given)
        if name in tensors:
            raise RedDinoError(f"{path}: two tensors are called '{name}' once their names are timm's")
        tensors[name] = value
    return _timm_registers(tensors)


def state_dict_of(content: object, path: Path) -> dict[str, Tensor]:
    """Return the tensors in the content of a file, without wrappers and prefixes of trainers.

    Raises:
        RedDinoError: it is no dictionary of tensors.
    """
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise RedDinoError(
            f"{path} holds no dictionary of tensors; give a state dict or a DINOv2 training checkpoint"
        )
    for prefix in _PREFIXES:
        if any(str(name).startswith(prefix) for name in content):
            content = {
                str(name).removeprefix(prefix): value
                for name, value in content.items()
                if str(name).startswith(prefix)
            }
            break
    strangers = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        raise RedDinoError(
            f"{path}: entry '{strangers[0]}' is no tensor; give a state dict or a DINOv2 training checkpoint"
        )
    for given, value in content.items():
        _require_plain(str(given), value, str(path))
    return {str(given): value for given, value in content.items()}


def _require_plain(name: str, value: Tensor, origin: str) -> None:
    """Refuse tensors that are not plain numbers in memory, or that show few numbers as many."""
    if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_complex():
        raise RedDinoError(f"{origin}: tensor '{name}' is not made of plain real numbers")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise RedDinoError(f"{origin}: tensor '{name}' claims more numbers than the file holds of it")


def _timm_name(name: str) -> str:
    name = _CHUNKED_BLOCK.sub(r"blocks.\1.", name)
    for pattern, timm_name in _SWIGLU:
        name = pattern.sub(timm_name, name)
    return name


def _timm_registers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return DINOv2's registers as timm keeps them: with the class token's position added to it."""
    if "register_tokens" not in tensors or not {"cls_token", "pos_embed"} <= tensors.keys():
        return tensors
    registers, positions = tensors["register_tokens"], tensors["pos_embed"]
    token = tensors["cls_token"]
    if not (positions.ndim == token.ndim == 3 and positions.shape[-1] == token.shape[-1]):
        return tensors  # of another network: it is named when these are loaded
    del tensors["register_tokens"]
    tensors["cls_token"] = tensors["cls_token"] + positions[:, :1]
    return tensors | {"reg_token": registers, "pos_embed": positions[:, 1:].contiguous()}


def load_strictly(
    backbone: Backbone, tensors: Mapping[str, Tensor], origin: str, *, resample: bool = False
) -> None:
    """Load `tensors` into `backbone`; every tensor must be used and every parameter filled.

    The mask token alone may be missing (released models lack it; it is zero then).

    Args:
        backbone: takes the values.
        tensors: under timm's names.
        origin: where they come from, for errors.
        resample: bring a position embedding of another square grid to the backbone's own
            (`position.RESAMPLING`); otherwise it is refused.

    Raises:
        RedDinoError: names what is missing, unexpected, of the wrong shape, or not finite.
    """
    remaining = dict(tensors)
    network = backbone.vit if isinstance(backbone, ViTBackbone) else backbone.network
    if isinstance(backbone, ViTBackbone):
        if MASK_TOKEN in remaining:
            mask = remaining.pop(MASK_TOKEN)
            if mask.numel() != backbone.dim:
                raise RedDinoError(
                    f"{origin}: tensor '{MASK_TOKEN}' has shape {tuple(mask.shape)}, this backbone needs "
                    f"{(1, backbone.dim)}"
                )
            backbone.mask_token.data.copy_(mask.reshape(1, -1))
        _fit_positions(backbone, remaining, origin, resample)
    expected = network.state_dict()
    _require_same_names(set(expected), set(remaining), origin)
    for name, value in remaining.items():
        if value.shape != expected[name].shape:
            raise RedDinoError(
                f"{origin}: tensor '{name}' has shape {tuple(value.shape)}, this backbone needs "
                f"{tuple(expected[name].shape)}"
            )
        if value.is_floating_point() != expected[name].is_floating_point() or value.is_complex():
            raise RedDinoError(
                f"{origin}: tensor '{name}' is of {value.dtype}, this backbone needs {expected[name].dtype}"
            )
    require_finite_tensors(tensors, origin)
    network.load_state_dict(remaining, strict=True)


def require_finite_tensors(tensors: Mapping[str, Tensor], origin: str) -> None:
    """Refuse weights that hold NaN or infinity: every vector of such a network is worthless.

    Raises:
        RedDinoError: names the first such tensor, and how many there are.
    """
    wrong = [
        name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if wrong:
        more = f", as do {len(wrong) - 1} more tensors" if len(wrong) > 1 else ""
        raise RedDinoError(
            f"{origin}: tensor '{wrong[0]}' holds numbers that are not finite{more}: the file is damaged, or "
            "its training diverged; give other weights"
        )


def _fit_positions(backbone: ViTBackbone, tensors: dict[str, Tensor], origin: str, resample: bool) -> None:
    wanted = backbone.vit.pos_embed
    given = tensors.get("pos_embed")
    prefix = backbone.positioned_prefix
    if given is None or given.ndim != 3 or given.shape[-1] != wanted.shape[-1]:
        return  # a tensor that is missing or of another width is named with the others
    side, own = position_side(given, prefix, origin), position_side(wanted, prefix, "the backbone")
    if side != own and not resample:
        patch = backbone.patch_size
        raise RedDinoError(
            f"{origin}: the position embedding has {given.shape[1]} tokens ({side} x {side} patches, "
            f"{side * patch} px), but {own} x {own} ({own * patch} px) was announced; name the image size "
            f"{side * patch} if these are the right weights"
        )
    tensors["pos_embed"] = resample_positions(given, (own, own), prefix)


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
    """Return the tensors of the timm network inside `backbone`, contiguous on the CPU."""
    network = backbone.network if isinstance(backbone, PooledBackbone) else backbone.vit
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def hash_weights(backbone: Backbone) -> str:
    """Return 16 hex digits that are equal for two backbones only if all names and values agree."""
    chunks = []
    for name, value in sorted(backbone_tensors(backbone).items()):
        chunks += [name.encode(), str(tuple(value.shape)).encode(), value.float().numpy().tobytes()]
    return hash_bytes(*chunks)
