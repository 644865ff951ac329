"""Names that contradict each other are found, counted, and named with their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reddino.checks.inspection import inspect_rows
from reddino.smears.findings import Finding
from reddino.smears.identities import in_several_sources, in_several_splits, of_two_owners, several_of
from reddino.smears.manifest import Manifest


def manifest(**columns: list[Any]) -> Manifest:
    return Manifest(pa.table(columns), Path())


def by_kind(findings: Any) -> dict[str, Finding]:
    return {finding.kind: finding for finding in findings}


def test_several_of__ignores_what_is_missing() -> None:
    assert several_of(["a", "a", "", "b", "a", "c"], ["1", "2", "9", "1", "1", ""]) == {"a": ["1", "2"]}


@pytest.mark.parametrize("column", ["patient", "slide", "group"])
def test_names_under_several_sources__are_counted_with_the_first(column: str) -> None:
    made = manifest(
        path=["a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png"],
        source=["A", "A", "B", "B", "B"],
        **{column: ["1", "2", "2", "3", None]},
    )
    (found,) = in_several_sources(made)
    assert (found.kind, found.count, found.harmless) == (f"{column} in several sources", 1, False)
    assert found.first == f"{column} '2' of 'A' and 'B': row 2 (a/2.png)"
    assert f"--join-sources {column}" in found.message
    assert not list(in_several_sources(made.select([0, 1, 3, 4])))


def test_a_slide_of_two_patients__is_named_within_its_source() -> None:
    found = by_kind(
        of_two_owners(
            manifest(
                path=["1", "2", "3", "4"],
                source=["A", "A", "B", "B"],
                slide=["s", "s", "s", None],
                patient=["p", "q", "r", "p"],
            )
        )
    )
    assert list(found) == ["slide of several patients"]
    assert found["slide of several patients"].first == "slide 's' of patient 'p' and 'q': row 1 (1)"


def test_a_group_of_two_patients_and_a_picture_of_two_owners__are_named() -> None:
    found = by_kind(
        of_two_owners(
            manifest(
                path=["1", "1", "2", "3"],
                source=["A", "B", "B", "B"],
                slide=["s", "t", None, None],
                patient=["p", "q", "p", "q"],
                group=[None, None, "g", "g"],
            )
        )
    )
    assert {kind: one.count for kind, one in found.items()} == {
        "group of several patients": 1,
        "picture of several patients": 1,
        "picture of several slides": 1,
        "picture of several sources": 1,
    }
    assert found["picture of several sources"].first == "picture '1' of source 'A' and 'B': row 1 (1)"


def test_a_patient_on_two_sides_of_the_split__is_named() -> None:
    made = manifest(
        path=["1", "2", "2", "3"],
        source=["A", "A", "A", "B"],
        patient=["p", "p", "q", "q"],
        split=["train", "test", "train", "test"],
    )
    found = by_kind(in_several_splits(made))
    assert {kind: one.count for kind, one in found.items()} == {
        "patient on several sides of 'split'": 1,
        "picture on several sides of 'split'": 1,
    }
    first = found["patient on several sides of 'split'"].first
    assert first == "patient 'p' in 'train' and 'test': row 1 (1)"


def test_a_split__is_known_by_what_a_column_holds_and_however_its_sides_are_spelt() -> None:
    columns: dict[str, list[Any]] = {"path": ["1", "2", "3"], "patient": ["p", "p", "q"]}
    for name, sides in (("part", ["Training", "test ", "NA"]), ("is_test", ["0", "1", "0"])):
        (found,) = in_several_splits(manifest(**columns, **{name: sides}))
        assert (found.kind, found.count) == (f"patient on several sides of '{name}'", 1)
    assert not list(in_several_splits(manifest(**columns, split=["train", " Train", "test"])))
    assert not list(in_several_splits(manifest(**columns, split=["train", "NA", "test"])))
    assert not list(in_several_splits(manifest(**columns, quality=["good", "bad", "bad"])))


def test_a_split__is_known_by_folders() -> None:
    made = manifest(path=["train/1.png", "test/2.png", "test/3.png"], patient=["p", "p", "q"])
    (found,) = in_several_splits(made)
    assert found.kind == "patient on several sides of the folders"
    assert found.first == "patient 'p' in 'train' and 'test': row 1 (train/1.png)"


def test_a_name__without_a_source_is_another_than_with_one() -> None:
    (found,) = in_several_sources(manifest(path=["1", "2"], source=["A", None], patient=["p", "p"]))
    assert found.first == "patient 'p' of 'A' and '(no source)': row 1 (1)"
    assert not list(in_several_sources(manifest(path=["1", "2"], patient=["p", "p"])))


def test_an_ordinary_collection__shows_nothing() -> None:
    made = manifest(
        path=["1", "2", "3"],
        source=["A", "A", "B"],
        slide=["s1", "s2", "t1"],
        patient=["p", "p", "q"],
        group=["g", "g", "h"],
        split=["train", "train", "test"],
    )
    assert inspect_rows(made) == ()
