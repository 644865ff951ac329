"""What a split cannot separate is said: slides, sources, whole pictures, and groups that nobody named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.protocol import evaluate_table
from reddino.evaluation.question import Question
from reddino.evaluation.separation import NO_EVIDENCE, is_evidence, separation_doubts

CLASSES = ("HE", "HS", "iron", "mega", "thal")


def smears(
    *,
    pictures: int = 8,
    cells: int = 1,
    slides: int = 0,
    mixed: bool = False,
    sources: Sequence[str] = ("lab",) * 5,
    kind: str = "image",
    side: float = 1280.0,
) -> tuple[Embeddings, list[str]]:
    """Pictures of five diseases; `slides` of each, 0: not known; `mixed`: cells of all classes in each."""
    rows = []
    for number, name in enumerate(CLASSES):
        for picture in range(pictures):
            for cell in range(cells):
                label = CLASSES[(number + cell) % 5] if mixed else name
                slide = f"{name}-{picture % slides}" if slides else None
                rows.append((f"{name}{picture}.png", sources[number], slide, label))
    paths, labs, names, labels = (list(column) for column in zip(*rows, strict=True))
    draw = np.random.default_rng(0)
    truth = np.array([CLASSES.index(label) for label in labels])
    vectors = (np.eye(5)[truth] + draw.normal(0, 0.1, (len(rows), 5))).astype(np.float32)
    columns = {
        **{"path": paths, "source": labs, "slide": names, "label": labels},
        **{name: [None] * len(rows) for name in ("patient", "group")},
        "view_side": [side] * len(rows),
    }
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    table = table.set_column(2, "slide", pa.array(names, pa.string()))
    for name in ("patient", "group"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array([None] * len(rows), pa.string()))
    meta = {"model": "m", "view": {"kind": kind}, "per": "view", "pooling": "cls", "preprocessing": {}}
    return Embeddings(vectors, table, meta), [str(label) for label in labels]


def doubts_of(
    given: tuple[Embeddings, list[str]], column: str | None = None
) -> tuple[list[str], list[str], bool]:
    """Return the kinds of the doubts, their sentences, and whether the score is evidence."""
    found = separation_doubts(*given, groups_of(given[0], column))
    return [one.kind for one in found], [one.note() for one in found], is_evidence(found)


def test_doubts__one_slide_a_disease_without_a_name_is_no_evidence() -> None:
    kinds, notes, evidence = doubts_of(smears())
    assert kinds == ["slides", "whole pictures"]
    assert not evidence
    assert notes[0].startswith(NO_EVIDENCE)
    assert "each of the 40 pictures holds one class only, and no row names its slide or patient" in notes[0]
    assert "1280 px wide" in notes[1]


def test_doubts__cells_of_pictures_with_one_class_each_are_no_better() -> None:
    kinds, _, evidence = doubts_of(smears(cells=20, kind="cells"))
    assert kinds == ["slides"]
    assert not evidence


def test_doubts__folds_that_divide_slides_of_one_class_are_no_evidence() -> None:
    assert doubts_of(smears(slides=1), "path")[2] is False
    kinds, notes, evidence = doubts_of(smears(slides=4))
    assert evidence
    assert kinds == ["few slides", "whole pictures"]
    assert "'HE' 4" in notes[0]
    assert doubts_of(smears(pictures=12, slides=12, kind="cells"))[0] == []


def test_doubts__mixed_pictures_without_slides_are_groups_unknown() -> None:
    kinds, notes, evidence = doubts_of(smears(cells=5, mixed=True, kind="cells", side=64))
    assert kinds == ["unknown groups"]
    assert evidence
    assert "no row names its slide or patient. Only pictures are kept together" in notes[0]
    emb, labels = smears(cells=5, mixed=True, kind="cells", side=64)
    place = emb.table.column_names.index("group")
    fields = emb.table.set_column(place, "group", pa.array([path[:3] for path in emb.strings("path")]))
    assert (
        "Only pictures, and rows of one group, are kept"
        in doubts_of((replace(emb, table=fields), labels))[1][0]
    )
    crops = doubts_of(smears(side=80))
    assert crops[0] == ["unknown groups"]
    assert "Every picture is a group by itself" in crops[1][0]


def test_doubts__a_source_a_class_is_no_evidence_and_a_lonely_class_is_named() -> None:
    assert doubts_of(smears(slides=8, sources=tuple("abcde"), kind="cells"))[2] is False
    kinds, notes, evidence = doubts_of(
        smears(cells=2, mixed=True, slides=8, kind="cells", sources=("a", "a", "a", "b", "b"))
    )
    assert kinds == ["sources"]
    assert evidence
    assert "'HS' ('a'), 'iron' ('a'), 'thal' ('b')" in notes[0]


def test_evaluate__says_so_first() -> None:
    emb, _ = smears()
    notes = evaluate_table(emb, Question(resamples=0, classifiers=("1-NN",))).notes
    assert notes[0].startswith(NO_EVIDENCE)
    emb, _ = smears(slides=4, kind="cells")
    question = Question(resamples=0, classifiers=("1-NN",), protocol="kfold")
    assert evaluate_table(emb, question).notes[0].startswith(NO_EVIDENCE)
    assert not evaluate_table(emb, Question(resamples=0, folds=4)).notes[0].startswith(NO_EVIDENCE)


@pytest.mark.parametrize("protocol", ["cross-source", "leave-one-source-out"])
def test_evaluate__across_sources_no_slide_is_divided(protocol: str) -> None:
    emb, labels = smears(cells=5, mixed=True, sources=tuple("aabbb"), kind="cells")
    assert separation_doubts(emb, labels, groups_of(emb), across_sources=True) == []
    question = Question.model_validate({"resamples": 0, "classifiers": ("1-NN",), "protocol": protocol})
    assert not any("Groups unknown" in note for note in evaluate_table(emb, question).notes)
