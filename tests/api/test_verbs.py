"""The package exports the verbs of the command line, without loading anything before it is used."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import reddino
from reddino import cli
from reddino.api.arguments import with_former_names


def in_a_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_import__loads_neither_torch_nor_numpy_nor_the_command_line() -> None:
    heavy = "['torch', 'numpy', 'pyarrow', 'sklearn', 'timm', 'cyclopts']"
    assert in_a_new_process(f"import sys, reddino; print([m for m in {heavy} if m in sys.modules])") == "[]"


@pytest.mark.parametrize(
    "command", ["--help", "embed --help", "evaluate --help", "manifest --help", "labels --help"]
)
def test_import__help_of_the_command_line_loads_nothing_that_computes(command: str) -> None:
    heavy = "['torch', 'numpy', 'pyarrow', 'sklearn', 'timm', 'matplotlib', 'sqlalchemy', 'fastapi']"
    code = (
        f"import sys; from reddino.cli import main; main({command.split()}); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert in_a_new_process(code).endswith("[]")


def test_import__verbs_load_nothing_that_they_do_without() -> None:
    unused = {
        "reddino.api.embedding": "sklearn scipy.stats scipy.sparse scipy.optimize matplotlib timm",
        "reddino.pretraining.train": "timm torchvision torch._dynamo sklearn scipy.sparse matplotlib",
        "reddino.classification.fit_job": "timm torchvision torch._dynamo",
    }
    code = (
        "import importlib, sys\n"
        f"for module, heavy in {unused}.items():\n"
        "    importlib.import_module(module)\n"
        "    print(module, [name for name in heavy.split() if name in sys.modules])"
    )
    assert in_a_new_process(code) == "\n".join(f"{module} []" for module in unused)


def test_import__openmp_waits_passively_unless_told_otherwise() -> None:
    shown = "import reddino; print(os.environ['OMP_WAIT_POLICY'])"
    assert in_a_new_process(f"import os; os.environ.pop('OMP_WAIT_POLICY', None); {shown}") == "PASSIVE"
    assert in_a_new_process(f"import os; os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'; {shown}") == "ACTIVE"


def test_exports__every_command_is_a_verb_of_the_package() -> None:
    named = [name for part in (cli.app, cli.data_app) for name in part if not name.startswith("-")]
    commands = [name for name in named if name not in ("data", "patients", "table")]
    assert set(commands) <= set(reddino.__all__)
    for name in commands:
        assert callable(getattr(reddino, name))
        assert name in reddino.__all__
        assert name in dir(reddino)


def test_exports__all_of_them_are_there() -> None:
    for name in reddino.__all__:
        assert getattr(reddino, name) is not None
    with pytest.raises(AttributeError, match="no_such_verb"):
        _ = reddino.no_such_verb


def test_exports__are_the_same_for_type_checkers_and_when_the_program_runs() -> None:
    tree = ast.parse(Path(str(reddino.__file__)).read_text())
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        name.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert imported == reddino._MODULE_OF
    assert sorted(reddino.__all__) == sorted([*imported, "__version__"])


def test_exports__verbs_are_functions_with_their_own_signatures() -> None:
    # No subpackage has the name of a verb: importing it would put the module in the function's place.
    for module in pkgutil.walk_packages(reddino.__path__, "reddino."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert inspect.isfunction(reddino.embed) and "find_cells" in inspect.signature(reddino.embed).parameters
    for name in reddino._MODULE_OF:
        assert not inspect.ismodule(getattr(reddino, name)), name


def test_api__draws_checks_and_finds_cells(tmp_path: Path) -> None:
    drawn = reddino.synthesise(
        tmp_path / "s", sources=["lilac"], patients_per_source=1, fields_per_patient=1, field_um=60
    )
    assert len(reddino.check(tmp_path / "s" / "manifest.csv")) == len(drawn)
    found = reddino.cells(drawn, tmp_path / "cells.csv")
    assert len(reddino.read_manifest(tmp_path / "cells.csv")) == len(found) > 0


def test_former_names__of_arguments_are_accepted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    @with_former_names(labelled="online_data")
    def verb(place: str, *, online_data: str = "none") -> str:
        return f"{place} {online_data}"

    assert verb("here") == "here none" and verb("here", online_data="cells") == "here cells"
    assert "former" not in caplog.text and "online_data" not in caplog.text
    assert verb("here", **{"labelled": "cells"}) == "here cells"
    assert "the argument labelled of verb is now called online_data" in caplog.text
    assert "online_data" in inspect.signature(reddino.pretrain).parameters
