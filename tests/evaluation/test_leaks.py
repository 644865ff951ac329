"""Patients under two sources: named, joined where asked, and never trained on where they are tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from toy_tables import table

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.protocol import evaluate_table
from reddino.evaluation.question import Question, plan_splits
from reddino.foundations.errors import RedDinoError


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
    assert accuracy(emb) > 0.8
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


def test_sides_that_are_given__do_not_join_the_patients_of_copies() -> None:
    emb = two_cameras()
    copies = {f"{row + other}.png": f"{row}.png" for row in range(0, 72, 12) for other in (0, 72)}
    few = replace(emb, copies=copies)
    assert len(set(groups_of(few))) == 6
    assert any("are joined: 6 patients" in one for one in notes(few))
    (note,) = [one for one in notes(few, protocol="leave-one-source-out") if one.startswith("Names")]
    assert "taken for different ones: 6 patients" in note and "100 % of the tested cells" in note


def test_names_without_a_source__are_others_than_with_one() -> None:
    emb = two_cameras()
    column = emb.table.column_names.index("source")
    half = pa.array(["A"] * 72 + [None] * 72, pa.string())
    emb = replace(emb, table=emb.table.set_column(column, "source", half))
    assert any("such as patient 'p0' of 'A' and '(no source)'" in one for one in notes(emb))


def test_groups__of_a_table_that_lacks_columns() -> None:
    emb = two_cameras()
    fewer = replace(emb, table=emb.table.select(["path", "source", "patient", "label"]))
    assert groups_of(fewer) == groups_of(emb)
    alone = replace(emb, table=emb.table.select(["path", "label"]))
    assert len(set(groups_of(alone))) == 144


def further(name: str, values: Sequence[str]) -> Embeddings:
    """The cells of `two_cameras` with a further column, which is carried along as it is written."""
    emb = two_cameras()
    return replace(emb, table=emb.table.append_column(name, pa.array(values, pa.string())))


def test_further_columns__are_read_as_the_ids_of_a_manifest_are() -> None:
    blanks = further("donor", [f"d{row // 12}{' ' * (row % 2)}" for row in range(144)])
    assert len(set(groups_of(blanks, "donor"))) == 12
    with pytest.raises(RedDinoError, match="72 of 144 labelled rows have no 'donor'"):
        groups_of(further("donor", ["NA"] * 72 + ["d1"] * 72), "donor")
    lab = further("lab", [f"L{row // 72}{' ' * (row % 2)}" for row in range(144)])
    asked = Question(protocol="leave-one-source-out", source_column="lab")
    assert [split.name for split in plan_splits(asked, lab, lab.strings("label")).splits] == [
        "all but L0",
        "all but L1",
    ]


def test_a_fixed_split__takes_sides_however_they_are_spelt() -> None:
    values = [("Training" if row < 72 else "test") + " " * (row % 2) for row in range(144)]
    emb = further("split", values)
    (split,) = plan_splits(Question(protocol="fixed"), emb, emb.strings("label")).splits
    assert (len(split.train), len(split.tests[0][1])) == (72, 72)
    named = Question(protocol="fixed", test_values=(" test",))
    (split,) = plan_splits(named, emb, emb.strings("label")).splits
    assert (len(split.train), len(split.tests[0][1])) == (72, 72)


def test_classes_and_groups_that_are_spelt_alike__are_said() -> None:
    emb = further("stage", [("Ring", "ring", "gamete")[row % 3] for row in range(144)])
    (note,) = [one for one in notes(emb, label="stage") if "different classes" in one]
    assert "'Ring' and 'ring'" in note
    assert not any("different classes" in one for one in notes(emb))
    donors = further("donor", [f"{'dD'[row % 2]}{row // 12}" for row in range(144)])
    (note,) = [one for one in notes(donors, group_by="donor") if "different values of 'donor'" in one]
    assert "'d0' and 'D0'" in note and "(11 more are like these)" in note


def test_groups_of_a_column__that_divide_patients_are_said() -> None:
    emb = two_cameras()
    (note,) = [one for one in notes(emb, group_by="path") if one.startswith("Groups by")]
    assert note == "Groups by 'path' divide 12 patients, so that parts of one may train and test."
    for question in ({"group_by": "patient"}, {"group_by": "path", "protocol": "kfold"}, {}):
        assert not any(one.startswith("Groups by") for one in notes(emb, **question))
