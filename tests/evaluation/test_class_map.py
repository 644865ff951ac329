"""Class maps: joined, dropped and unnamed labels, and maps that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from reddino.evaluation.class_map import ClassMap, class_map, read_class_map
from reddino.foundations.errors import RedDinoError


def test_class_map__joins_drops_and_keeps() -> None:
    mapping = ClassMap(join={"long": ("oval", "sickle")}, drop=("junk",))
    assert [mapping.class_of(name) for name in ("oval", "sickle", "junk", "burr")] == [
        "long",
        "long",
        "",
        "burr",
    ]


def test_class_map__others_can_be_dropped() -> None:
    mapping = ClassMap(join={"long": ("oval",)}, others="drop")
    assert [mapping.class_of(name) for name in ("oval", "long", "burr")] == ["long", "long", ""]


def test_class_map__restricted_to_the_labels_of_a_data_set() -> None:
    mapping = ClassMap(join={"long": ("oval", "sickle")}, drop=("junk",), others="drop")
    part = mapping.restricted_to(["sickle", "burr"])
    part.require_known(["sickle", "burr"])
    assert (part.class_of("sickle"), part.class_of("burr")) == ("long", "")
    with pytest.raises(RedDinoError, match="labelled 'junk', 'oval'; labels are: burr, sickle"):
        mapping.require_known(["sickle", "burr", ""])


def test_read_class_map__and_options_on_top(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text("join: {long: [oval, sickle]}\ndrop: [junk]\n", encoding="utf-8")
    mapping = class_map(file, drop=["debris"], rename={"ellipse": "long"})
    assert mapping.join == {"long": ("oval", "sickle", "ellipse")}
    assert mapping.drop == ("junk", "debris")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("joins: {a: [b]}", "joins"),
        ("join: {a: [x], b: [x]}", "'x' is named twice"),
        ("others: perhaps", "others"),
        ("join: [", "cannot be read"),
    ],
)
def test_read_class_map__says_what_does_not_fit(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RedDinoError, match=sentence):
        read_class_map(file)
    with pytest.raises(RedDinoError, match="cannot be read"):
        read_class_map(tmp_path / "absent.yaml")


def test_class_map__compares_labels_without_what_nobody_sees() -> None:
    mapping = ClassMap(
        join={" round ": ("normal\u00a0", "cellule e\u0301"), "round": ("target",)}, drop=("debris ",)
    )
    assert mapping.join == {"round": ("normal", "cellule \u00e9", "target")} and mapping.drop == ("debris",)
    mapping.require_known([" normal", "cellule e\u0301", "target", "debris", "NA", ""])
    assert [mapping.class_of(label) for label in (" normal", "\u200bdebris", "NA", "burr ")] == [
        "round",
        "",
        "",
        "burr",
    ]


def test_class_map__names_the_spelling_that_is_there() -> None:
    with pytest.raises(RedDinoError, match=r"no row is labelled 'Burr-cell' \(spelt 'burr cell' there\)"):
        ClassMap(drop=("Burr-cell",)).require_known(["burr cell", "normal"])
