"""A run of several processes that loses one, or all, goes on: with as many bit for bit, else to rounding."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from micro_run import draw_images, last_checkpoint
from ranks import Ranks, outcome
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from reddino.networks.folder import read_card
from reddino.pretraining.run.checkpoint import list_checkpoints, step_of
from reddino.pretraining.run.checkpoint_reader import SafeReader
from reddino.pretraining.run.folder import only_trainer, read_metrics
from reddino.smears.manifest import write_manifest

STEPS = 6
BASE = (
    f"run.samples={8 * STEPS}", "run.batch=8", "runtime.log_every=1", "runtime.checkpoint_every=2",
    "model.drop_path=0.3", "loss.centering=moving-average", "head.center_output=false",
)  # fmt: skip


class Scene:
    """The images, runs that nobody disturbs, and one of two processes that lost one of them in step 4."""

    def __init__(self, folder: Path) -> None:
        write_manifest(draw_images(folder / "images"), folder / "images" / "manifest.csv")
        self.ranks = Ranks(folder / "images" / "manifest.csv")
        self.two = self.ranks.run(2, folder / "two", BASE)
        self.lost = folder / "lost"
        self.ranks.begin(2, self.lost, BASE, die=[1, "dinov2.take_step", 4])
        self.codes = self.ranks.exit_codes()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("resume"))
    yield made
    made.ranks.server.kill()
    made.ranks.server.communicate()


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """Networks and moments of a run's last checkpoint, of either form."""
    path = list_checkpoints(run / "checkpoints")[-1]
    assert step_of(path) == STEPS
    if path.is_file():
        content = last_checkpoint(run)
        named = {f"networks.{name}": value for name, value in content["networks"].items()}
        for number, state in content["optimizer"]["state"].items():
            named |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        return named
    reader, state = SafeReader(path), {}
    for name, described in reader.read_metadata().state_dict_metadata.items():
        assert isinstance(described, TensorStorageMetadata)
        state[name] = torch.empty(described.size, dtype=described.properties.dtype)
    load(state, storage_reader=reader, no_dist=True)
    return state


def assert_same(first: Path, second: Path, *, bits: bool) -> None:
    one, other = tensors(first), tensors(second)
    assert one.keys() == other.keys()
    for name, value in one.items():
        if bits:
            assert torch.equal(value, other[name]), name
        elif name.startswith("networks."):
            torch.testing.assert_close(other[name], value, rtol=1e-3, atol=2e-5)
    if bits:
        assert read_card(first / "model").weights_hash == read_card(second / "model").weights_hash


def lost_run(scene: Scene, folder: Path) -> Path:
    shutil.copytree(scene.lost, folder)
    return folder


def test_loss_of_a_process__ends_the_others_with_a_sentence(scene: Scene) -> None:
    assert scene.codes == [0, -signal.SIGKILL]
    assert "process 1 of 2 lost the others" in outcome(scene.lost, 0)["error"]
    assert "continues from the last checkpoint" in outcome(scene.lost, 0)["error"]
    assert [path.name for path in list_checkpoints(scene.lost / "checkpoints")] == ["step-000000002"]


def test_resume__with_as_many_processes_bit_for_bit(scene: Scene, tmp_path: Path) -> None:
    folder = scene.ranks.run(2, lost_run(scene, tmp_path / "run"), BASE)
    assert_same(scene.two, folder, bits=True)
    assert [r["step"] for r in read_metrics(folder) if "lr" in r] == list(range(1, STEPS + 1))


@pytest.mark.parametrize(("count", "parallel"), [(1, "ddp"), (4, "fsdp")])
def test_resume__with_another_number_of_processes_to_rounding(
    scene: Scene, tmp_path: Path, count: int, parallel: str
) -> None:
    overrides = [*BASE, f"runtime.parallel={parallel}"]
    folder = scene.ranks.run(count, lost_run(scene, tmp_path / "run"), overrides)
    assert_same(scene.two, folder, bits=False)


def test_resume__what_one_process_or_shards_wrote(scene: Scene, tmp_path: Path) -> None:
    # 1 -> 2 with FSDP2 -> 1, each killed behind its checkpoint.
    folder, sharded = tmp_path / "run", [*BASE, "runtime.parallel=fsdp"]
    scene.ranks.begin(1, folder, BASE, die=[0, "dinov2.take_step", 4])
    assert scene.ranks.exit_codes() == [-signal.SIGKILL]
    scene.ranks.begin(2, folder, sharded, die=[0, "dinov2.take_step", 4])
    assert scene.ranks.exit_codes() == [-signal.SIGKILL, 0]
    names = [path.name for path in list_checkpoints(folder / "checkpoints")]
    assert names == ["step-000000002.pt", "step-000000004"]
    scene.ranks.run(1, folder, BASE)
    assert_same(scene.two, folder, bits=False)


@pytest.mark.kills
def test_resume__after_all_are_killed_while_a_checkpoint_is_written(scene: Scene, tmp_path: Path) -> None:
    # The first process syncs the folder, then renames it: it dies between the two, at the second checkpoint.
    folder = tmp_path / "run"
    scene.ranks.begin(2, folder, BASE, die=[0, "run.checkpoint.sync_folder", 3])
    assert scene.ranks.exit_codes() == [-signal.SIGKILL, 0]
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert [name.split(".")[1] for name in names[:1]] == ["step-000000004"]
    assert names[0].endswith(".partial") and names[1:] == ["step-000000002"]
    scene.ranks.run(2, folder, BASE)
    assert_same(scene.two, folder, bits=True)
    assert not list((folder / "checkpoints").glob(".*"))


def test_stop__asked_of_one_stops_all_at_the_same_step(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    scene.ranks.begin(2, folder, BASE)
    end = time.monotonic() + 60
    while not any(record["step"] >= 2 for record in read_metrics(folder)):
        assert time.monotonic() < end, "the run did not get there in time"
        time.sleep(0.005)
    scene.ranks.signal(1, signal.SIGTERM)
    assert scene.ranks.exit_codes() == [0, 0]
    ended = [outcome(folder, rank) for rank in range(2)]
    assert ended[0] == ended[1]
    assert not ended[0]["finished"] and 2 <= ended[0]["steps"] < STEPS
    scene.ranks.run(2, folder, BASE)
    assert_same(scene.two, folder, bits=True)


def test_begin__where_another_process_trains_ends_all_with_a_sentence(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with only_trainer(folder):
        scene.ranks.begin(2, folder, BASE)
        assert scene.ranks.exit_codes() == [0, 0]
        assert [path.name for path in folder.iterdir()] == ["run.lock"]
    for rank in range(2):
        assert f"another process trains in {folder}" in outcome(folder, rank)["error"]


def test_reader__refuses_a_description_that_would_run_code(scene: Scene, tmp_path: Path) -> None:
    path = list_checkpoints(scene.two / "checkpoints")[-1]
    shutil.copytree(path, tmp_path / path.name)
    assert SafeReader(tmp_path / path.name).read_metadata().state_dict_metadata

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / path.name / ".metadata").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError, match="mkdir has no place in a checkpoint"):
        SafeReader(tmp_path / path.name).read_metadata()
    assert not (tmp_path / "ran").exists()
