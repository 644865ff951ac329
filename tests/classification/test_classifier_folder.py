"""The classifier folder: what was saved is what opens, and nothing else opens."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from labelled_smears import noisy_table

from reddino.classification.classifier import DESCRIPTION, HEAD, Classifier, open_classifier, save_classifier
from reddino.classification.fit import fit_on_table
from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Classifier]:
    folder = tmp_path_factory.mktemp("classifier") / "c"
    return folder, fit_on_table(noisy_table(), folder)


def test_open_classifier__gives_the_same_probabilities(saved: tuple[Path, Classifier]) -> None:
    folder, made = saved
    read = open_classifier(folder)
    vectors = noisy_table(50, seed=3).vectors
    assert np.array_equal(read.probabilities(vectors), made.probabilities(vectors))
    assert read.probabilities(vectors).sum(axis=1) == pytest.approx(1)
    assert read.view == made.view
    assert (read.classes, read.model, read.weights_hash, read.pooling) == (
        ("class 0", "class 1", "class 2"),
        "made",
        "0123456789abcdef",
        "cls",
    )


def test_fit_on_table__counts_left_out_rows_and_says_where_it_came_from(tmp_path: Path) -> None:
    made = fit_on_table(noisy_table(), tmp_path / "c", classes={"class 2": None, "class 1": "one"})
    assert made.classes == ("class 0", "one")
    assert made.report["cells"] + made.report["left_out"] == 400
    assert made.provenance["data"] == "d"
    assert made.provenance["model"] == "0123456789abcdef"


def test_fit_on_table__takes_the_name_that_opens_the_network(tmp_path: Path) -> None:
    emb = noisy_table()
    named = Embeddings(emb.vectors, emb.table, {**emb.meta, "model": "mine", "opens_as": "runs/mine/model"})
    assert fit_on_table(named, tmp_path / "c").model == "runs/mine/model"


def test_save_classifier__refuses_a_folder_that_is_taken(saved: tuple[Path, Classifier]) -> None:
    folder, made = saved
    with pytest.raises(RedDinoError, match="already holds a classifier"):
        save_classifier(folder, made)
    with pytest.raises(RedDinoError, match="already holds a classifier"):
        fit_on_table(noisy_table(), folder)


def test_open_classifier__refuses_what_is_none_or_damaged_or_mixed(
    saved: tuple[Path, Classifier], tmp_path: Path
) -> None:
    folder, made = saved
    with pytest.raises(RedDinoError, match="is no classifier"):
        open_classifier(tmp_path)
    bytes_of_head = (folder / HEAD).read_bytes()
    for name, head, description in (
        ("truncated", bytes_of_head[:-9], None),
        ("no head", None, None),
        ("garbled", bytes_of_head, "{"),
        ("unknown key", bytes_of_head, json.dumps({"surprise": 1})),
    ):
        broken = tmp_path / name
        broken.mkdir()
        if head is not None:
            (broken / HEAD).write_bytes(head)
        (broken / DESCRIPTION).write_text(description or (folder / DESCRIPTION).read_text())
        with pytest.raises(RedDinoError, match="cannot be read as"):
            open_classifier(broken)
    other = tmp_path / "mixed"
    save_classifier(other, replace(made, head=replace(made.head, bias=made.head.bias + 1)))
    (other / HEAD).write_bytes(bytes_of_head)
    with pytest.raises(RedDinoError, match="does not belong"):
        open_classifier(other)


@pytest.mark.parametrize("name", ["mean", "scale", "weights", "bias"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_open_classifier__refuses_a_head_that_is_not_finite(tmp_path: Path, name: str, wrong: float) -> None:
    made = fit_on_table(noisy_table(), tmp_path / "right")
    values = getattr(made.head, name).copy()
    values.flat[-1] = wrong
    save_classifier(tmp_path / "c", replace(made, head=replace(made.head, **{name: values})))
    with pytest.raises(RedDinoError, match=f"'{name}' of {HEAD} holds numbers that are not finite"):
        open_classifier(tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": 0.0}, "temperature 0.0 is not a number above 0"),
        ({"temperature": -1.0}, "temperature -1.0 is not"),
        ({"offset": (0.0, 1.0)}, "offset must be 3 finite numbers"),
        ({"classes": ("class 0", "class 1")}, r"'weights' of .* has shape \(3, 60\), for 2 classes"),
    ],
)
def test_open_classifier__refuses_numbers_that_give_no_probability(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    made = fit_on_table(noisy_table(), tmp_path / "right")
    save_classifier(tmp_path / "c", replace(made, **changes))
    with pytest.raises(RedDinoError, match=said):
        open_classifier(tmp_path / "c")


def test_open_classifier__refuses_a_temperature_that_is_not_finite(tmp_path: Path) -> None:
    fit_on_table(noisy_table(), tmp_path / "c")
    text = (tmp_path / "c" / DESCRIPTION).read_text()
    content = {**json.loads(text), "temperature": float("nan")}
    (tmp_path / "c" / DESCRIPTION).write_text(json.dumps(content))
    with pytest.raises(RedDinoError, match=r"c.* NaN|temperature nan"):
        open_classifier(tmp_path / "c")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", ["a", "a", "b"]),
        ("classes", "abc"),
        ("view", {"kind": "cells", "side": "x"}),
        ("preprocessing", {"orientations": "4"}),
        ("offset", None),
        ("kind", "other"),
        ("report", []),
        ("surprise", 1),
    ],
)
def test_open_classifier__names_the_key_that_does_not_fit(
    saved: tuple[Path, Classifier], tmp_path: Path, key: str, value: object
) -> None:
    folder = Path(shutil.copytree(saved[0], tmp_path / "c"))
    content = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps({**content, key: value}))
    with pytest.raises(RedDinoError, match=rf"classifier\.json .*: {key}"):
        open_classifier(folder)


def test_open_classifier__refuses_a_description_that_was_changed_and_takes_those_of_before(
    saved: tuple[Path, Classifier], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved[0], tmp_path / "c"))
    content = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(content, sort_keys=True))
    assert open_classifier(folder).classes == saved[1].classes
    renamed = [*content["classes"][:-1], "another"]
    (folder / DESCRIPTION).write_text(json.dumps({**content, "classes": renamed}))
    with pytest.raises(RedDinoError, match="does not fit its checksum: it was damaged or edited"):
        open_classifier(folder)
    del content["content_hash"]
    (folder / DESCRIPTION).write_text(json.dumps(content))
    assert open_classifier(folder).classes == saved[1].classes


def test_classifier__refuses_vectors_of_another_length(saved: tuple[Path, Classifier]) -> None:
    with pytest.raises(RedDinoError, match="takes vectors of"):
        saved[1].probabilities(np.zeros((2, 3), np.float32))


def test_fit__says_what_its_groups_divide_and_which_classes_are_spelt_alike(tmp_path: Path) -> None:
    emb = noisy_table()
    labels = emb.strings("label")
    spelt = [label.upper() if label == "class 0" and row % 2 else label for row, label in enumerate(labels)]
    columns = emb.table.drop_columns(["label"]).append_column("label", pa.array(spelt))
    rows = pa.array([str(row) for row in range(len(emb))])
    emb = replace(emb, table=columns.append_column("row", rows))
    said = fit_on_table(emb, tmp_path / "c", group_column="row").report["notes"]
    assert "Groups by 'row' divide 20 slides, 20 pictures, so that parts of one may train and test." in said
    assert any("'class 0'" in one and "'CLASS 0'" in one and "are different classes" in one for one in said)
