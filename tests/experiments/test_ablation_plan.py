"""Plans: what an arm changes, in which order runs come, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from ablation_plans import EXPERIMENTS, write_plan

from ablation.plan import Plan, Run, read_plan, same_recipe
from reddino.foundations.errors import RedDinoError


def changed_keys(plan: Plan, arm: str) -> set[str]:
    """Dotted keys in which an arm's recipe differs from the reference's."""
    own, base = (plan.recipe(name, 0).model_dump() for name in (arm, plan.file.reference))
    found = set()
    for section, values in base.items():
        if not isinstance(values, dict) or not isinstance(own[section], dict):
            found |= {section} if values != own[section] else set()
            continue
        found |= {f"{section}.{key}" for key in values if values[key] != own[section][key]}
    return found


def test_read_plan__an_arm_changes_only_what_it_names(tmp_path: Path) -> None:
    arms = {"A": {}, "less": {"drop_operations": ["CLAHE"], "add_operations": ["RandomFog"]}}
    plan = read_plan(write_plan(tmp_path, arms=arms), overrides=("run.samples=16",))
    assert plan.recipe("less", 3).augmentation.operations == ("Blur", "Solarize", "RandomFog")
    assert changed_keys(plan, "less") == {"augmentation.operations"}
    assert (plan.recipe("less", 3).seed, plan.recipe("A", 0).run.samples) == (3, 16)


def test_runs__the_first_seed_of_all_comes_first_and_the_reference_before_other_arms(tmp_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path, networks={"ImageNet": "efficientnet-lite0"}, turned=["A"]))
    assert list(plan.runs()) == [
        Run("one", "ImageNet", 0, network="efficientnet-lite0"),
        Run("one", "A", 0),
        Run("one", "turned A", 0, made_by="A"),
        Run("one", "KoLeo", 0),
        Run("one", "A", 1),
        Run("one", "turned A", 1, made_by="A"),
        Run("one", "KoLeo", 1),
    ]


def test_pretrain_names__leaves_out_what_the_arm_does_without(tmp_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path, arms={"A": {}, "B": {"without": ["synthetic"]}}))
    assert plan.pretrain_names(Run("one", "A", 0)) == ("other", "synthetic")
    assert plan.pretrain_names(Run("one", "B", 0)) == ("other",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reference": "B"}, "the reference 'B' is not among the arms and networks"),
        ({"arms": {"A": {"sett": []}}}, "arms.A.sett: unknown key"),
        ({"arms": {"A": {"set": ["loss.coleo=1"]}}}, "arm 'A'.*loss.coleo"),
        ({"arms": {"A": {"drop_operations": ["RandomFog"]}}}, "arm 'A'.*'RandomFog' is not among"),
        ({"arms": {"A": {}, "a ": {}}}, "two names give the same folder"),
        ({"folds": {"one": {"pretrain": [], "tasks": ["malaria"]}}}, "no task 'malaria'.*shapes, parasites"),
        ({"arms": {"A": {"without": ["syntetic"]}}}, "arms.A.without: no fold pretrains on 'syntetic'"),
        ({"seeds": [1, 1]}, "seeds: one is there twice"),
        ({"seeds": []}, "seeds: .*at least 1 item"),
        ({"turned": ["B"]}, "turned: 'B' is not among the arms"),
    ],
)
def test_read_plan__refuses_what_does_not_fit(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(RedDinoError, match=said):
        read_plan(write_plan(tmp_path, **changes))


def test_read_plan__options_are_checked_as_the_plan_is(tmp_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path), seeds=(5,), cells=70)
    assert (plan.file.seeds, plan.file.scoring.cells) == ((5,), 70)
    with pytest.raises(RedDinoError, match=r"scoring\.cells: .*greater than or equal to 1"):
        read_plan(tmp_path / "plan.yaml", cells=0)
    with pytest.raises(RedDinoError, match=r"seeds\.0: .*greater than or equal to 0"):
        read_plan(tmp_path / "plan.yaml", seeds=(-1,))


def test_same_recipe__a_key_that_an_older_run_lacks_has_its_default(tmp_path: Path) -> None:
    now = read_plan(write_plan(tmp_path)).recipe("A", 0).model_dump(mode="json")
    older = {**now, "loss": {key: value for key, value in now["loss"].items() if key != "koleo"}}
    other = {**now, "loss": {**now["loss"], "koleo": 0.1}}
    assert same_recipe(older, now)
    assert not same_recipe(other, now)
    assert same_recipe({**now, "runtime": {**now["runtime"], "threads": 7}}, now)


CLAIMS = {
    "KoLeo 0.1": {"loss.koleo"},
    "moving-average centering": {"loss.centering"},
    "jitter, blur, solarise": {"augmentation.operations"},
    "without colour": {"augmentation.operations"},
    "without blur": {"augmentation.operations"},
    "without noise": {"augmentation.operations"},
    "with weather": {"augmentation.operations"},
    "without shadow": {"augmentation.operations"},
    "random patches": {"data.layout"},
    "patches of 224 px": {"data.layout", "data.patch_side", "data.patch_unit"},
    "single cells": {"data.patch_side", "crops.global_scale"},
    "whole fields": {"data.layout", "data.patch_unit"},
    "without local crops": {"crops.local_count"},
    "without synthetic smears": set(),
    "batches mixed": {"data.batch_from"},
    "teacher shown the student's crops": {"augmentation.teacher_strength"},
    "teacher shown weak crops": {"augmentation.teacher_strength"},
    "no head warm-up": {"optim.head_warmup"},
    "a fifteenth of the backbone's rate": {"optim.backbone_lr"},
    "distillation": {"loss.dino", "distill"},
    "DINO and distillation": {"loss.dino", "distill"},
}


def test_paper_claims__each_arm_changes_what_its_name_says() -> None:
    plan = read_plan(EXPERIMENTS / "paper-claims.yaml")
    assert set(CLAIMS) <= set(plan.file.arms)
    for arm, keys in CLAIMS.items():
        assert changed_keys(plan, arm) == keys, arm


def test_paper_claims__families_of_operations_are_whole() -> None:
    from reddino.pretraining.augmentation.operations.colours import COLOURS
    from reddino.pretraining.augmentation.operations.noises import NOISES
    from reddino.pretraining.augmentation.operations.tones import TONES
    from reddino.pretraining.augmentation.operations.weather import WEATHER

    plan = read_plan(EXPERIMENTS / "paper-claims.yaml")
    base = set(plan.recipe("DINO", 0).augmentation.operations)
    kept = {arm: set(plan.recipe(arm, 0).augmentation.operations) for arm in plan.file.arms}
    noises = set(NOISES) | {"MultiplicativeNoise"}
    assert base - kept["without colour"] == base & (set(COLOURS) | set(TONES)) - noises
    assert base - kept["without noise"] == base & noises
    assert set(WEATHER) <= kept["with weather"]
    assert not kept["without blur"] & {"Blur", "Downscale", "GaussianBlur", "MedianBlur", "MotionBlur"}


def test_paper_claims__no_fold_scores_what_its_pretraining_saw() -> None:
    for name in ("paper-claims.yaml", "ibot-vit.yaml"):
        plan = read_plan(EXPERIMENTS / name)
        for fold in plan.file.folds.values():
            scored = {data for title in fold.tasks for data in plan.tasks[title].data}
            assert not scored & set(fold.pretrain)
        titles = {title for fold in plan.file.folds.values() for title in fold.tasks}
        assert titles == {"shapes", "elongated", "blood cells", "parasites"}


def test_parasites__cells_of_every_shape_are_among_the_uninfected() -> None:
    from reddino.synthetic.morphologies import MORPHOLOGIES
    from reddino.synthetic.parasites import STAGES

    classes = read_plan(EXPERIMENTS / "paper-claims.yaml").tasks["parasites"].classes
    found = {name: classes.class_of(name) for name in (*MORPHOLOGIES, *STAGES)}
    assert found == {name: "infected" if name in STAGES else "uninfected" for name in found}
