"""Which arguments of timm's constructors a file may set: those that describe an architecture, within reason.

timm takes more than an architecture from its arguments, such as files to open (`checkpoint_path`), places to
fetch from (`pretrained_cfg`) and folders to write to (`cache_dir`). A model folder is often somebody else's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import in_line

#: A timm name with its tag: nothing with a slash or a colon, which timm would fetch or open.
NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(-cut)?")
DEPTHS, SIDES = range(1, 201), range(1, 8193)

_NORMS = ("layernorm", "layernorm2d", "rmsnorm", "batchnorm", "batchnorm2d", "groupnorm", "groupnorm1")
_ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "prelu", "gelu", "gelu_tanh", "quick_gelu"),
    *("silu", "swish", "mish", "sigmoid", "tanh", "hard_sigmoid", "hard_swish", "hard_mish"),
)

Accepts = Callable[[Any], bool]


def is_whole(value: Any, within: range) -> bool:
    """Return whether this is a whole number of a range; true and false are not."""
    return type(value) is int and value in within


def is_number(value: Any, least: float, most: float) -> bool:
    """Return whether this is a number, at least `least` and at most `most`."""
    return type(value) in (int, float) and math.isfinite(value) and least <= value <= most


def _whole(within: range) -> tuple[Accepts, str]:
    return (lambda value: is_whole(value, within), f"a whole number from {within[0]} to {within[-1]}")


def _pair(within: range) -> tuple[Accepts, str]:
    """Accept one number, or two for height and width."""

    def accepts(value: Any) -> bool:
        several = value if isinstance(value, list | tuple) else [value]
        return len(several) in (1, 2) and all(is_whole(one, within) for one in several)

    return accepts, f"a whole number from {within[0]} to {within[-1]}, or two"


def _stages(within: range) -> tuple[Accepts, str]:
    """Accept one number for each stage of a network."""

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(value) in range(1, 9)
            and all(is_whole(one, within) for one in value)
        )

    return accepts, f"one to eight whole numbers from {within[0]} to {within[-1]}"


def _number(least: float, most: float) -> tuple[Accepts, str]:
    return (lambda value: is_number(value, least, most), f"a number from {least:g} to {most:g}")


def _one_of(*names: str) -> tuple[Accepts, str]:
    return (lambda value: value in names, f"one of {', '.join(map(repr, names))}")


_SWITCH: tuple[Accepts, str] = (lambda value: isinstance(value, bool), "true or false")
_RATE, _WIDTH = _number(0, 0.99), _whole(range(1, 16385))
ALLOWED: Mapping[str, tuple[Accepts, str]] = {
    "img_size": _pair(SIDES),
    "patch_size": _pair(range(1, 1025)),
    "in_chans": _whole(range(3, 4)),
    "num_classes": _whole(range(100_001)),
    "global_pool": _one_of("", "avg", "avgmax", "max", "token", "map", "catavgmax", "fast", "fastavg"),
    "embed_dim": _WIDTH,
    "depth": _whole(DEPTHS),
    "num_heads": _whole(range(1, 257)),
    "mlp_ratio": _number(0.01, 64),
    "init_values": _number(0, 1000),
    "reg_tokens": _whole(range(1025)),
    "pos_embed": _one_of("", "none", "learn"),
    "depths": _stages(DEPTHS),
    "dims": _stages(range(1, 16385)),
    "window_size": _pair(range(1, 257)),
    "output_stride": _whole(range(1, 65)),
    "norm_layer": _one_of(*_NORMS),
    "act_layer": _one_of(*_ACTIVATIONS),
    **dict.fromkeys(
        (
            *("qkv_bias", "qk_norm", "proj_bias", "class_token", "no_embed_class", "pre_norm", "final_norm"),
            *("fc_norm", "scale_attn_norm", "scale_mlp_norm", "pool_include_prefix", "fix_init"),
            *("dynamic_img_size", "dynamic_img_pad", "strict_img_size"),
        ),
        _SWITCH,
    ),
    **dict.fromkeys(
        (
            *("drop_rate", "drop_path_rate", "pos_drop_rate", "patch_drop_rate"),
            *("proj_drop_rate", "attn_drop_rate"),
        ),
        _RATE,
    ),
}


def require_architecture(arguments: Mapping[str, Any], origin: str) -> None:
    """Refuse arguments of timm's constructors that do more than describe an architecture, or a huge one.

    Args:
        arguments: by name; None leaves an argument as the architecture has it.
        origin: where they come from, for errors.

    Raises:
        RedDinoError: names the argument.
    """
    for name, value in arguments.items():
        if name not in ALLOWED:
            raise RedDinoError(
                f"{origin}: the argument '{in_line(name)}' does not describe an architecture, so it is not "
                "passed on to timm: remove it"
            )
        accepts, wanted = ALLOWED[name]
        if value is not None and not accepts(value):
            raise RedDinoError(
                f"{origin}: the argument '{name}' is {str(value)[:60]!r}, which is not {wanted}"
            )


def require_name(name: Any, origin: str) -> None:
    """Refuse what is not an architecture's name, such as an address that timm would fetch.

    Raises:
        RedDinoError: shows it.
    """
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise RedDinoError(f"{origin}: the architecture {str(name)[:60]!r} is not a name of timm")
