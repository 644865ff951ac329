"""A run that diverges ends with an error and leaves its last finite checkpoint and model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from micro_run import draw_images, micro_recipe, run_micro

from reddino.foundations.errors import RedDinoError
from reddino.networks.folder import open_model_folder
from reddino.pretraining import dinov2
from reddino.pretraining.build import build_networks
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.distributed.processes import ALONE
from reddino.pretraining.optim import make_optimizer
from reddino.pretraining.run.checkpoint import list_checkpoints
from reddino.pretraining.run.divergence import require_finite_state
from reddino.smears.manifest import Manifest


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_images(tmp_path_factory.mktemp("divergence") / "images")


def break_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """From this many steps on, a step leaves infinity in a weight of the student."""
    done = 0
    plain = dinov2.take_step

    def breaking(networks: StudentTeacher, *rest: Any) -> bool:
        nonlocal done
        taken = plain(networks, *rest)
        done += 1
        if done >= steps:
            with torch.no_grad():
                next(networks.student.parameters()).view(-1)[0] = float("inf")
        return taken

    monkeypatch.setattr(dinov2, "take_step", breaking)


def test_pretrain__that_diverges_in_its_last_step_writes_no_model(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_after(monkeypatch, 3)
    with pytest.raises(
        RedDinoError, match=r"after step 3 '.*' holds .* no finite checkpoint was written before"
    ):
        run_micro(images, tmp_path / "run")
    assert list_checkpoints(tmp_path / "run" / "checkpoints") == []
    assert not (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_pretrain__that_diverges_names_and_keeps_the_last_finite_checkpoint(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_after(monkeypatch, 3)
    with pytest.raises(RedDinoError, match=r"the last finite checkpoint is .*step-000000002\.pt"):
        run_micro(images, tmp_path / "run", ["runtime.checkpoint_every=1"])
    backbone, card = open_model_folder(tmp_path / "run" / "model")
    assert card.training["steps"] == 2
    assert all(bool(value.isfinite().all()) for value in backbone.state_dict().values())


@pytest.mark.parametrize("where", ["student", "teacher", "center", "moments"])
def test_require_finite_state__looks_at_everything_that_is_written(where: str, tmp_path: Path) -> None:
    networks = build_networks(micro_recipe())
    optimizer = make_optimizer(networks.student, networks.recipe.optim)
    parameter = next(networks.student.parameters())
    optimizer.state[parameter] = {"step": torch.ones(()), "exp_avg": torch.zeros_like(parameter)}
    require_finite_state(networks, optimizer, 1, tmp_path, ALONE)
    broken = {
        "student": parameter.data,
        "teacher": next(networks.teacher.parameters()).data,
        "center": networks.dino_center,
        "moments": optimizer.state[parameter]["exp_avg"],
    }[where]
    broken.view(-1)[0] = float("nan")
    name = "exp_avg" if where == "moments" else where
    with pytest.raises(RedDinoError, match=f"after step 1 .*{name}.* holds numbers that are not finite"):
        require_finite_state(networks, optimizer, 1, tmp_path, ALONE)
