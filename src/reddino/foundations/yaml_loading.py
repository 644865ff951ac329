"""YAML without surprises: the core schema of YAML 1.2, no key twice, no tags, aliases that stay small."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

#: Values after every alias is replaced by what it refers to.
_UNFOLDED = 1_000_000
_TAG = "tag:yaml.org,2002:"
_TAGS = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "merge", "seq", "map")}
_BOUND = 1 << 63


class _Text(yaml.SafeLoader):
    """Every scalar that is written out is text; an empty one is null."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's


class _Core(yaml.SafeLoader):
    """Numbers, `true`, `false` and `null`; all else is text.

    PyYAML's own reader (YAML 1.1) takes `no` and `on` for booleans, 010 for 8, 12:30 for 750, and 1e-4 for
    text.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's


_Text.add_implicit_resolver(f"{_TAG}null", re.compile(r"^$"), [""])
for _name, _pattern, _first in (
    ("null", r"^(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^([-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^([-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
        list("-+0123456789."),
    ),
    ("merge", r"^<<$", ["<"]),
):
    _Core.add_implicit_resolver(f"{_TAG}{_name}", re.compile(_pattern), _first)


def load_yaml(text: str, *, as_text: bool = False) -> Any:
    """Load one YAML document; with `as_text`, every value that is written out is text.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: it is not valid, or refused.
    """
    loader = (_Text if as_text else _Core)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {})
        return loader.construct_document(node)
    except (AttributeError, TypeError, KeyError) as error:  # PyYAML, on tags whose values do not fit them
        raise ValueError(f"a tag does not fit its value ({error})") from error
    finally:
        loader.dispose()


def _unfolded(node: Node, known: dict[int, int]) -> int:
    """Count the values for which a node stands, aliases replaced.

    In `known`, 0 marks a node that is being counted.
    """
    size = known.get(id(node))
    if size == 0:
        raise ValueError(f"an alias refers to itself{_place(node)}")
    if size is not None:
        return size
    known[id(node)] = 0
    size = 1
    if node.tag not in _TAGS:
        raise ValueError(f"the tag '{node.tag.replace(_TAG, '!!')[:60]}' is not read{_place(node)}")
    if isinstance(node, MappingNode):
        _require_once_each(node)
        size += sum(_unfolded(key, known) + _unfolded(value, known) for key, value in node.value)
    elif isinstance(node, SequenceNode):
        size += sum(_unfolded(part, known) for part in node.value)
    else:
        _require_plain(node)
    if size > _UNFOLDED:
        raise ValueError(f"its aliases unfold to more than {_UNFOLDED:,} values{_place(node)}")
    known[id(node)] = size
    return size


def _require_once_each(node: MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            raise ValueError(f"a list or an object stands where a key belongs{_place(key)}")
        if key.tag != f"{_TAG}merge":
            if key.value in seen:
                raise ValueError(f"the key {key.value[:60]!r} stands there twice{_place(key)}")
            seen.add(key.value)


class NumberError(ValueError):
    """A number that no program after this one can hold.

    Attributes:
        place: where it stands, e.g. " (line 3)".
    """

    def __init__(self, message: str, place: str) -> None:
        super().__init__(message)
        self.place = place


def _require_plain(node: Node) -> None:
    """Refuse numbers that no program after this one can hold."""
    if node.tag == f"{_TAG}int":
        base = 16 if node.value.startswith("0x") else 10
        if len(node.value) > 20 or abs(int(node.value, base)) >= _BOUND:
            raise NumberError(f"the number {node.value[:20]}... has more than 64 bits", _place(node))
    elif node.tag == f"{_TAG}float" and not math.isfinite(_float(node.value)):
        raise NumberError(f"the number {node.value[:20]} is not finite", _place(node))


def _float(value: str) -> float:
    return float(value.replace(".inf", "inf").replace(".nan", "nan") if value[-1:].isalpha() else value)


def _place(node: Node) -> str:
    return f" (line {node.start_mark.line + 1})"
