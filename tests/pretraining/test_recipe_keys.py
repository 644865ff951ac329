"""Every key of the recipe changes what a run of three steps learns, but for those of the runtime section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
from micro_run import draw_images, run_micro, trained_weights
from pydantic import BaseModel

from reddino.networks.encoder import Encoder
from reddino.pretraining.run.recipe import Recipe
from reddino.smears.manifest import Manifest

#: Stands for the model folder of a micro run.
TRAINED = "<trained>"
A_CNN = ("model.backbone=test_efficientnet", "model.depth=null", "model.layer_scale=null", "loss.ibot=0")

GUIDED = ("distill.teacher=untrained:test_efficientnet",)


class Change(NamedTuple):
    """Another value of a key, and the overrides without which the key has nothing to act on."""

    value: str
    context: tuple[str, ...] = ()


#: Each key that must change the result. A new key of the recipe needs an entry here or in RUNTIME.
CHANGES = {
    "seed": Change("1"),
    "model.backbone": Change("vit_small_patch14_dinov2"),
    "model.start": Change(TRAINED),
    "model.depth": Change("2"),
    "model.layer_scale": Change("0.2"),
    "model.drop_path": Change("0.5"),
    "model.freeze_norm_statistics": Change("true", A_CNN),
    "model.load_heads": Change("false", (f"model.start={TRAINED}",)),
    "data.patch_side": Change("30"),
    "data.patch_unit": Change("diameters", ("data.patch_side=3",)),
    "data.layout": Change("grid"),
    "data.epoch_counts": Change("one"),
    "data.source_exponent": Change("0"),
    "data.candidates": Change("3"),
    "data.batch_from": Change("image"),
    "data.max_cell_diameter": Change("12"),
    "crops.global_size": Change("70"),
    "crops.global_scale": Change("[0.5, 1.0]"),
    "crops.local_size": Change("42"),
    "crops.local_scale": Change("[0.2, 0.32]"),
    "crops.local_count": Change("3"),
    "crops.aspect": Change("[0.95, 1.05]"),
    "augmentation.operations": Change("[Blur, HueSaturationValue, Posterize, Solarize]"),
    "augmentation.choose": Change("1"),
    "augmentation.probability": Change("0.3"),
    "augmentation.strength": Change("0.5"),
    "augmentation.strengths": Change("{InvertImg: 0.5}"),
    "augmentation.teacher_strength": Change("0.0"),
    "augmentation.horizontal_flip": Change("0.1"),
    "augmentation.vertical_flip": Change("0.1"),
    "augmentation.quarter_turn": Change("0.1"),
    "masking.images": Change("1.0"),
    "masking.patches": Change("[0.4, 0.5]"),
    "head.hidden": Change("24"),
    "head.bottleneck": Change("8"),
    "head.prototypes": Change("24"),
    "head.layers": Change("2"),
    "head.shared": Change("false"),
    "head.center_output": Change("false"),
    "loss.dino": Change("0.5"),
    "loss.ibot": Change("0.5"),
    "loss.koleo": Change("0.1"),
    "loss.centering": Change("moving-average"),
    "loss.sinkhorn_iterations": Change("1"),
    "loss.center_momentum": Change("0.5", ("loss.centering=moving-average",)),
    "distill.teacher": Change("untrained:test_resnet", GUIDED),
    "distill.pooled": Change("0.5", GUIDED),
    "distill.spatial": Change("0.5", GUIDED),
    "distill.image_size": Change("64", GUIDED),
    "distill.orientations": Change("3", GUIDED),
    "distill.consensus": Change("true", GUIDED),
    "distill.once": Change("true", (*GUIDED, "distill.spatial=0", "data.layout=cells", "data.patch_side=30")),
    "distill.morphology": Change("1.0", GUIDED),
    "distill.relations": Change("1.0", GUIDED),
    "distill.relation_temperature": Change("0.4", (*GUIDED, "distill.relations=1.0")),
    "temperature.student": Change("0.2"),
    "temperature.teacher_start": Change("0.02"),
    "temperature.teacher_end": Change("0.06"),
    "temperature.teacher_warmup": Change("0.0"),
    "optim.lr": Change("1e-3"),
    "optim.lr_end": Change("1e-4"),
    "optim.warmup": Change("0.7"),
    "optim.head_warmup": Change("0.4"),
    "optim.weight_decay": Change("0.1"),
    "optim.weight_decay_end": Change("0.4"),
    "optim.betas": Change("[0.8, 0.99]"),
    "optim.clip_gradient": Change("0.01"),
    "optim.layer_decay": Change("0.5"),
    "optim.patch_embed_lr": Change("0.2"),
    "optim.backbone_lr": Change("0.5"),
    "optim.freeze_last_layer": Change("0.7"),
    "optim.ema_start": Change("0.9"),
    "optim.ema_end": Change("0.995"),
    "run.samples": Change("16"),
    "run.batch": Change("6"),
    "run.accumulate": Change("2"),
    "run.precision": Change("bf16"),
}

#: Each key that must leave the result alone, with values to try.
RUNTIME = {
    "runtime.workers": ("1", "2"),
    "runtime.log_every": ("1",),
    "runtime.checkpoint_every": ("1",),
    "runtime.keep_checkpoints": ("1",),
    "online.every": ("4",),
    "runtime.tensorboard": ("true",),
    "runtime.activation_checkpointing": ("true",),
    "runtime.parallel": ("ddp", "fsdp"),  # of one process; of several: test_distribution.py
}

#: Left out: these order float sums otherwise, which changes the last bits. Equal bits are promised for the
#: same number of threads, which the run records, on the same kind of device only. Packing and compilation
#: are held to the plain computation in test_loop.py.
CHANGE_LAST_BITS = {"runtime.threads", "runtime.device", "runtime.pack_crops", "runtime.compile"}


def keys(section: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """The dotted names of all keys."""
    for name, field in section.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)  # a section may be left out: Section | None
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for inner in sections:
            yield from keys(inner, f"{prefix}{name}.")
        if not sections:
            yield prefix + name


def test_tables__cover_every_key_of_the_recipe_once() -> None:
    covered = [*CHANGES, *RUNTIME, *CHANGE_LAST_BITS]
    assert sorted(covered) == sorted(keys())


class MicroRuns:
    """Runs in a folder each; runs with the same overrides are made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Manifest = draw_images(folder / "images")
        self._learned: dict[tuple[str, ...], str] = {}

    def run(self, overrides: tuple[str, ...] = (), **options: object) -> Path:
        folder = self.folder / f"run{len(list(self.folder.iterdir()))}"
        filled = [override.replace(TRAINED, str(self.trained)) for override in overrides]
        assert run_micro(self.manifest, folder, filled, **options).finished
        return folder

    def learned(self, overrides: tuple[str, ...] = ()) -> str:
        if overrides not in self._learned:
            self._learned[overrides] = trained_weights(self.run(overrides))
        return self._learned[overrides]

    @property
    def trained(self) -> Path:
        """The model folder of a run on another seed, so that starting from it is no mere repetition."""
        folder = self.folder / "start"
        if not folder.exists():
            assert run_micro(self.manifest, folder, ["seed=7"]).finished
        return folder / "model"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> MicroRuns:
    return MicroRuns(tmp_path_factory.mktemp("micro"))


def test_run__repeated_learns_the_same(runs: MicroRuns) -> None:
    assert trained_weights(runs.run()) == runs.learned()


@pytest.mark.parametrize("key", CHANGES)
def test_key__changes_what_is_learned(runs: MicroRuns, key: str) -> None:
    value, context = CHANGES[key]
    assert runs.learned((*context, f"{key}={value}")) != runs.learned(context)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in RUNTIME for value in RUNTIME[key]])
def test_runtime_key__changes_nothing(runs: MicroRuns, key: str, value: str) -> None:
    def score(teacher: Encoder) -> dict[str, float]:
        return {"online": float(len(teacher.weights_hash))}

    context = ("runtime.checkpoint_every=1",) if key == "runtime.keep_checkpoints" else ()
    folder = runs.run((*context, f"{key}={value}"), online_score=score)
    assert trained_weights(folder) == runs.learned()
