"""The layers hold, imports stand at the top of files and in no circle, and docs name files that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "reddino"


class Import(NamedTuple):
    """A module of the package that another one imports."""

    importer: str
    imported: str
    line: int
    in_function: bool
    for_type_checkers: bool


def _module(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(file): file for file in sorted(SOURCE.rglob("*.py"))}


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        for alias in node.names:
            module = f"{node.module}.{alias.name}"
            yield module if module in MODULES else node.module


def _imports(
    importer: str, node: ast.AST, in_function: bool = False, for_type_checkers: bool = False
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inner = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typed = for_type_checkers or (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        )
        if isinstance(child, ast.Import | ast.ImportFrom):
            for imported in _imported(child):
                if imported in MODULES:
                    yield Import(importer, imported, child.lineno, inner, typed)
        yield from _imports(importer, child, inner, typed)


IMPORTS = [
    found
    for module, file in MODULES.items()
    for found in _imports(module, ast.parse(file.read_text("utf-8"), str(file)))
]


def test_layers__hold() -> None:
    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_imports__go_in_no_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in IMPORTS:
        exported = found.importer == "reddino" and found.for_type_checkers
        if not exported:
            graph[found.importer].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_imports__stand_at_the_top_of_files() -> None:
    inside = [found for found in IMPORTS if found.in_function]
    assert [f"{found.importer}, line {found.line}: {found.imported}" for found in inside] == []


def test_imports__do_not_hide_from_the_running_program() -> None:
    hidden = [found for found in IMPORTS if found.for_type_checkers and found.importer != "reddino"]
    assert [f"{found.importer}, line {found.line}: {found.imported}" for found in hidden] == []


def test_modules__lie_in_packages() -> None:
    loose = {file.name for file in SOURCE.glob("*.py")}
    assert loose == {"__init__.py", "__main__.py"}
    folders = {folder.parent for folder in SOURCE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_docs__name_files_and_modules_that_exist() -> None:
    known = {file.relative_to(SOURCE).as_posix() for file in SOURCE.rglob("*.py")}
    missing = []
    for page in sorted(
        [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "experiments").glob("*.md")]
    ):
        text = page.read_text("utf-8")
        paths = re.findall(r"`(?:src/reddino/)?([a-z_0-9]+/[a-z_0-9/]+\.py)`", text)
        modules = re.findall(r"`(reddino(?:\.[a-z_0-9]+)+)`|^ *from (reddino[a-z_0-9.]*) import", text, re.M)
        missing += [
            f"{page.name}: {path}" for path in paths if path not in known and not (ROOT / path).is_file()
        ]
        for module in filter(None, chain.from_iterable(modules)):
            parent = module.rpartition(".")[0]
            if module not in MODULES and parent not in MODULES:
                missing.append(f"{page.name}: {module}")
    assert missing == []


def test_classes__have_names_of_their_own() -> None:
    names = Counter(
        node.name
        for file in MODULES.values()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []
