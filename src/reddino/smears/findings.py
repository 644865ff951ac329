"""Findings: what is odd about a collection of smears, counted, with the place of the first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import write_csv


@dataclass(frozen=True)
class Finding:
    """One kind of oddity in a collection, as `reddino check` lists it.

    Attributes:
        kind: a short name that stays the same from version to version, such as `patient in several sources`.
        message: one sentence: what was found, and what it means or what to do.
        count: how many rows, values or images.
        first: the file and row (or the image) of the first.
        harmless: nothing can be misread because of it, as where blanks around a value were trimmed;
            `check --strict` fails on the others alone.
    """

    kind: str
    message: str
    count: int
    first: str
    harmless: bool = False


def write_findings(findings: Sequence[Finding], path: Path) -> None:
    """Write findings as CSV (one a row) or JSON (a list of objects), by suffix, whole or not at all.

    Raises:
        RedDinoError: another suffix.
    """
    names = [field.name for field in fields(Finding)]
    if path.suffix == ".json":
        write_text(path, json.dumps([asdict(finding) for finding in findings], indent=1) + "\n")
    elif path.suffix == ".csv":
        write_csv(path, names, ([str(getattr(finding, name)) for name in names] for finding in findings))
    else:
        raise RedDinoError(f"{path}: findings are written as .csv or .json")


def joined(several: Iterable[Sequence[Finding]]) -> tuple[Finding, ...]:
    """Return the findings of several collections, each of them once."""
    return tuple(dict.fromkeys(finding for findings in several for finding in findings))


def short_form(findings: Sequence[Finding]) -> str:
    """Return one sentence of the kinds that matter, with counts, for commands that compute.

    The sentence is empty where none matters.
    """
    serious = [finding for finding in findings if not finding.harmless]
    if not serious:
        return ""
    kinds = ", ".join(f"{finding.kind} ({finding.count})" for finding in serious)
    return f"the input shows: {kinds}; first: {serious[0].first}; `reddino check` explains"
