"""A new loss term: a weight in the recipe and a line in the losses, and it is weighed, logged and drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from micro_run import draw_images, micro_recipe, run_micro
from torch import Tensor

from reddino.figures.run_report import run_report
from reddino.figures.training import training_figure
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.network_input import NetworkInput
from reddino.pretraining.dinov2 import Outputs, StudentTeacher, Targets
from reddino.pretraining.losses import require_same_names
from reddino.pretraining.run import recipe as recipes
from reddino.pretraining.run.folder import read_metrics
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.run.recipe_sections import LossSection, Weight


class LossWithLength(LossSection):
    """With the weight of a term that DINOv2 does not have."""

    token_length: Weight = 0.0


class RecipeWithLength(Recipe):
    """With that section."""

    loss: LossWithLength = LossWithLength()


def test_weights__are_those_of_the_terms_alone() -> None:
    recipe = micro_recipe(["loss.koleo=0.1", "distill.teacher=untrained:test_vit", "distill.spatial=0"])
    assert recipe.loss_weights == (
        LossSection().weights | {"koleo": 0.1},
        {"pooled": 1.0, "spatial": 0.0, "morphology": 0.0, "relations": 0.0},
    )


def test_names__of_terms_and_weights_are_the_same() -> None:
    require_same_names({"dino": 1, "length": 2}, {"dino": 1.0, "length": 0.0})
    with pytest.raises(RedDinoError, match=r"loss\.length is a weight without a term"):
        require_same_names({"dino": 1}, {"dino": 1.0, "length": 0.5})
    with pytest.raises(RedDinoError, match="the loss term 'length' has no weight"):
        require_same_names({"dino": 1, "length": 2}, {"dino": 1.0})


def test_new_term__is_weighed_logged_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = StudentTeacher.loss_terms

    def loss_terms(
        self: StudentTeacher, student: Outputs, targets: Targets, inputs: NetworkInput
    ) -> dict[str, Callable[[], Tensor]]:
        length = {"token_length": lambda: student.tokens.norm(dim=-1).mean()}
        return plain(self, student, targets, inputs) | length

    monkeypatch.setattr(StudentTeacher, "loss_terms", loss_terms)
    monkeypatch.setattr(recipes, "Recipe", RecipeWithLength)
    overrides = ["loss.token_length=0.5", "runtime.log_every=1", "runtime.tensorboard=true"]
    assert run_micro(draw_images(tmp_path / "images"), tmp_path / "run", overrides).finished

    records = read_metrics(tmp_path / "run")
    assert len(records) == 3
    for record in records:
        terms = [record["dino_loss"], record["ibot_loss"], 0.5 * record["token_length_loss"]]
        assert min(terms) > 0 and record["loss"] == pytest.approx(sum(terms), rel=1e-5)
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert b"token_length_loss" in events.read_bytes()

    panel = training_figure(records).axes[0]
    (curve,) = (line for line in panel.lines if line.get_label() == "token length")
    assert np.asarray(curve.get_ydata()).tolist() == [record["token_length_loss"] for record in records]
    styles = [(line.get_color(), line.get_linestyle()) for line in panel.lines]
    assert len(set(styles)) == len(styles) == 4
    assert "Pretraining: run" in run_report(tmp_path / "run", {})
