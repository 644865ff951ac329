"""How far each class can be trusted, as predict prints it, and what fit prints of its caveats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from reddino.classification.domain import UnitVerdict, Verdict
from reddino.classification.domain_report import DomainReport
from reddino.classification.predict import Predictions
from reddino.cli.held_out_tables import caveats
from reddino.cli.trust_tables import class_trust_table

HELD_OUT: dict[str, Any] = {
    "cells": 330,
    "evidence": True,
    "classes": [
        {"name": "normal", "cells": 300, "groups": 30, "recall": 0.9, "recall_interval": [0.85, 0.94]},
        {"name": "target", "cells": 20, "groups": 4, "recall": 0.4, "recall_interval": None},
        {"name": "sickle", "cells": 10, "groups": 4, "recall": 0.0, "recall_interval": None},
    ],
    "never_found": {"sickle": 10},
}
for one in HELD_OUT["classes"]:
    one["taken_for"] = "normal" if one["name"] != "normal" else None


def predictions(verdicts: tuple[Verdict, Verdict]) -> Predictions:
    """Ten cells each of two sources: normal, target and sickle in turn."""
    table = pa.table({"path": ["1.png"] * 20, "source": ["a"] * 10 + ["b"] * 10, "slide": [""] * 20})
    units = [
        UnitVerdict(name, "", 10, verdict, "", 0.0, 0.5, None, {})
        for name, verdict in zip("ab", verdicts, strict=True)
    ]
    return Predictions(
        ("normal", "target", "sickle"),
        np.eye(3)[np.arange(20) % 3],
        table,
        root=None,
        found=False,
        dropped=0,
        data="",
        domain=DomainReport(tuple(units), ""),
        held_out=HELD_OUT,
    )


def printed(verdicts: tuple[Verdict, Verdict], *, lines: bool = False) -> str:
    table = class_trust_table(predictions(verdicts))
    assert table is not None
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get() if lines else " ".join(capture.get().split())


def test_class_trust_table__gives_recall_and_no_fraction_of_what_was_never_recognised() -> None:
    shown = printed(("within", "at the edge"), lines=True)
    lines = {line.split("│")[1].strip(): line for line in shown.splitlines() if line.startswith("│")}
    assert "90 % of 300 (85-94)" in lines["normal"] and "35.0 %" in lines["normal"]
    assert "40 % of 20 (4 groups)" in lines["target"]
    assert "none of 10" in lines["sickle"] and lines["sickle"].count("%") == 0


def test_class_trust_table__leaves_smears_outside_out_of_the_fractions() -> None:
    assert "fractions are of the other 10" in printed(("within", "outside"))
    assert "40.0 %" in printed(("within", "outside"))
    assert "no fraction is given" in printed(("outside", "outside"))


def test_class_trust_table__is_not_there_where_nothing_is_known() -> None:
    table = pa.table({"path": ["1.png"], "source": [""], "slide": [""]})
    bare = Predictions(("a",), np.ones((1, 1)), table, root=None, found=False, dropped=0, data="")
    assert class_trust_table(bare) is None


def test_caveats__are_the_first_sentence_of_each_note_doubts_first() -> None:
    notes = ["First of it. And much more.", "First of it. And otherwise.", f"long {'word ' * 60}"]
    interval = ["Intervals: 95 %, bootstrap.", "No intervals: 9 held-out groups. So few."]
    found = caveats({"notes": notes, "interval_notes": interval, "doubts": [{}]})
    assert found[:2] == ["First of it", "No intervals: 9 held-out groups"]
    assert len(found) == 3 and found[2].endswith("word ...") and len(found[2]) <= 160
    known = caveats(
        {"notes": ["Class 'a' lives in 3 groups: some folds do not test it."], "interval_notes": []}
    )
    assert known == []
    many = caveats({"notes": [f"note {i}. Why." for i in range(9)], "interval_notes": []})
    assert many == [*(f"note {i}" for i in range(5)), "4 more notes in the report"]
