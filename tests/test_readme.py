"""The README: its commands are understood, its recipes and links exist, and its Python compiles."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from reddino import cli
from reddino.pretraining.run.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("reddino ")]


def test_readme__shows_every_command() -> None:
    shown = {shlex.split(command)[1] for command in COMMANDS} | set(re.findall(r"`reddino ([a-z]+)", README))
    assert shown >= {name for name in cli.app if not name.startswith("-")}


@pytest.mark.parametrize("command", COMMANDS)
def test_readme__command_is_understood(command: str) -> None:
    function, bound, _ = cli.app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)
    if function is cli.pretrain:
        read_recipe(bound.arguments["recipe"], bound.arguments.get("overrides", ()))


def test_readme__python_compiles() -> None:
    assert blocks("python")
    for block in blocks("python"):
        compile(block, "README.md", "exec")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents__links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
