"""`cells` and `predict` on Ray: the files of one process, whoever works, continues or dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawn_slides import drawn_slide
from labelled_smears import draw_fields
from ray_clusters import cluster_of_two_cores

import reddino
from reddino.classification import vector_cache
from reddino.embedding.part_files import finished_parts
from reddino.smears.failures import Failures
from reddino.smears.manifest import write_manifest

pytest.importorskip("ray", reason="ray, of the extra 'ray', is absent")
ON_RAY: dict[str, Any] = {"ray": True, "ray_workers": 2}
FIELDS = 12


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster_of_two_cores() as started:
        yield started


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_cache, "PART_ROWS", 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fields without marks, of which one cannot be read; a classifier; its predictions."""
    made = tmp_path_factory.mktemp("smears")
    reddino.fit(draw_fields(made / "marked", fields=10), made / "c", model="morphology")
    listed = draw_fields(made / "plain", fields=FIELDS, marked=False)
    (made / "plain" / "f3.png").write_bytes(b"not an image")
    write_manifest(listed, made / "plain" / "m.csv")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vector_cache, "PART_ROWS", 12)
        reddino.predict(made / "c", made / "plain" / "m.csv", made / "whole.csv", kinds=False)
    return made


def results(folder: Path, name: str) -> dict[str, Any]:
    """The files of a prediction, by what follows its name; its record without name and provenance."""
    files = [one for one in folder.glob(f"{name}*") if one.is_file()]
    found: dict[str, Any] = {one.name.removeprefix(name): one.read_bytes() for one in files}
    found[".json"] = {**json.loads(found[".json"]), "provenance": None, "file": None}
    return found


def dying(pattern: str) -> tuple[Callable[[int, int], None], list[int]]:
    """A progress that kills one process of a name, once; and the processes that it killed."""
    killed: list[int] = []

    def progress(done: int, _: int) -> None:
        for child in Path("/proc").glob("[0-9]*/cmdline"):
            if not killed and child.read_bytes().startswith(pattern.encode()) and _is_ours(child.parent):
                killed.append(int(child.parent.name))
                os.kill(killed[0], signal.SIGKILL)

    return progress, killed


def _is_ours(process: Path) -> bool:
    """Whether a process descends from this one."""
    while process.name not in ("0", "1"):
        if int(process.name) == os.getpid():
            return True
        stat = (process / "stat").read_text().rpartition(")")[2].split()
        process = process.parent / stat[1]
    return False


def test_cells_on_ray__writes_the_manifest_of_one_process(folder: Path, address: str, tmp_path: Path) -> None:
    one, two = Failures(), Failures()
    reddino.cells(folder / "plain", tmp_path / "one.csv", failures=one)
    reddino.cells(folder / "plain", tmp_path / "two.csv", failures=two, **ON_RAY)
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert list(one) == list(two)
    assert len(one) == 1


def test_cells_on_ray__takes_paths_from_the_folder_of_the_command(
    folder: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    reddino.cells("plain", tmp_path / "one.csv")
    reddino.cells("plain", tmp_path / "two.csv", **ON_RAY)
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_cells_on_ray__deals_the_pictures_of_a_killed_worker_again(
    folder: Path, address: str, tmp_path: Path
) -> None:
    progress, killed = dying("ray::PictureWorker")
    reddino.cells(folder / "plain", tmp_path / "two.csv", progress=progress, **ON_RAY)
    assert killed
    reddino.cells(folder / "plain", tmp_path / "one.csv")
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_cells_on_ray__surveys_a_slide_and_continues_here(address: str, tmp_path: Path) -> None:
    def stop(now: int, _: int) -> None:
        if now == 1:
            raise KeyboardInterrupt

    slide = drawn_slide().path
    with pytest.raises(KeyboardInterrupt):
        reddino.cells(slide, tmp_path / "two.csv", progress=stop, **ON_RAY)
    assert any((tmp_path / ".two.csv.survey").iterdir())
    reddino.cells(slide, tmp_path / "two.csv", **ON_RAY)
    reddino.cells(slide, tmp_path / "one.csv")
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_predict_on_ray__writes_the_files_of_one_process(folder: Path, address: str) -> None:
    data = folder / "plain" / "m.csv"
    reddino.predict(folder / "c", data, folder / "ray.csv", kinds=False, **ON_RAY)
    assert results(folder, "ray") == results(folder, "whole")
    assert ".failures.csv" in results(folder, "ray")


def test_predict_on_ray__deals_the_pictures_of_a_killed_worker_again(folder: Path, address: str) -> None:
    progress, killed = dying("ray::RunWorker")
    reddino.predict(
        folder / "c",
        folder / "plain" / "m.csv",
        folder / "mortal.csv",
        kinds=False,
        progress=progress,
        **ON_RAY,
    )
    assert killed
    assert results(folder, "mortal") == results(folder, "whole")


DRIVER = """
import os, signal, sys
from pathlib import Path
import reddino
from reddino.classification import vector_cache
vector_cache.PART_ROWS = 12
def progress(done, total):
    if done > 60:
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1])
reddino.predict(folder / "c", folder / "plain" / "m.csv", folder / "driven.csv", kinds=False,
    ray=sys.argv[2], ray_workers=2, progress=progress)
"""


@pytest.mark.kills
def test_predict_on_ray__continues_after_its_command_was_killed(folder: Path, address: str) -> None:
    driver = subprocess.run([sys.executable, "-c", DRIVER, str(folder), address], check=False)
    assert driver.returncode == -signal.SIGKILL
    assert finished_parts(folder / ".driven.csv.vectors")
    assert not (folder / "driven.csv").exists()
    reddino.predict(folder / "c", folder / "plain" / "m.csv", folder / "driven.csv", kinds=False, **ON_RAY)
    assert results(folder, "driven") == results(folder, "whole")
    assert not list(folder.glob(".*.vectors"))
