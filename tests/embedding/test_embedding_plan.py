"""The plan of an embedding pass: arithmetic over a short pass that is really run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_models import small_folder

import reddino
from reddino.cli import main
from reddino.embedding.embedding_plan import EmbeddingPlan
from reddino.embedding.runtimes.choice import use_runtime
from reddino.foundations.errors import RedDinoError
from reddino.networks.encoder import Encoder
from reddino.synthetic.write import write_smears

PLAN = EmbeddingPlan(
    images=1_000_000, sampled=40, nodes=8, views_per_image=100.0, seconds_per_image=0.5, spread=0.04,
    start_seconds=10.0, open_seconds=0.1, cores=2, bytes_read=2e6, bytes_written=1600.0, memory=1_500_000_000,
    failed=0, runtime="openvino fp32",
)  # fmt: skip


def test_plan__adds_up() -> None:
    assert PLAN.views == 1e8
    assert PLAN.hours == pytest.approx((125_000 * 0.5 + 10) / 3600)
    assert PLAN.table_bytes == pytest.approx(1.6e11)
    assert PLAN.read_rate == pytest.approx(4e6)
    text = PLAN.text()
    assert "17.4 hours on 8 nodes" in text
    assert "160.0 GB of table" in text
    assert "4.0 MB/s a node, 32.0 MB/s from storage in all" in text
    assert "(give or take 4 %)" in text
    assert "bottleneck    the network; opening images takes 10 % of what the cores have" in text


def test_plan__compares_numbers_of_nodes() -> None:
    lines = replace(PLAN, nodes=1, more_nodes=(8, 64)).text().splitlines()
    head = next(number for number, line in enumerate(lines) if line.split()[:1] == ["nodes"])
    one, eight, many = (line.split() for line in lines[head + 1 : head + 4])
    assert one == ["1", "5.8", "days", "200.0", "4.0", "MB/s", "320.0", "kB/s", "0.0", "%"]
    assert eight[:4] == ["8", "17.4", "hours", "1,599.7"]
    assert many[:3] == ["64", "2.2", "hours"]
    assert many[-2:] == ["0.1", "%"]
    assert "share the images evenly" in lines[-1]


def test_plan__names_opening_where_it_holds_the_network_up() -> None:
    slow = replace(PLAN, open_seconds=0.95, nodes=1, failed=3)
    assert "opening images takes 95 % of what the cores have: more cores" in slow.text()
    assert "left out      3 of the 40 images cannot be used" in slow.text()
    assert "days on 1 node" in slow.text()


@pytest.fixture(scope="module")
def smears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smears")
    write_smears(
        folder, sources=("mint",), patients_per_source=1, fields_per_patient=6, field_um=40.0, seed=1
    )
    return folder / "manifest.csv"


def test_plan_embed__measures_a_pass_and_leaves_nothing(
    smears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = reddino.plan_embed(smears, "morphology", seconds=0.5, images=600)
    cells = len(reddino.read_manifest(smears))
    assert made.images == 600
    assert 1 < made.sampled <= 6
    assert made.views_per_image == pytest.approx(cells / 6, rel=0.35)
    assert made.seconds_per_image > 0
    assert made.open_seconds > 0
    assert made.bytes_read > 1000
    assert made.bytes_written > 4
    assert list(tmp_path.iterdir()) == []


def test_plan_embed__mentions_once_that_whole_pictures_are_embedded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_smears(
        tmp_path, sources=("mint",), patients_per_source=1, fields_per_patient=4, field_um=60.0, seed=1
    )
    for manifest in tmp_path.glob("*.csv"):
        manifest.unlink()
    with caplog.at_level("WARNING", logger="reddino"):
        reddino.plan_embed(tmp_path, "morphology", seconds=0.3)
    assert len([line for line in caplog.messages if "no cell is marked" in line]) == 1


def test_plan_embed__measures_the_runtime_that_the_whole_pass_would_choose(
    smears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_folder(tmp_path / "model")
    chosen: list[tuple[int, dict[str, Any] | None]] = []

    def noted(encoder: Encoder, *_: str, views: int, begun: dict[str, Any] | None, **options: Any) -> None:
        use_runtime(encoder, "torch", "fp32", views=views, begun=begun, **options)
        chosen.append((views, begun))

    monkeypatch.setattr("reddino.embedding.runtimes.pass_runtime.use_runtime", noted)
    made = reddino.plan_embed(smears, str(model), seconds=0.5, images=60_000, nodes=[2, 4])
    (few, none), (many, still_none), *rest = chosen
    assert few < 100 and none is None and still_none is None
    assert many == pytest.approx(made.views_per_image * 60_000 / 2, rel=0.6)
    assert {views for views, _ in rest} == {many}
    assert len({begun["chosen"] for _, begun in rest if begun is not None}) == 1
    assert all(begun is not None for _, begun in rest)


def test_plan_embed__passes_over_pictures_that_are_left_out(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(RedDinoError, match="no image could be embedded"):
        reddino.plan_embed(tmp_path, "morphology", seconds=0.1)
    assert cv2.imwrite(str(tmp_path / "good.png"), np.full((64, 64, 3), 200, np.uint8))
    made = reddino.plan_embed(tmp_path, "morphology", seconds=float("inf"), view="image")
    assert made.failed == 4


def test_plan_embed__refuses_what_cannot_be_planned(smears: Path) -> None:
    with pytest.raises(RedDinoError, match="one node, one image and some seconds"):
        reddino.plan_embed(smears, "morphology", nodes=0)
    with pytest.raises(RedDinoError, match="one node, one image and some seconds"):
        reddino.plan_embed(smears, "morphology", nodes=[8, 0])
    with pytest.raises(RedDinoError, match="8 nodes cannot share 6 images"):
        reddino.plan_embed(smears, "morphology", nodes=[1, 8])


def test_command__keeps_the_plan_of_pretraining(smears: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "embed", str(smears), "--model", "morphology", "--seconds", "0.2"]) == 0
    assert "bottleneck" in capsys.readouterr().out
    assert main(["plan", "no-such-recipe"]) == 1
    assert "no-such-recipe" in capsys.readouterr().err
