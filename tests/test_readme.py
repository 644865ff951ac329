"""The README and the documentation: commands are understood, recipes and links exist, and Python compiles."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import pytest

import reddino
from reddino import cli
from reddino.pretraining.run.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
#: Pages that `make docs` writes; a clone has them only afterwards.
GENERATED = {ROOT / "docs" / "reference" / name for name in ("cli.md", "recipe-keys.md")}
#: Pages whose commands are those of today: the lab logs keep what was run, and are left out.
GUIDES = [
    README,
    *(page for page in DOCUMENTS if page.parent.name in ("docs", "getting-started", "how-to", "concepts")),
]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def commands(document: Path) -> list[str]:
    lines = "".join(blocks(document, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("reddino ")]


def prose(document: Path) -> str:
    """The text without code; the reference, the design and what is not of the site hold no figures."""
    if document.parent in (ROOT, ROOT / "docs" / "reference") or document.name == "design.md":
        return ""
    text = document.read_text(encoding="utf-8")
    return re.sub(r"```.*?```|`[^`]*`|^    [^\n]*", "", text, flags=re.DOTALL | re.MULTILINE)


#: A score, or a measured time or size.
FIGURE = re.compile(r"\b0\.\d{3}\b|\d (seconds|minutes|ms|MB|GB|samples/s|images/s|views a second)\b")

COMMANDS = [pytest.param(line, id=f"{page.stem}: {line}") for page in GUIDES for line in commands(page)]


def test_readme__shows_every_command() -> None:
    shown = {shlex.split(command)[1] for command in commands(README)}
    shown |= set(re.findall(r"`reddino ([a-z]+)", README.read_text(encoding="utf-8")))
    assert shown >= {name for name in cli.app if not name.startswith("-")}


@pytest.mark.parametrize("command", COMMANDS)
def test_documents__command_is_understood(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    function, bound, _ = cli.app.parse_args(words, exit_on_error=False, print_error=False)
    if function is cli.pretrain:
        read_recipe(bound.arguments["recipe"], bound.arguments.get("overrides", ()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents__python_compiles(document: Path) -> None:
    for block in blocks(document, "python"):
        compile(textwrap.dedent(block), document.name, "exec")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents__links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        file = (document.parent / target).resolve()
        assert file.exists() or file in GENERATED, f"{document.name} links to {target}"


@pytest.mark.parametrize(
    "document", [page for page in DOCUMENTS if FIGURE.search(prose(page))], ids=lambda path: path.name
)
def test_documents__figures_name_hardware_and_command(document: Path) -> None:
    head = "".join(document.read_text(encoding="utf-8").splitlines(keepends=True)[:6])
    assert "> **Figures on this page**" in head


def test_api_page__shows_all_that_the_package_exports() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: [\w.]*\.(\w+)$", page, re.MULTILINE))
    assert shown == {name for name in reddino.__all__ if not name.startswith("_")}
