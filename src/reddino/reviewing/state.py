"""What follows from the events of a review: each reader's verdict on each cell now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from reddino.reviewing.consensus import OPEN, consensus_of
from reddino.reviewing.records import Consensus, Verdict


@dataclass(frozen=True)
class ReviewState:
    """Verdicts and notes by cell and reader, after all undos, renames and merges.

    Attributes:
        last_event: number of the last event that went into it; 0 before the first.
        verdicts: cell -> reader -> verdict.
        notes: cell -> reader -> text.
        skipped: reader -> cells that they passed over and have no verdict on.
        agreed: cell -> consensus, of the cells with a verdict.
    """

    last_event: int = 0
    verdicts: Mapping[int, Mapping[str, Verdict]] = field(default_factory=dict)
    notes: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    skipped: Mapping[str, frozenset[int]] = field(default_factory=dict)
    agreed: Mapping[int, Consensus] = field(default_factory=dict)

    def seen_by(self, reader: str, *, blind: bool) -> ReviewState:
        """Return the state as a reader may see it: a blind one sees their own verdicts and notes alone."""
        if not blind:
            return self
        verdicts = {cell: {reader: by[reader]} for cell, by in self.verdicts.items() if reader in by}
        return ReviewState(
            self.last_event,
            verdicts,
            {cell: {reader: by[reader]} for cell, by in self.notes.items() if reader in by},
            {reader: self.skipped[reader]} if reader in self.skipped else {},
            {cell: consensus_of(by.values()) for cell, by in verdicts.items()},
        )

    def consensus(self, cell: int) -> Consensus:
        """Return what the readers of a cell agree on."""
        return self.agreed.get(cell, OPEN)

    def labels(self) -> dict[int, str]:
        """Return cell -> class, where the consensus is one of the classes; what a probe learns from."""
        return {cell: one.label for cell, one in self.agreed.items() if one.kind == "label"}

    def answered(self, reader: str | None = None) -> set[int]:
        """Return the cells on which a reader (None: anyone) has a verdict."""
        if reader is None:
            return set(self.verdicts)
        return {cell for cell, by in self.verdicts.items() if reader in by}

    def disputed(self) -> list[int]:
        """Return the cells whose readers differ without a decision, in order of their first verdict."""
        found = [cell for cell, one in self.agreed.items() if one.standing == "disputed"]
        return sorted(found, key=lambda cell: min(one.event for one in self.verdicts[cell].values()))

    def counts(self) -> dict[str, int]:
        """Return answer -> cells, by consensus, the most frequent first.

        Answers of no class are `[none]`, `[artefact]` and `[unsure]`; `[disputed]` where readers differ.
        """
        answers = Counter(
            one.label if one.kind == "label" else f"[{one.kind or one.standing}]"
            for one in self.agreed.values()
        )
        return dict(answers.most_common())
