"""Verbs that write a result alone: refuse a second process, and remove what a killed one left."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from reddino.foundations.atomic import remove_partials
from reddino.foundations.locks import claimed
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.stores.urls import require_local

Given = ParamSpec("Given")
Made = TypeVar("Made")


def sole_writer(
    *, folders: Sequence[str] = (), files: Sequence[str] = ()
) -> Callable[[Callable[Given, Made]], Callable[Given, Made]]:
    """Make a verb the only one that writes its results; see `reddino.foundations.locks.claimed`.

    Args:
        folders: arguments that name a folder which the verb writes.
        files: arguments that name a file, next to which others of its name may be written.
    """

    def decorate(verb: Callable[Given, Made]) -> Callable[Given, Made]:
        signature = inspect.signature(verb)

        @functools.wraps(verb)
        def alone(*args: Given.args, **kwargs: Given.kwargs) -> Made:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            command = _identity(verb.__name__, given)
            with ExitStack() as claims:
                for name in (*folders, *files):
                    if given.get(name) is not None:
                        require_local(given[name])
                        out, is_folder = Path(given[name]), name in folders
                        claims.enter_context(claimed(out, command, folder=is_folder))
                        remove_partials(out if is_folder else out.parent, below=is_folder)
                return verb(*args, **kwargs)

        return alone

    return decorate


def _identity(verb: str, given: Mapping[str, Any]) -> str:
    """Return 16 hex digits that identify a killed command when it is given again."""
    return hash_bytes(json.dumps([verb, _plain(given)], sort_keys=True).encode())


def _plain(value: Any) -> Any:
    """Return an argument without what differs from call to call, such as the address of an object."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return type(value).__name__
