"""Task files: from manifests to the paper's tables in one call, with tables made once and taken again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

import reddino
from reddino import cli
from reddino.embedding.table import read_embeddings
from reddino.evaluation.results import CHANCE
from reddino.evaluation.run_tasks import table_options
from reddino.evaluation.task_file import Task, named_paths, read_task_file, shipped_tasks
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest, read_manifest, write_manifest

CLASSES = ("burr", "target", "normal")
MODELS = ["ours-reddino=colour-histogram", "size=cell-size"]


def draw_cell(kind: int, rng: np.random.Generator, tint: int) -> np.ndarray:
    """A disc whose size and colour hint at its class."""
    image = np.full((40, 40, 3), (230, 225, 235 - tint), np.uint8)
    colour = (150 + 25 * kind, 110, 120 + tint)
    cv2.circle(image, (20, 20), 8 + 2 * kind + int(rng.integers(3)), colour, -1)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Elsafty, Chula and DSE in their layouts, tiny."""
    root, rng = tmp_path_factory.mktemp("collections"), np.random.default_rng(0)
    for slide in range(1, 7):
        for kind, name in enumerate(CLASSES):
            for number in range(6):
                path = root / "elsafty" / name / f"Slide {slide} ({number},{kind},2,3,4).png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), draw_cell(kind, rng, 20 * (slide % 3)))
    slides = "".join(f"{slide},group {slide % 3}\n" for slide in range(1, 7))
    (root / "slides.csv").write_text("slide,source\n" + slides)
    for number in range(12):
        kinds = rng.integers(3, size=8)
        field = np.concatenate([draw_cell(int(kind), rng, 0) for kind in kinds], axis=1)
        (root / "chula" / "Dataset").mkdir(parents=True, exist_ok=True)
        (root / "chula" / "Label").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "chula" / "Dataset" / f"{number}.jpg"), field)
        lines = [f"{40 * i + 20} 20 {(8, 4, 0)[int(kind)]}" for i, kind in enumerate(kinds)]
        (root / "chula" / "Label" / f"{number}.txt").write_text("\n".join(lines))
    for kind, name in enumerate(CLASSES[:2]):
        for number in range(15):
            (root / "dse" / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / "dse" / name / f"{number}.png"), draw_cell(kind, rng, 0))
    reddino.manifest("elsafty", root / "elsafty", root / "elsafty.csv", sources=root / "slides.csv")
    reddino.manifest("chula", root / "chula", root / "chula.csv")
    reddino.manifest("class-folders", root / "dse", root / "dse.csv", source="dse")
    return {name: root / f"{name}.csv" for name in ("elsafty", "chula", "dse")}


def test_paper__lays_out_both_tables_from_three_collections(
    collections: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [f"{name}={path}" for name, path in collections.items()]
    out, figures = tmp_path / "paper.json", tmp_path / "figures"
    command = ["evaluate", "paper", "--models", *MODELS, "--data", *data, "--tables", str(tmp_path / "t")]
    assert cli.main([*command, "--resamples", "1000", "--out", str(out), "--figures", str(figures)]) == 0
    shown = capsys.readouterr().out
    for words in ("Table 1: Elsafty", "Table 2: linear probe", "Avg Improvement", CHANCE, "ours-reddino"):
        assert words in shown
        assert words in out.with_suffix(".md").read_text()
        assert words in out.with_suffix(".csv").read_text()
    assert r"\toprule" in out.with_suffix(".tex").read_text()
    saved = json.loads(out.read_text())
    tasks = {(one["task"], one["model"]): one for one in saved["results"]}
    assert len(tasks) == 6
    elsafty = tasks["Elsafty", "ours-reddino"]
    assert (elsafty["protocol"], len(elsafty["folds"])) == ("cross-source", 6)
    assert set(elsafty["by_source"]["probe"]) == {"group 0", "group 1", "group 2"}
    assert tasks["Chula", "size"]["question"]["protocol"] == "kfold"
    assert set(elsafty["seen_in_pretraining"].values()) == {"unseen"}
    assert {path.name for path in figures.iterdir()} >= {"task1-sources.png", "task1-model1-transfer.png"}

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "t").rglob("*.parquet")}
    assert len(before) == 6
    again = reddino.evaluate("paper", models=MODELS, data=data, tables=tmp_path / "t")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "t").rglob("*.parquet")} == before
    assert again[0].mean("probe").as_row() == pytest.approx(
        list(tasks["Elsafty", "ours-reddino"]["scores"]["probe"]["mean"].values())[:4]
    )


def test_evaluate__each_manifest_is_a_task_and_joined_they_are_one(
    collections: dict[str, Path], tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "models": MODELS[:1],
        "data": [collections["elsafty"], collections["dse"]],
        "tables": tmp_path,
        "embedding": {"view": "image", "image_size": 16},
        "drop": ["normal"],
        "resamples": 0,
    }
    apart = reddino.evaluate(protocol="kfold", folds=3, **options)
    assert [(one.task, one.classes) for one in apart] == [
        ("elsafty", ("burr", "target")),
        ("dse", ("burr", "target")),
    ]
    (joined,) = reddino.evaluate(protocol="leave-one-source-out", join=True, **options)
    assert joined.cells == apart[0].cells + apart[1].cells
    assert {fold.tested_on for fold in joined.folds} == {"dse", "group 0", "group 1", "group 2"}


def test_evaluate__an_edited_split_is_not_answered_from_an_older_table(
    collections: dict[str, Path], tmp_path: Path
) -> None:
    manifest = read_manifest(collections["elsafty"])
    halves = [["train", "test"][int(slide) % 2] for slide in manifest.strings("slide")]
    for turned in (False, True):
        split = [{"train": "test", "test": "train"}[half] if turned else half for half in halves]
        edited = Manifest(manifest.table.append_column("split", pa.array(split)), manifest.root)
        write_manifest(edited, collections["elsafty"].with_name("split.csv"))
        reddino.evaluate(
            models=["colour-histogram"],
            data=[collections["elsafty"].with_name("split.csv")],
            tables=tmp_path / "t",
            protocol="fixed",
            split_column="split",
            embedding={"view": "image"},
        )
    folders = {table.name for table in (tmp_path / "t").iterdir() if not table.name.startswith("hashes")}
    assert len(folders) == 2


def test_evaluate__takes_another_family_than_the_task_file_has(
    collections: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "t.yaml"
    task = f"tasks: {{a: {{data: {collections['dse']}, resamples: 0}}}}"
    file.write_text(f"{task}\nfamily: ours", encoding="utf-8")
    gains = {}
    for family in (None, "size"):
        (grid,) = reddino.evaluate(file, models=MODELS, tables=tmp_path / "t", family=family).grids
        gains[family] = {row[0]: row[1] for row in grid.rows}["Improvement"]
    assert float(gains[None]) == -float(gains["size"]) != 0


def test_evaluate__few_shot_asks_for_each_number_of_shots(
    collections: dict[str, Path], tmp_path: Path
) -> None:
    results = reddino.evaluate(
        models=MODELS[:1],
        data=[collections["chula"]],
        tables=tmp_path,
        embedding={"view": "cells", "side": 40, "unit": "px", "image_size": 16},
        protocol="few-shot",
        shots=[1, 10],
        repeats=3,
        resamples=0,
    )
    assert [one.task for one in results] == ["chula, 1 a class", "chula, 10 a class"]
    assert results[1].mean("probe").macro_f1 > results[0].mean(CHANCE).macro_f1


def test_task_file__takes_the_input_size_from_the_call(collections: dict[str, Path], tmp_path: Path) -> None:
    task = "{data: chula, view: cells, side: 40, unit: px, protocol: kfold, folds: 2, resamples: 0}"
    (tmp_path / "one.yaml").write_text(f"tasks:\n  Chula: {task}\n")
    options: dict[str, Any] = {
        "models": ["untrained:vit_tiny_patch14"],
        "data": [collections["chula"]],
        "tables": tmp_path / "t",
    }
    for size in (28, 56):
        reddino.evaluate(tmp_path / "one.yaml", **options, embedding={"image_size": size})
    sizes = {
        read_embeddings(part.parent).meta["preprocessing"]["input_size"]
        for part in (tmp_path / "t").rglob("*.parquet")
    }
    assert sizes == {28, 56}


def test_evaluate__few_shot_shows_20_nn_wherever_there_are_20_cells(
    collections: dict[str, Path], tmp_path: Path
) -> None:
    tables = []
    for model in ("colour-histogram", "cell-size"):
        tables.append(tmp_path / model)
        reddino.embed(
            collections["chula"], model, tables[-1], view="cells", side=40, unit="px", image_size=16
        )
    found = reddino.evaluate(tables, protocol="few-shot", shots=[1, 10], repeats=2, resamples=0)
    one, ten = found.grids
    assert not any(column.startswith("20-NN") for column in one.header)
    assert "20-NN macro F1" in ten.header
    assert float(ten.rows[0][ten.header.index("20-NN macro F1")]) == pytest.approx(
        100 * found[2].mean("20-NN").macro_f1, abs=0.05
    )


def test_evaluate__records_the_seeds_of_a_task_file(collections: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        f"tasks: {{a: {{data: {collections['dse']}, protocol: kfold, folds: 5, seed: 7, resamples: 0}},"
        f" b: {{data: {collections['dse']}, protocol: kfold, folds: 5, seed: SEED, resamples: 0}}}}",
        encoding="utf-8",
    )
    text = (tmp_path / "t.yaml").read_text()
    for second, recorded in ((7, 7), (3, [3, 7])):
        (tmp_path / "t.yaml").write_text(text.replace("SEED", str(second)))
        out = tmp_path / f"{second}.json"
        reddino.evaluate(tmp_path / "t.yaml", models=["colour-histogram"], tables=tmp_path / "t", out=out)
        assert json.loads(out.read_text())["provenance"]["seed"] == recorded
        shown = out.with_suffix(".md").read_text().replace("\\", "")  # brackets are escaped there
        assert f"seed {recorded}" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "nothing to evaluate"),
        ({"what": "paper", "models": MODELS}, "task 'Elsafty' needs the data 'elsafty'"),
        ({"what": "paper"}, "give --models"),
        ({"what": "paper", "models": MODELS, "protocol": "kfold"}, "'protocol' has no effect"),
        ({"what": "paper", "models": MODELS, "drop": ["normal"]}, "has no effect"),
        ({"what": "paper", "models": MODELS, "shots": [5]}, "'shots' has no effect"),
        ({"what": "paper", "models": MODELS, "join": True}, "'join' has no effect"),
        ({"what": ["t"], "embedding": {"view": "cells", "side": None}}, "so that view would do nothing"),
        ({"out": "scores.txt"}, "written as .json"),
        ({"data": ["a/x.csv", "b/x.csv"]}, "two data sets are called 'x'"),
    ],
)
def test_evaluate__says_what_is_missing(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        reddino.evaluate(**arguments)


def test_evaluate__names_an_option_that_does_not_fit(collections: dict[str, Path]) -> None:
    options: dict[str, Any] = {"models": MODELS, "data": [collections["dse"]]}
    with pytest.raises(RedDinoError, match="folds must be from 2"):
        reddino.evaluate(folds=1, **options)
    with pytest.raises(RedDinoError, match="labelled 'sickel'"):
        reddino.evaluate(drop=["sickel"], **options)


def test_shipped_tasks__can_be_read() -> None:
    assert sorted(shipped_tasks()) == [
        "blood-cells",
        "choosing",
        "chula",
        "elongated",
        "hard-parasites",
        "malaria",
        "paper",
        "shipped",
    ]
    for path in shipped_tasks().values():
        tasks = read_task_file(path)
        assert tasks.tasks
        assert path.read_text().startswith("# ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tasks: {a: {data: x, protocl: kfold}}", "tasks.a.protocl: unknown key"),
        ("tasks: {a: {data: x, protocol: k-fold}}", "tasks.a.protocol"),
        ("tasks: {a: {data: x}}\ntables: [{title: t, tasks: [b]}]", "shows no known task 'b'"),
        (
            "tasks: {a: {data: x}}\ntables: [{title: t, tasks: [a], classifiers: [probe, 20NN]}]",
            "the table 't' shows no known classifier '20NN'; known are: probe, 1-NN",
        ),
        (
            "tasks: {a: {data: x}}\ntables: [{title: t, tasks: [a], classifiers: [nearest mean]}]",
            "the table 't' shows 'nearest mean', which its task 'a' lacks",
        ),
        ("tasks: {a: {data: x, classes: absent.yaml}}", "absent.yaml cannot be read"),
        ("tasks: [", "cannot be read"),
    ],
)
def test_read_task_file__says_where_it_does_not_fit(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RedDinoError, match=sentence):
        read_task_file(file)


def test_task__takes_a_class_map_from_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("join: {long: [oval, sickle]}", encoding="utf-8")
    (tmp_path / "t.yaml").write_text("tasks: {a: {data: x, classes: map.yaml}}", encoding="utf-8")
    task = read_task_file(tmp_path / "t.yaml").tasks["a"]
    assert isinstance(task, Task)
    assert task.questions("a")["a"].classes.join == {"long": ("oval", "sickle")}


def test_named_paths__a_manifest_is_called_after_its_folder() -> None:
    found = named_paths(["one=a.csv", "lab/manifest.csv", "cells.csv"])
    assert list(found) == ["one", "lab", "cells"]


def test_tables__of_the_source_s_scale_keep_their_name_and_others_get_one(tmp_path: Path) -> None:
    def name(**settings: Any) -> dict[str, Any]:
        return table_options(Task(data=("d",), view="cells", **settings))

    own, former = name(side=1.6, unit="diameters"), name(side=1.6, unit="diameters", scale="source")
    assert own == {**former, "scale": "picture"}
    assert "stain" not in own  # as those that were there before there was a choice
    assert name(stain="macenko")["stain"] == "macenko"
    # Views in pixels have no scale.
    assert "scale" not in name(side=64, unit="px")
    file = tmp_path / "tasks.yaml"
    file.write_text("tasks: {a: {data: d, view: cells}, b: {data: d, view: cells, scale: source}}")
    tasks = read_task_file(file).tasks
    assert [tasks[title].embedding()["scale"] for title in "ab"] == ["picture", "source"]
    with pytest.raises(RedDinoError, match="scale"):
        file.write_text("tasks: {a: {data: d, scale: slide}}")
        read_task_file(file)


def test_shipped_tasks__in_diameters_have_the_scale_of_their_published_figures() -> None:
    for path in shipped_tasks().values():
        for task in read_task_file(path).tasks.values():
            assert task.unit != "diameters" or task.scale == "source"
