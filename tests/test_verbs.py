"""The package exports the verbs of the command line, without loading anything before it is used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import reddino
from reddino import api, cli, verbs


def in_a_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_import__loads_neither_torch_nor_numpy_nor_the_command_line() -> None:
    heavy = "['torch', 'numpy', 'pyarrow', 'sklearn', 'timm', 'cyclopts']"
    assert in_a_new_process(f"import sys, reddino; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_import__help_of_the_command_line_loads_no_torch() -> None:
    code = (
        "import sys; from reddino.cli import main; main(['embed', '--help']); print('torch' in sys.modules)"
    )
    assert in_a_new_process(code).endswith("False")


def test_import__what_makes_batches_loads_neither_timm_nor_what_other_verbs_need() -> None:
    heavy = "['timm', 'torchvision', 'torch._dynamo', 'sklearn', 'scipy.sparse', 'matplotlib']"
    code = "import sys, reddino.inputs, reddino.pretrain.loop; "
    assert in_a_new_process(f"{code}print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_import__openmp_waits_passively_unless_told_otherwise() -> None:
    shown = "import reddino; print(os.environ['OMP_WAIT_POLICY'])"
    assert in_a_new_process(f"import os; os.environ.pop('OMP_WAIT_POLICY', None); {shown}") == "PASSIVE"
    assert in_a_new_process(f"import os; os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'; {shown}") == "ACTIVE"


def test_exports__every_command_is_a_verb_of_the_package() -> None:
    named = [name for part in (cli.app, cli.data_app) for name in part if not name.startswith("-")]
    commands = [name for name in named if name != "data"]
    assert sorted(commands) == sorted(api.__all__)
    for name in commands:
        assert callable(getattr(reddino, name))
        assert name in reddino.__all__
        assert name in dir(reddino)


def test_exports__all_of_them_are_there() -> None:
    for name in reddino.__all__:
        assert getattr(reddino, name) is not None
    with pytest.raises(AttributeError, match="no_such_verb"):
        _ = reddino.no_such_verb


@pytest.mark.parametrize("room", verbs.ROOMS)
def test_rooms__call_the_verb_of_their_name(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module(
        f"reddino.{room}"
    )  # binds the module in the package, as importing a submodule does
    monkeypatch.setattr(api, room, lambda *arguments, **options: (room, arguments, options))
    assert getattr(reddino, room)(1, two=2) == (room, (1,), {"two": 2})


def test_rooms__still_hold_their_modules() -> None:
    from reddino.pretrain import schedules

    assert reddino.pretrain.schedules is schedules


def test_api__draws_checks_and_finds_cells(tmp_path: Path) -> None:
    drawn = reddino.synthesise(
        tmp_path / "s", sources=["lilac"], patients_per_source=1, fields_per_patient=1, field_um=60
    )
    assert len(reddino.check(tmp_path / "s" / "manifest.csv")) == len(drawn)
    found = reddino.cells(drawn, tmp_path / "cells.csv")
    assert len(reddino.read_manifest(tmp_path / "cells.csv")) == len(found) > 0
