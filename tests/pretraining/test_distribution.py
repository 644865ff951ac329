"""Several processes learn what one learns with the same global batch: losses, gradients, weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from micro_run import draw_images
from ranks import Ranks, outcome

from reddino.networks.folder import open_model_folder, read_card
from reddino.pretraining.run.folder import read_metrics
from reddino.smears.manifest import write_manifest

#: A batch of 8 and six steps; drop path, and hidden patches in unequal numbers in the processes.
BASE = ("run.batch=8", "run.samples=24", "runtime.log_every=1", "model.drop_path=0.3", "masking.images=0.4")
#: Overrides, and how the processes share the networks. A centred head leaves one bias without any gradient
#: but rounding, which AdamW makes a step of: a ViT's LayerScale keeps that small, a CNN goes without.
SETTINGS = {
    "sinkhorn": (("head.center_output=false",), "ddp"),
    "sinkhorn, sharded": (("head.center_output=false",), "fsdp"),
    "centred head, accumulated": (("run.accumulate=2",), "ddp"),
    "moving centre, separate heads, packed, sharded": (
        ("loss.centering=moving-average", "head.shared=false", "runtime.pack_crops=true",
         "runtime.activation_checkpointing=true", "run.accumulate=2"),
        "fsdp",
    ),
    "unused parts": (("loss.ibot=0", "crops.local_count=0"), "ddp"),
    "distilled": (
        ("loss.dino=0", "loss.ibot=0", "crops.local_count=0", "distill.teacher=untrained:test_efficientnet"),
        "ddp",
    ),
    "distilled from two networks, asked once": (
        ("loss.dino=0", "loss.ibot=0", "crops.local_count=0", "data.layout=cells", "distill.spatial=0",
         "distill.teacher=[untrained:test_efficientnet, untrained:test_resnet]", "distill.morphology=1",
         "distill.once=true"),
        "ddp",
    ),
    "distilled beside the others, accumulated, sharded": (
        ("head.center_output=false", "distill.teacher=untrained:test_efficientnet", "run.accumulate=2"),
        "fsdp",
    ),
    "cnn": (
        ("model.backbone=test_efficientnet", "model.depth=null", "model.layer_scale=null", "loss.ibot=0",
         "model.freeze_norm_statistics=true", "model.drop_path=0", "head.center_output=false"),
        "ddp",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    folder = tmp_path_factory.mktemp("ranks")
    write_manifest(draw_images(folder / "images"), folder / "images" / "manifest.csv")
    started = Ranks(folder / "images" / "manifest.csv")
    yield started
    started.server.kill()
    started.server.communicate()


@pytest.fixture(scope="module")
def alone(ranks: Ranks) -> Any:
    """Runs of one process, each made once."""
    made: dict[tuple[str, ...], Path] = {}

    def run(overrides: tuple[str, ...]) -> Path:
        if overrides not in made:
            made[overrides] = ranks.run(1, ranks.images.parent.parent / f"alone{len(made)}", overrides)
        return made[overrides]

    return run


def gradients(folder: Path) -> list[dict[str, torch.Tensor]]:
    content: list[dict[str, torch.Tensor]] = torch.load(
        folder.with_name(f"{folder.name}-gradients.pt"), weights_only=True
    )
    return content


def assert_learned_alike(one: Path, many: Path) -> None:
    """Losses, gradients before clipping, targets' entropy and the teacher, to float tolerance."""
    records = [[record for record in read_metrics(folder) if "lr" in record] for folder in (one, many)]
    assert len(records[0]) == 3
    for expected, found in zip(*records, strict=True):
        assert expected.keys() == found.keys()
        for name in expected.keys() - {"samples_per_s", "signs"}:
            assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name
    for step, (expected, found) in enumerate(zip(gradients(one), gradients(many), strict=True)):
        assert expected.keys() == found.keys()
        largest = max(float(gradient.abs().max()) for gradient in expected.values())
        for name, gradient in expected.items():
            if name.endswith("_head.mlp.4.bias") and float(gradient.abs().max()) < 1e-3 * largest:
                continue  # centred away: what is left of it is rounding
            assert gradient.abs().max() > 0, name
            allowed = 1e-5 * largest * (1 + 10 * step)
            torch.testing.assert_close(found[name], gradient, rtol=2e-3, atol=allowed)
    teachers = [open_model_folder(folder / "model")[0].state_dict() for folder in (one, many)]
    for name, expected in teachers[0].items():
        torch.testing.assert_close(teachers[1][name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_processes__learn_what_one_learns(ranks: Ranks, alone: Any, tmp_path: Path, setting: str) -> None:
    overrides, parallel = SETTINGS[setting]
    many = ranks.run(2, tmp_path / "run", [*BASE, *overrides, f"runtime.parallel={parallel}"])
    assert_learned_alike(alone((*BASE, *overrides)), many)


def test_four_processes__learn_what_one_learns(ranks: Ranks, alone: Any, tmp_path: Path) -> None:
    # Two samples each, of which some processes keep none on a path, and some have no hidden patch.
    overrides = SETTINGS["sinkhorn"][0]
    assert_learned_alike(alone((*BASE, *overrides)), ranks.run(4, tmp_path / "run", [*BASE, *overrides]))


def test_two_processes__do_not_wait_for_a_map_that_nobody_learns(ranks: Ranks, tmp_path: Path) -> None:
    # Neighbourhoods are those of a process's own crops, so that two do not learn what one learns.
    guided = ("distill.teacher=untrained:test_efficientnet", "distill.pooled=0", "distill.relations=1")
    ranks.run(2, tmp_path / "run", [*BASE, *guided])


def test_two_processes__of_which_one_is_killed_while_precomputing_continue(
    ranks: Ranks, tmp_path: Path
) -> None:
    overrides = [*BASE, *SETTINGS["distilled from two networks, asked once"][0]]
    whole = ranks.run(2, tmp_path / "whole", overrides)
    folder = tmp_path / "run"
    # Six cells in three parts: the second process has the second of them.
    ranks.begin(2, folder, overrides, die=[1, "distillation.cache._features", 1])
    assert any(ranks.exit_codes())
    assert len(list((folder / "answers").glob("*-*.npy"))) == 1
    assert_learned_alike(whole, ranks.run(2, folder, overrides))


def test_two_processes__where_a_feature_map_alone_is_learnt(ranks: Ranks, tmp_path: Path) -> None:
    # This network normalises its pooled output, which nobody learns then.
    student = [*SETTINGS["cnn"][0], "model.backbone=test_convnext"]
    only_map = ["loss.dino=0", "crops.local_count=0", "crops.global_size=64", "distill.pooled=0"]
    teacher = "distill.teacher=untrained:test_resnet"
    ranks.run(2, tmp_path / "run", [*BASE, *student, *only_map, teacher])


def test_one_learner__of_several_writes_and_scores(ranks: Ranks, tmp_path: Path) -> None:
    folder = ranks.run(2, tmp_path / "run", [*BASE, "online.every=8", "runtime.checkpoint_every=1"])
    records = read_metrics(folder)
    assert [record["step"] for record in records if "lr" in record] == [1, 2, 3]
    assert [record["step"] for record in records if "online" in record] == [0, 1, 2, 3]
    assert json.loads((folder / "run.json").read_text())["processes"] == 2
    assert read_card(folder / "model").training["samples"] == 24
    kept = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert kept == ["step-000000002", "step-000000003"]


def test_batch__that_processes_cannot_share_is_refused(ranks: Ranks, tmp_path: Path) -> None:
    ranks.begin(2, tmp_path / "run", [*BASE, "run.batch=7"])
    assert ranks.exit_codes() == [0, 0]
    for rank in range(2):
        assert (
            "run.batch=7, which counts the samples of all processes"
            in outcome(tmp_path / "run", rank)["error"]
        )


def test_batch_norm__that_moves_is_refused_on_cpus(ranks: Ranks, tmp_path: Path) -> None:
    overrides = [*SETTINGS["cnn"][0], "model.freeze_norm_statistics=false"]
    ranks.begin(2, tmp_path / "run", [*BASE, *overrides])
    assert ranks.exit_codes() == [0, 0]
    assert "set model.freeze_norm_statistics=true" in outcome(tmp_path / "run", 0)["error"]
