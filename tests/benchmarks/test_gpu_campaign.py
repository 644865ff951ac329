"""The GPU campaign's budgets, stages, files and summary, without a GPU and without computing anything."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from itertools import pairwise
from pathlib import Path

import pytest
from micro_run import draw_images

import reddino
from campaign.budget import CLOSING, GRACE, STAGES, Budget, Stage
from campaign.cuda_tests import ORDER, ROOT
from campaign.machine import device_kind
from campaign.prepare import prepare, thinned
from campaign.pretraining import CAUTION, EVERY, RECIPE, of_length
from campaign.record import LARGEST_FILE, Record, save_parts
from campaign.stages import run_stages
from campaign.summary import summarise
from campaign.throughput import batches
from reddino.pretraining.data.image_cache import open_packed_cache
from reddino.pretraining.run.recipe import read_recipe
from reddino.smears.manifest import write_manifest
from reddino.smears.packs import read_pack


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_tests__that_the_campaign_runs_are_all_that_there_are() -> None:
    assert {f"test_cuda_{part}.py" for part in ORDER} == {
        path.name for path in (ROOT / "tests" / "cuda").glob("test_*.py")
    }


@pytest.mark.parametrize("minutes", [3, 9, 12])
def test_budget__of_all_stages_ends_in_time_even_if_each_is_killed(minutes: int) -> None:
    clock = Clock()
    budget = Budget(60 * minutes, clock)
    for stage in STAGES:
        seconds = budget.of(stage)
        assert seconds > 0
        clock.now += seconds + (GRACE if stage is STAGES[-1] else 0)
    assert budget.left() == pytest.approx(CLOSING)


def test_budget__leaves_to_later_stages_what_earlier_ones_did_not_need() -> None:
    clock = Clock()
    budget = Budget(720, clock)
    assert budget.of(STAGES[0]) == 150  # at most
    clock.now += 20
    assert budget.of(STAGES[1]) == 210
    clock.now += 30
    assert budget.of(STAGES[2]) == 720 - 50 - GRACE - CLOSING
    clock.now += 1000
    assert budget.of(STAGES[2]) == 0


def test_stages__go_on_after_one_that_fails_and_one_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.stages.GRACE", 0.2)
    programs = {
        "fails": "import sys; print('no such card', file=sys.stderr); sys.exit(3)",
        "hangs": "import time; print('waiting', flush=True); time.sleep(60)",
        "works": f"import json; json.dump({{'found': 7}}, open({str(tmp_path / 'works.json')!r}, 'w'))",
    }
    stages = [Stage(name, 1.0, 1.5) for name in programs]
    well = run_stages(
        Budget(60),
        lambda stage, seconds: [sys.executable, "-c", programs[stage.name]],
        tmp_path,
        tmp_path,
        stages,
    )
    assert not well
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in programs}
    assert found["fails"]["ended"] == "failed (exit code 3; last line: no such card)"
    assert found["hangs"]["ended"] == "was cut off" and "waiting" in found["hangs"]["log"]
    assert found["works"]["ended"] == "finished" and found["works"]["found"] == 7
    assert (tmp_path / "summary.md").exists()


def test_parts__are_put_together_to_the_files_that_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.record.LARGEST_FILE", 20_000)
    (tmp_path / "weights").write_bytes(bytes(range(256)) * 150)
    names = save_parts([tmp_path / "weights"], tmp_path / "out", "model")
    assert names == ["model.tar.0", "model.tar.1", "model.tar.2"]
    assert all((tmp_path / "out" / name).stat().st_size <= 20_000 for name in names)
    joined = b"".join((tmp_path / "out" / name).read_bytes() for name in names)
    with tarfile.open(fileobj=io.BytesIO(joined)) as tar:
        member = tar.extractfile("weights")
        assert member is not None and member.read() == bytes(range(256)) * 150
    monkeypatch.setattr("campaign.record.LARGEST_FILE", 5_000)
    with pytest.raises(ValueError, match="more than 4 parts"):
        save_parts([tmp_path / "weights"], tmp_path / "out", "model")


def test_parts__hold_a_vit_small_in_float16() -> None:
    assert 4 * LARGEST_FILE > 22.1e6 * 2


def test_prepared_smears__are_those_that_the_recipe_would_see(tmp_path: Path) -> None:
    drawn = draw_images(tmp_path / "images")
    write_manifest(drawn, tmp_path / "images" / "manifest.csv")
    recipe = read_recipe(RECIPE, ["data.max_cell_diameter=12"])
    said = prepare(
        [str(tmp_path / "images" / "manifest.csv")], tmp_path / "campaign", recipe, 5.0, plans=False
    )
    assert said.startswith("6 of 6 images of far, near: 0.0 MB")
    pack = read_pack(
        reddino.pack([str(tmp_path / "campaign" / "smears-000.tar")], tmp_path / "pack", recipe=recipe).root
    )
    index = open_packed_cache(pack, 12.0).index
    assert [index.source_name(number) for number in range(6)] == ["near"] * 4 + ["far"] * 2
    assert index.cell_diameter.round(1).tolist() == [12.0] * 6
    # Shrunk to half and to three quarters, with the cell in each where it was.
    assert index.height.tolist() == [55] * 4 + [60] * 2
    assert index.cells[:, 1].round(1).tolist() == pytest.approx([46 / 2] * 4 + [34 * 0.75] * 2, abs=0.3)


def test_thinned__keeps_as_many_as_fit_spread_over_all() -> None:
    assert thinned([10] * 8, 100) == list(range(8))
    kept = thinned([10] * 100, 250)
    assert len(kept) == 25 and max(b - a for a, b in pairwise(kept)) <= 5
    assert sum(kept) / 25 == pytest.approx(50, abs=3)


def test_run__is_as_long_as_the_time_lets_it_be() -> None:
    recipe = of_length(read_recipe(RECIPE), rate=1000.0, seconds=240.0)
    assert recipe.run.samples == int(CAUTION * 1000 * 240 / 512) * 512
    assert recipe.runtime.checkpoint_every == int(1000 * EVERY / 512)
    assert of_length(read_recipe(RECIPE), rate=1.0, seconds=10.0).steps == 3


@pytest.mark.parametrize(
    ("rates", "wanted"),
    [
        ({64: 100, 128: 150, 256: 152}, [64, 128, 256]),  # the third gains less than 3 %
        ({64: None, 32: None, 16: 10}, [64, 32, 16]),
        ({64: 100, 128: None}, [64, 128]),
    ],
)
def test_batches__are_doubled_while_they_gain_and_halved_until_they_fit(
    rates: dict[int, float | None], wanted: list[int]
) -> None:
    tried: dict[int, dict[str, float]] = {}
    for batch in batches(64, tried):
        rate = rates[batch]
        tried[batch] = {} if rate is None else {"rate": rate}
    assert list(tried) == wanted


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("Tesla T4", "t4"),
        ("NVIDIA L40S", None),
    ],
)
def test_device_kind__is_what_a_plan_calls_the_card(name: str, kind: str | None) -> None:
    assert device_kind(name) == kind


def test_summary__says_what_there_is_of_each_stage(tmp_path: Path) -> None:
    about = {"device": "cuda", "card": "NVIDIA X1", "driver": "999.1", "torch": "2.9", "cores": 16}
    Record(tmp_path, "cuda_tests").update(
        machine=about,
        passed=1,
        failed=1,
        skipped=0,
        all_ran=True,
        tests=[
            {"test": "a.py::fits", "outcome": "passed", "measured": {"loss_error": 0.00125}},
            {"test": "a.py::breaks", "outcome": "failed", "said": "off by\n one", "measured": {}},
        ],
        ended="finished",
        took_s=33.0,
    )
    row = {"recipe": "small", "crops": "224/98", "precision": "bf16", "batch": 560, "samples_per_s": 1234.5}
    row |= {"peak_gb": 61.25, "planned_gb": 70.0, "planned_samples_per_s": 2130.0}
    row |= {"gflop": 139.3, "peak_tflops": 989.0}
    Record(tmp_path, "throughput").update(
        training=[row, {"recipe": "base", "crops": "224/98", "said": "no time left"}],
        embedding=[{"model": "reddino-tiny", "input": 112, "precision": "bf16", "images_per_s": 20000.0}],
    )
    text = summarise(tmp_path)
    assert text.startswith("### NVIDIA X1\n\ndriver 999.1, torch 2.9, CPU cores 16\n")
    assert "1 passed, 1 failed, 0 skipped." in text
    assert "| `fits` | loss_error 0.00125 |" in text
    assert "- failed: `a.py::breaks`: off by one" in text
    # 1,234.5 samples of 139.3 GFLOP are 172 of 989 TFLOP/s.
    assert "| small | 224/98 | bf16 | 560 | 1,234 | 2,130 | 61.25 | 70 | 139.3 | 17.4% |" in text
    assert "- base 224/98: no time left" in text
    assert "**throughput**: was cut off." in text
    assert "| reddino-tiny | 112 | bf16 |  | 20,000 |  |" in text
    assert "**pretraining**: nothing came of it." in text
    assert "Computed on a CPU" not in text


def test_summary__of_a_cpu_says_that_its_figures_are_none(tmp_path: Path) -> None:
    Record(tmp_path, "throughput").update(machine={"device": "cpu", "card": "AMD"})
    assert "no figure here is one of a GPU" in summarise(tmp_path)
