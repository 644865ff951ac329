"""What workers of a cluster reply besides their results: that they refuse, or lack the pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reddino.embedding.open_part import Run
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.urls import is_url
from reddino.foundations.version import __version__
from reddino.smears.picture_files import file_of


@dataclass(frozen=True)
class Refusal:
    """An error for the user, on its way from a worker."""

    message: str


class RunResult(Protocol):
    """What came of a run of images, on its way from a worker."""

    @property
    def run(self) -> Run:
        """Return the images."""
        ...

    @property
    def count(self) -> int:
        """Return how many views, or pictures, it holds."""
        ...

    @property
    def unseen(self) -> str | None:
        """Return the file of an image that does not exist for the worker."""
        ...

    @property
    def node(self) -> str:
        """Return the name of the worker's machine."""
        ...


def refused_node(node: str, version: str, root: Path) -> Refusal | None:
    """Return why a machine cannot work: another version of RedDino, or no such folder; None where it can.

    Args:
        node: name of this machine.
        version: of the command.
        root: folder of the pictures.
    """
    if version != __version__:
        return Refusal(
            f"the node {node} runs RedDino {__version__}, and this command {version}: install one version on "
            "all nodes"
        )
    if not is_url(root) and not root.is_dir():
        return Refusal(_not_seen(node, str(root)))
    return None


def first_unseen(root: Path, names: Iterable[str]) -> str | None:
    """Return the file of the first of some pictures whose file does not exist here; None: all do."""
    for name in names:
        path = root / name
        if not is_url(path) and not (file := file_of(path)).exists():
            return str(file)
    return None


def require_seen(output: RunResult) -> None:
    """Refuse a run in which a worker lacked a file that exists for this process.

    Raises:
        RedDinoError: names the node and the file.
    """
    if output.unseen is not None and Path(output.unseen).exists():
        raise RedDinoError(_not_seen(output.node, output.unseen))


def _not_seen(node: str, path: str) -> str:
    where = "bring the pictures to a folder that all nodes share under one path"
    return f"the node {node} cannot see '{path}': {where}"
