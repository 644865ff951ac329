"""Distilled neighbourhoods and hand-crafted features: who is near whom, without a head between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from micro_run import draw_images, micro_recipe, run_micro

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.distillation.feature_losses import relation_loss, teacher_metric
from reddino.pretraining.distillation.teacher import TeacherFeatures
from reddino.pretraining.run.folder import read_metrics
from reddino.rbc.morphology import NAMES
from reddino.smears.manifest import Manifest

DISTILLED = (
    "loss.dino=0",
    "loss.ibot=0",
    "distill.teacher=untrained:test_efficientnet",
    "distill.spatial=0",
    "distill.pooled=0",
    "distill.morphology=1",
    "distill.relations=1",
    "data.layout=cells",
    "data.patch_side=30",
    "model.drop_path=0",
)


def test_relation_loss__is_the_divergence_between_neighbourhoods() -> None:
    rng = np.random.default_rng(0)
    wanted, found = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))

    def weights(vectors: np.ndarray) -> np.ndarray:
        squares = np.array([[((a - b) ** 2).sum() for b in vectors] for a in vectors])
        others = ~np.eye(len(vectors), dtype=bool)
        shares = np.exp(-squares / (0.3 * squares[others].mean())) * others
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    p, q = weights(wanted), weights(found)
    terms = [p[i, j] * np.log(p[i, j] / q[i, j]) for i in range(5) for j in range(5) if i != j]
    loss = relation_loss(torch.from_numpy(wanted), torch.from_numpy(found), 0.3)
    assert float(loss) == pytest.approx(sum(terms) / 5, rel=1e-4)
    assert float(relation_loss(torch.from_numpy(wanted), torch.from_numpy(4 * wanted + 1), 0.3)) < 1e-5


def test_relation_loss__has_a_gradient_where_crops_are_the_same() -> None:
    tokens = torch.ones(4, 3).requires_grad_()
    relation_loss(torch.randn(4, 2), tokens, 0.2).backward()
    assert tokens.grad is not None and torch.isfinite(tokens.grad).all()


def test_relation_loss__is_as_exact_under_autocast() -> None:
    # Crops near each other and far from 0: in bfloat16 their distances are rounding alone.
    found = 30 + 0.1 * torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    wanted = found.roll(1, 0)
    plain = relation_loss(wanted, found, 0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = relation_loss(wanted, found, 0.2)
    assert float(plain) > 0.1
    assert float(rounded) == pytest.approx(float(plain), rel=1e-5)


def test_teacher_metric__gives_each_teacher_the_same_weight() -> None:
    features = TeacherFeatures(pooled=10 * torch.randn(6, 50), spatial=None, morphology=torch.randn(6, 4))
    joined = teacher_metric(features, (30, 20))
    assert joined.shape == (6, 54)
    for part in joined.split((30, 20, 4), dim=1):
        torch.testing.assert_close(part.norm(dim=1), torch.ones(6))
    assert teacher_metric(TeacherFeatures(None, None, features.morphology), (30, 20)).shape == (6, 4)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_images(tmp_path_factory.mktemp("images"))


def test_pretrain__learns_what_is_measured_of_cells_and_who_is_near_whom(
    cells: Manifest, tmp_path: Path
) -> None:
    longer = ("run.samples=240", "run.batch=8", "optim.lr=5e-3", "optim.ema_start=0.9", "runtime.log_every=1")
    outcome = run_micro(cells, tmp_path / "run", [*DISTILLED, *longer])
    assert outcome.finished
    records = [record for record in read_metrics(tmp_path / "run") if "morphology_loss" in record]
    assert not {"pooled_loss", "spatial_loss"} & records[0].keys()
    for name in ("morphology_loss", "relations_loss"):
        values = [record[name] for record in records]
        assert np.mean(values[-8:]) < 0.95 * np.mean(values[:4]), name
    heads = outcome.model / "heads.safetensors"
    from safetensors.torch import load_file

    assert load_file(heads)["guide_heads.shapes.weight"].shape[0] == len(NAMES)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (("distill.morphology=0", "distill.relations=0"), "all weights of distill are 0"),
        (("data.patch_unit=image",), "does not go with it"),
    ],
)
def test_recipe__refuses_what_teaches_nothing(override: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        micro_recipe([*DISTILLED, *override])
