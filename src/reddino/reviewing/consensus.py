"""What the readers of a cell agree on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from reddino.reviewing.records import Consensus, Standing, Verdict

OPEN = Consensus("open", None, "", (), "")


def consensus_of(verdicts: Iterable[Verdict]) -> Consensus:
    """Return the consensus of the verdicts on one cell, one of each reader.

    The latest verdict of a reader who decides counts alone. Without one, all agree, or the answer of more
    than half of three or more holds. `unsure` is an answer like the others: a reader who names a class and
    one who is unsure do not agree.
    """
    read = sorted(verdicts, key=lambda verdict: verdict.event)
    if not read:
        return OPEN
    deciding = [verdict for verdict in read if verdict.deciding]
    if deciding:
        return _as(deciding[-1], "decided", read)
    answers = Counter(verdict.answer for verdict in read)
    answer, count = answers.most_common(1)[0]
    chosen = next(verdict for verdict in read if verdict.answer == answer)
    if count == len(read):
        return _as(chosen, "single" if count == 1 else "agreed", read)
    if count * 2 > len(read):
        return _as(chosen, "majority", read)
    return Consensus("disputed", None, "", _names(read), read[-1].at)


def _as(verdict: Verdict, standing: Standing, read: list[Verdict]) -> Consensus:
    return Consensus(standing, verdict.kind, verdict.label, _names(read), read[-1].at)


def _names(read: list[Verdict]) -> tuple[str, ...]:
    return tuple(verdict.reader for verdict in read)
