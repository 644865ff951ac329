"""`--ray` with and without an address."""

from __future__ import annotations

from typing import Any

import pytest

import reddino
from reddino.cli import app


class _TakenError(Exception):
    pass


@pytest.mark.parametrize(
    ("options", "ray"),
    [
        ([], False),
        (["--ray"], True),
        (["--ray", "auto"], "auto"),
        (["--ray", "ray://h:10001"], "ray://h:10001"),
    ],
)
def test_embed__takes_ray_with_and_without_an_address(
    monkeypatch: pytest.MonkeyPatch, options: list[str], ray: bool | str
) -> None:
    taken: dict[str, Any] = {}

    def embed(data: list[str], *_: Any, **given: Any) -> None:
        taken.update(given, data=data)
        raise _TakenError

    monkeypatch.setattr(reddino, "embed", embed)
    with pytest.raises(_TakenError):
        app(["embed", "a", "b", *options, "--out", "t", "--ray-workers", "3"], exit_on_error=False)
    assert (taken["data"], taken["ray"], taken["ray_workers"]) == (["a", "b"], ray, 3)


@pytest.mark.parametrize(("options", "ray"), [([], False), (["--ray"], True), (["--ray", "auto"], "auto")])
@pytest.mark.parametrize("command", [["cells", "a"], ["predict", "c", "a", "b"]])
def test_cells_and_predict__take_ray_with_and_without_an_address(
    monkeypatch: pytest.MonkeyPatch, command: list[str], options: list[str], ray: bool | str
) -> None:
    taken: dict[str, Any] = {}

    def take(*_: Any, **given: Any) -> None:
        taken.update(given)
        raise _TakenError

    monkeypatch.setattr(reddino, command[0], take)
    with pytest.raises(_TakenError):
        app([*command, *options, "--out", "t.csv", "--ray-workers", "3"], exit_on_error=False)
    assert (taken["ray"], taken["ray_workers"]) == (ray, 3)
