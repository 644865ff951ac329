"""Patients under two sources: named, joined where asked, and never trained on where they are tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from toy_tables import table

from reddino.embed.table import Embeddings
from reddino.errors import RedDinoError
from reddino.evaluate.leaks import groups_of
from reddino.evaluate.protocol import evaluate_table
from reddino.evaluate.question import Question, plan_splits


def two_cameras(patients: int = 6, cells: int = 12, own: bool = False) -> Embeddings:
    """Cells of two classes; the same patients under two sources, with vectors that tell the patient.

    Args:
        own: each patient's second source is a patient of its own name.
    """
    draw = np.random.default_rng(0)
    patient = np.repeat(np.arange(patients), cells)
    label = draw.integers(2, size=len(patient))
    # What a label looks like is the patient's own affair: nothing is to be learned from others.
    centres = draw.normal(size=(patients, 2, 8))
    vectors = [centres[patient, label] + 0.01 * draw.normal(size=(len(patient), 8)) for _ in "AB"]
    names = [f"p{one}" for one in patient.tolist()]
    other = [f"q{one}" for one in patient.tolist()] if own else names
    return table(
        np.concatenate(vectors),
        label=["round" if one else "long" for one in label.tolist() * 2],
        source=["A"] * len(names) + ["B"] * len(names),
        patient=[*names, *other],
    )


def accuracy(emb: Embeddings, **question: object) -> float:
    asked = Question.model_validate({"folds": 3, "classifiers": ("1-NN",), "resamples": 0, **question})
    return evaluate_table(emb, asked).mean("1-NN").accuracy


def notes(emb: Embeddings, **question: object) -> Sequence[str]:
    asked = Question.model_validate({"folds": 3, "classifiers": ("1-NN",), "resamples": 0, **question})
    return evaluate_table(emb, asked).notes


def test_patients_under_two_sources__train_and_test_unless_they_are_joined() -> None:
    emb = two_cameras()
    assert len(set(groups_of(emb))) == 12
    assert len(set(groups_of(emb, None, ("patient",)))) == 6
    assert len(set(groups_of(emb, "patient", ("patient",)))) == 6
    assert accuracy(emb) > 0.9
    assert accuracy(emb, join_sources=("patient",)) < 0.75
    assert accuracy(emb, group_by="patient", join_sources=("patient",)) < 0.75


@pytest.mark.parametrize("protocol", ["kfold", "grouped-kfold", "leave-one-source-out", "few-shot"])
def test_patients_under_two_sources__are_named_under_every_protocol(protocol: str) -> None:
    (note,) = [one for one in notes(two_cameras(), protocol=protocol) if "several sources" in one]
    assert "6 patients, such as patient 'p0' of 'A' and 'B'" in note
    assert "--join-sources patient" in note
    assert not [one for one in notes(two_cameras(own=True), protocol=protocol) if "several sources" in one]


def test_patients_under_two_sources__the_share_of_tested_cells_is_right() -> None:
    # In leave-one-source-out every tested patient trains under the other name.
    (note,) = [
        one for one in notes(two_cameras(), protocol="leave-one-source-out") if "several sources" in one
    ]
    assert "100 % of the tested cells bear a name that trains under another source" in note
    # Patients p0 to p2 alone are of both sources: a quarter of each source's cells is of p3, p4 and p5.
    half = two_cameras()
    patients = np.array(half.strings("patient"))
    sources = np.array(half.strings("source"))
    kept = half.select((sources == "A") | np.isin(patients, ["p0", "p1", "p2"]))
    (note,) = [one for one in notes(kept, protocol="leave-one-source-out") if "several sources" in one]
    # 36 of A's 72 tested cells, and all 36 of B's.
    assert "67 % of the tested cells" in note


def test_leave_one_source_out__does_not_train_on_tested_patients_once_they_are_joined() -> None:
    emb = two_cameras()
    with pytest.raises(RedDinoError, match="'all but A' has no training cell"):
        notes(emb, protocol="leave-one-source-out", join_sources=("patient",))
    patients, sources = np.array(emb.strings("patient")), np.array(emb.strings("source"))
    kept = emb.select(
        ((sources == "A") & (patients != "p5")) | ((sources == "B") & ~np.isin(patients, ["p0", "p1"]))
    )
    asked = Question(protocol="leave-one-source-out", join_sources=("patient",))
    plan = plan_splits(asked, kept, kept.strings("label"))
    patient = np.array(kept.strings("patient"))
    assert [sorted(set(patient[split.train])) for split in plan.splits] == [["p5"], ["p0", "p1"]]
    (note,) = [one for one in plan.notes if "were left out" in one]
    assert note.startswith("72 of 108 training cells were left out: they are of a picture that is tested too")


def test_join_sources__refuses_a_column_that_names_no_one() -> None:
    with pytest.raises(RedDinoError, match="join-sources takes patient, slide, group, not 'label'"):
        groups_of(two_cameras(), None, ("label",))


def test_copies__are_one_group_and_never_train_where_they_are_tested() -> None:
    emb = two_cameras(own=True)
    paths = emb.strings("path")
    copied = replace(emb, copies={path: paths[row % 72] for row, path in enumerate(paths)})
    assert len(set(groups_of(copied))) == 6
    assert len(set(groups_of(copied, "patient"))) == 6
    assert accuracy(copied) < 0.75 < accuracy(emb)
    (note,) = [one for one in notes(copied) if one.startswith("Copies")]
    assert "other pictures of the table: 72, such as '72.png' of '0.png'" in note
    with pytest.raises(RedDinoError, match="has no training cell"):
        notes(copied, protocol="leave-one-source-out")
    few = replace(emb, copies={"0.png": "0.png", "72.png": "0.png"})
    plan = plan_splits(Question(protocol="leave-one-source-out"), few, few.strings("label"))
    assert [len(split.train) for split in plan.splits] == [71, 71]
    assert any("2 of 144 training cells were left out" in one for one in plan.notes)
