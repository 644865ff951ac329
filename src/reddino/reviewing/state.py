"""What follows from the events of a review: who says what of which cell now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reddino.reviewing.records import Consensus, Verdict


@dataclass
class ReviewState:
    """Verdicts and notes by cell and reader, after all undos, renames and merges.

    Attributes:
        last_event: number of the last event that went into it; 0 before the first.
        verdicts: cell -> reader -> verdict.
        notes: cell -> reader -> text.
        skipped: reader -> cells that they passed over and have no verdict on.
    """

    last_event: int = 0
    verdicts: Mapping[int, Mapping[str, Verdict]] = field(default_factory=dict)
    notes: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    skipped: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def seen_by(self, reader: str, *, blind: bool) -> ReviewState:
        """Return the state as a reader may see it: a blind one sees their own verdicts and notes alone."""
        raise NotImplementedError

    def consensus(self, cell: int) -> Consensus:
        """Return what the readers of a cell agree on."""
        raise NotImplementedError

    def labels(self) -> dict[int, str]:
        """Return cell -> class, where the consensus is one of the classes; what a probe learns from."""
        raise NotImplementedError

    def answered(self, reader: str | None = None) -> set[int]:
        """Return the cells on which a reader (None: anyone) has a verdict."""
        raise NotImplementedError

    def disputed(self) -> list[int]:
        """Return the cells whose readers differ and of which none has decided, in order of the first verdict."""
        raise NotImplementedError

    def counts(self) -> dict[str, int]:
        """Return answer -> cells, by consensus; those of no class as `[none]`, `[artefact]`, `[unsure]`, and
        those that readers differ on as `[disputed]`."""
        raise NotImplementedError
