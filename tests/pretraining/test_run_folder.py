"""The run folder: what it records, and which runs may go on in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from micro_run import draw_images, micro_recipe

import reddino
from reddino import __version__
from reddino.foundations.errors import RedDinoError
from reddino.networks.training_images import SEEN, read_seen
from reddino.pretraining.data.image_cache import open_cache
from reddino.pretraining.distributed.processes import Processes
from reddino.pretraining.run.folder import RunFolder, only_trainer, read_metrics
from reddino.pretraining.run.recipe import read_recipe
from reddino.smears.hashes import image_hash
from reddino.smears.manifest import read_manifest
from reddino.synthetic.write import write_smears

DATA = "0123456789abcdef"


def test_begin__writes_what_the_run_is_of(tmp_path: Path) -> None:
    recipe = micro_recipe(["seed=5"])
    assert RunFolder(tmp_path / "run").begin(recipe, DATA, threads=2) == []
    assert read_recipe(tmp_path / "run" / "recipe.yaml") == recipe
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert description["data"] == DATA
    assert description["seed"] == 5
    assert description["threads"] == 2
    assert description["version"] == __version__
    assert description["torch"] == torch.__version__


def test_begin__goes_on_with_other_runtime_keys(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1)
    assert RunFolder(tmp_path).begin(micro_recipe(["runtime.workers=3"]), DATA, threads=1) == []


def test_begin__remarks_on_another_number_of_processes(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1)
    (remark,) = RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1, processes=4)
    assert "processes 1 and continues with" in remark and "processes 4" in remark


def test_folder__of_any_process_but_the_first_is_not_written_to(tmp_path: Path) -> None:
    silent = RunFolder(tmp_path / "run", writes=False)
    assert silent.begin(micro_recipe(), DATA, threads=1) == []
    silent.open_metrics(0, tensorboard=True)
    silent.log({"step": 1, "samples": 4})
    assert not (tmp_path / "run").exists()


def test_begin__remarks_on_other_threads(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1)
    remarks = RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=4)
    assert len(remarks) == 1
    assert "began with threads 1" in remarks[0]
    assert "continues with threads 4" in remarks[0]


def test_begin__records_the_precision_that_was_chosen_and_remarks_on_another(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1, precision="bf16")
    assert json.loads((tmp_path / "run.json").read_text())["precision"] == "bf16"
    (remark,) = RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1, precision="fp32")
    assert "precision bf16" in remark
    assert "precision fp32" in remark


@pytest.mark.parametrize(
    ("override", "section"),
    [("optim.lr=1e-4", "optim"), ("seed=1", "seed"), ("run.batch=2", "run"), ("head.hidden=8", "head")],
)
def test_begin__refuses_another_recipe(tmp_path: Path, override: str, section: str) -> None:
    RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1)
    with pytest.raises(RedDinoError, match=f"holds a run whose recipe differs in '{section}'"):
        RunFolder(tmp_path).begin(micro_recipe([override]), DATA, threads=1)


def test_begin__refuses_other_images(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1)
    with pytest.raises(RedDinoError, match=f"other images .fingerprint {DATA}, now fedcba9876543210"):
        RunFolder(tmp_path).begin(micro_recipe(), "fedcba9876543210", threads=1)


def test_only_trainer__is_the_first_process_alone(tmp_path: Path) -> None:
    class Second(Processes):
        """Told what the first one found, it looks at nothing itself."""

        rank = 1
        told: Any = None

        def from_main(self, compute: Callable[[], Any]) -> Any:
            return self.told

    with only_trainer(tmp_path / "run", Second()):
        assert not (tmp_path / "run").exists()
    with pytest.raises(KeyError), only_trainer(tmp_path / "runs" / "refused"):
        raise KeyError("the recipe does not fit")
    assert not (tmp_path / "runs" / "refused").exists()
    (tmp_path / "mine").mkdir()
    with only_trainer(tmp_path / "mine"), only_trainer(tmp_path / "new"):
        (tmp_path / "new" / "something").touch()
    assert (tmp_path / "mine").exists() and (tmp_path / "new" / "something").exists()
    Second.told = "busy"
    with pytest.raises(RedDinoError, match="busy"), only_trainer(tmp_path / "run", Second()):
        raise AssertionError("it went on without the first")


def test_metrics__are_appended_and_read_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.open_metrics(0, tensorboard=False)
    records = [{"step": step, "samples": 4 * step, "loss": 1 / step} for step in (1, 2, 3)]
    for record in records:
        run.log(record)
    run.close()
    assert read_metrics(tmp_path) == records


def test_metrics__forget_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "samples": step}) for step in (1, 2, 3, 4)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 5, "sam')
    assert [record["step"] for record in read_metrics(tmp_path)] == [1, 2, 3, 4]
    RunFolder(tmp_path).open_metrics(2, tensorboard=False)
    assert [record["step"] for record in read_metrics(tmp_path)] == [1, 2]


def test_metrics__without_a_file_are_none(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


def test_tensorboard__has_the_scalars(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = RunFolder(tmp_path)
    run.open_metrics(0, tensorboard=True)
    run.log({"step": 2, "samples": 8, "loss": 0.5, "signs": ["a sentence"]})
    run.close()
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(2, 0.5)]


def test_note_seen__lists_sources_and_pictures_once(tmp_path: Path) -> None:
    write_smears(tmp_path / "smears", sources=["lilac", "night"], patients_per_source=1, fields_per_patient=2)
    cache = open_cache(read_manifest(tmp_path / "smears" / "manifest.csv"))
    run = RunFolder(tmp_path / "run")
    run.note_seen("scratch", cache)
    seen = read_seen(run.model)
    assert seen is not None
    assert (sorted(seen.sources), seen.complete) == (["drawn-lilac"] * 2 + ["drawn-night"] * 2, True)
    assert np.array_equal(seen.hashes[2], image_hash(cache.image(2)))
    written = (run.model / SEEN).stat().st_mtime_ns
    run.note_seen("scratch", cache)
    assert (run.model / SEEN).stat().st_mtime_ns == written
    later = RunFolder(tmp_path / "later")
    later.note_seen(str(run.model), cache)
    again = read_seen(later.model)
    assert again is not None
    assert len(again.sources) == 4


def test_only_trainer__what_could_not_begin_does_not_bar_the_next_try(tmp_path: Path) -> None:
    """A start that is not there, twice, then the right one; and images none of which can be read."""
    manifest = draw_images(tmp_path / "images")
    out = tmp_path / "runs" / "first"
    for _ in range(2):
        with pytest.raises(RedDinoError, match="no-such-model"):
            reddino.pretrain(micro_recipe(["model.start=no-such-model"]), manifest, out)
        assert not (out / "run.json").exists() and (out / "cache").is_dir()
    assert reddino.pretrain(micro_recipe(), manifest, out).finished
    assert (out / "run.json").is_file()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no image")
    with pytest.raises(RedDinoError, match="no image to train on"):
        reddino.pretrain(micro_recipe(), tmp_path / "broken", tmp_path / "second")
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"step": 1, "loss": "x"}\n', r"loss: 'x' is not a number"),
        ('{"loss": 1}\n', "step: it is missing"),
        ('{"step": true}\n', "step: 'True' is not a whole number"),
        ('{"step": 1}\nnonsense\n{"step": 2}\n', "line 2"),
        ('{"step": 1, "signs": [3]}\n', "signs"),
    ],
)
def test_metrics__that_are_none_name_the_file(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(RedDinoError, match=rf"metrics\.jsonl.*{reason}"):
        read_metrics(tmp_path)


def test_metrics__keep_what_was_not_finite(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "lo')
    assert [record["step"] for record in read_metrics(tmp_path)] == [1]
