"""Findings: what is odd about a collection of smears, counted, with the place of the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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


def joined(several: Iterable[Sequence[Finding]]) -> tuple[Finding, ...]:
    """The findings of several collections, each of them once."""
    return tuple(dict.fromkeys(finding for findings in several for finding in findings))


def short_form(findings: Sequence[Finding]) -> str:
    """One sentence for the verbs that compute: the kinds that matter, with counts; "" where none does."""
    serious = [finding for finding in findings if not finding.harmless]
    if not serious:
        return ""
    kinds = ", ".join(f"{finding.kind} ({finding.count})" for finding in serious)
    return f"the input shows: {kinds}; first: {serious[0].first}; `reddino check` explains"
