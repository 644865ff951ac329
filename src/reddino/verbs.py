"""The verbs that the package exports, and rooms that can be called like the verb they are named after."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

#: Name of the export -> module that holds it; loaded when first asked for.
EXPORTS = {
    **dict.fromkeys(
        (
            *("batch", "cells", "check", "convert", "export", "fit", "load", "manifest", "models"),
            *("pack", "patches", "plan", "predict", "push", "report", "synthesise"),
        ),
        "reddino.api",
    ),
    **dict.fromkeys(
        ("Manifest", "join_manifests", "read_manifest", "write_manifest"), "reddino.smears.manifest"
    ),
    "EmbeddingTransformer": "reddino.embed.transformer",
    "RedDinoError": "reddino.errors",
    "read_embeddings": "reddino.embed.table",
    "read_recipe": "reddino.pretrain.recipe",
}
#: Verbs with a module of their own: `reddino.pretrain(...)` calls, `reddino.pretrain.loop` is the room.
ROOMS = ("demo", "embed", "evaluate", "explore", "pretrain")


class _Callable(ModuleType):
    """A module that passes a call on to the verb of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        verb = getattr(import_module("reddino.api"), self.__name__.rpartition(".")[2])
        return verb(*arguments, **options)


def make_callable(module: str) -> None:
    """Let a module that is being imported be called as the verb of its name.

    Importing a submodule binds its name in the package, over any function of that name: a package that has
    both a room `pretrain` and a verb `pretrain` must make them one object.
    """
    sys.modules[module].__class__ = _Callable


def find(name: str) -> Any:
    """An export by its name, or AttributeError."""
    if name in ROOMS:
        return import_module(f"reddino.{name}")
    if name not in EXPORTS:
        raise AttributeError(f"module 'reddino' has no attribute '{name}'")
    return getattr(import_module(EXPORTS[name]), name)
