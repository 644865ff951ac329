"""Ray as a driver of the pass: the table of one process, whoever begins it, ends it or dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fields_of_discs import draw_discs, grid
from ray_clusters import cluster_of_two_cores
from ray_encoders import Mortal, run_ray_pass
from smear_fields import Projection

import reddino
from reddino.embedding.part_files import finished_parts
from reddino.embedding.ray_pass import RayPass
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest, write_manifest

pytest.importorskip("ray", reason="ray, of the extra 'ray', is absent")
SHARED = Path(__file__).parents[1] / "shared"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two cores, which the passes of this process use, and others by its address."""
    with cluster_of_two_cores() as started:
        yield started


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def on_ray(**options: Any) -> RayPass:
    return RayPass(workers=2, device="cpu", **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table `whole` of one process, and the same fields for others."""
    folder = tmp_path_factory.mktemp("ray")
    run_ray_pass(folder, "whole", None, Projection())
    return folder


def test_ray_pass__writes_the_files_of_one_process(whole: Path, address: str) -> None:
    report = run_ray_pass(whole, "ray", on_ray(), Projection())
    assert files(whole / "ray") == files(whole / "whole")
    assert (report.failed, report.resumed) == (1, 0)
    assert (whole / "ray" / "failures.csv").read_text().count("field05.png") == 1


@pytest.mark.parametrize("ends_on_ray", [True, False])
def test_ray_pass__continues_the_pass_of_one_process_and_the_other_way_around(
    whole: Path, address: str, ends_on_ray: bool
) -> None:
    name = f"continued-{ends_on_ray}"
    run_ray_pass(whole, name, None if ends_on_ray else on_ray(), Projection())
    parts = list(finished_parts(whole / name).values())
    for part in (parts[1], *parts[4:7], parts[-1]):  # gaps, as parts that were never finished leave them
        part.unlink()
    kept = sum(1 for _ in finished_parts(whole / name))
    report = run_ray_pass(whole, name, on_ray() if ends_on_ray else None, Projection())
    assert 0 < report.resumed < report.rows
    assert kept == len(parts) - 5
    assert files(whole / name) == files(whole / "whole")


def test_ray_pass__deals_the_images_of_a_killed_worker_again(whole: Path, address: str) -> None:
    flag = whole / "died"
    run_ray_pass(whole, "mortal", on_ray(), Mortal(flag))
    assert flag.exists()
    assert files(whole / "mortal") == files(whole / "whole")


def test_ray_pass__ends_where_workers_die_again_and_again(whole: Path, address: str) -> None:
    with pytest.raises(RedDinoError, match=r"workers died again and again on the pictures 'field\d\d"):
        run_ray_pass(whole, "immortal", on_ray(), Mortal())
    assert not list((whole / "immortal").glob(".*"))


@pytest.mark.kills
def test_ray_pass__continues_after_its_driver_was_killed(whole: Path, address: str) -> None:
    table = whole / "t"
    command = [sys.executable, str(SHARED / "ray_encoders.py"), str(whole), address]
    with subprocess.Popen(command) as driver:
        while len(finished_parts(table)) < 3 and driver.poll() is None:
            time.sleep(0.02)
        driver.kill()
    assert driver.returncode == -signal.SIGKILL
    kept = {name: data for name, data in files(table).items() if name.startswith("part-")}
    assert 3 <= len(finished_parts(table)) < len(finished_parts(whole / "whole"))
    run_ray_pass(whole, "t", on_ray(), Projection())
    after = files(table)
    assert kept.items() <= after.items()
    assert after.keys() == files(whole / "whole").keys()
    require_equal(table, whole / "whole")


def require_equal(folder: Path, other: Path) -> None:
    """Require the rows and vectors of one table to be those of another."""
    a, b = (reddino.read_embeddings(table) for table in (folder, other))
    assert a.table.equals(b.table)
    assert np.array_equal(a.vectors, b.vectors)


def draw_fields(folder: Path) -> Path:
    """Fields of discs of two sizes: one is empty, one has so few that it borrows, one cannot be read."""
    rows = []
    for number in range(6):
        diameter = 24.0 if number % 2 else 30.0
        centres, size = grid(diameter)
        draw_discs(folder / f"{number}.png", diameter, centres[: 1 if number == 2 else None], size)
        rows.append({"path": f"{number}.png", "source": "lab", "label": "smear"})
    (folder / "4.png").write_bytes(b"not an image")
    manifest = Manifest(pa.Table.from_pylist(rows), folder)
    write_manifest(manifest, folder / "manifest.csv")
    return folder / "manifest.csv"


@pytest.mark.parametrize("options", [{}, {"kinds": True, "border": "drop"}, {"per": "field"}])
def test_embed_on_ray__finds_the_cells_that_one_process_finds(
    tmp_path: Path, address: str, options: dict[str, Any]
) -> None:
    data = draw_fields(tmp_path / "fields")
    common: dict[str, Any] = {"find_cells": True, "batch_size": 4, "device": "cpu", **options}
    kinds = bool(options.get("kinds"))
    model = "reddino-tiny" if kinds else "colour-histogram"
    one = reddino.embed(data, model, tmp_path / "one", **common)
    ray_one = reddino.embed(data, model, tmp_path / "ray", ray=True, ray_workers=2, **common)
    a, b = (reddino.read_embeddings(tmp_path / name) for name in ("one", "ray"))
    assert a.table.drop_columns(["kind_probability"] if kinds else []).equals(
        b.table.drop_columns(["kind_probability"] if kinds else [])
    )
    assert a.strings("path") == b.strings("path")
    told = {"provenance": "", "runtime_check": ""}  # times of day, and of measurements
    assert {**a.meta, **told} == {**b.meta, **told}
    np.testing.assert_allclose(a.vectors, b.vectors, atol=1e-5)
    assert (one.rows, one.failed, one.dropped, one.borrowed) == (
        ray_one.rows,
        ray_one.failed,
        ray_one.dropped,
        ray_one.borrowed,
    )
    assert one.borrowed == 1
    names = [path.name for path in finished_parts(tmp_path / "one").values()]
    assert names == [path.name for path in finished_parts(tmp_path / "ray").values()]


def test_ray_pass__refuses_an_address_without_a_cluster(whole: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ray_encoders import *;"
        f"run_ray_pass(Path({str(tmp_path)!r}), 't', RayPass('127.0.0.1:1', 2, 'cpu'), Projection())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(SHARED), os.environ.get("PYTHONPATH", "")))},
    )
    assert "RedDinoError: no Ray cluster at '127.0.0.1:1'" in done.stderr
    assert not list((tmp_path / "t").glob("part-*"))
