"""What folds cannot separate: classes from slides, from sources, or from what else whole pictures show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reddino.embedding.embeddings import Embeddings
from reddino.smears.groups import joined_groups

#: Opens the sentence of a doubt that leaves nothing of a score.
NO_EVIDENCE = "NO EVIDENCE: "
#: Pictures wider than this many red cells, or pixels where no diameter is known, are fields and no crops.
WIDE_CELLS, WIDE_PX = 3.0, 200.0
#: Specimens of a class below which their number is mentioned.
FEW_SPECIMENS = 10
SPECIMEN = ("slide", "patient")


@dataclass(frozen=True)
class Doubt:
    """A reason why a score may not mean what it seems to.

    Attributes:
        kind: `slides`, `sources`, `whole pictures`, `unknown groups` or `few slides`.
        sentence: for the reader of the score.
        fatal: whether the score is no evidence that the classes can be separated at all.
    """

    kind: str
    sentence: str
    fatal: bool = False

    def note(self) -> str:
        """Return the sentence, marked where the doubt is fatal."""
        return f"{NO_EVIDENCE}{self.sentence}" if self.fatal else self.sentence


def separation_doubts(
    emb: Embeddings, labels: Sequence[str], groups: Sequence[str], *, across_sources: bool = False
) -> list[Doubt]:
    """Return what keeps a split of these groups from separating the classes from something else; fatal first.

    Args:
        emb: the labelled rows.
        labels: (n,) their classes.
        groups: (n,) what the split keeps on one side.
        across_sources: whether each source is trained or tested as a whole, so that slides are never divided.
    """
    source_doubts = _sources(emb, labels)
    slide_doubts = [] if across_sources else _specimens(emb, labels, groups)
    found = [*slide_doubts, *source_doubts, *_whole_pictures(emb)]
    return sorted(found, key=lambda doubt: not doubt.fatal)


def is_evidence(doubts: Sequence[Doubt]) -> bool:
    """Return whether a score is evidence on its classes."""
    return not any(doubt.fatal for doubt in doubts)


def _column(emb: Embeddings, name: str) -> list[str]:
    return emb.names(name) if name in emb.table.column_names else [""] * len(emb)


def _specimens(emb: Embeddings, labels: Sequence[str], groups: Sequence[str]) -> list[Doubt]:
    """Return doubts on slides: unknown, divided between training and test, or few."""
    columns = {name: _column(emb, name) for name in SPECIMEN}
    known = [any(values) for values in zip(*columns.values(), strict=True)]
    unknown = len(known) - sum(known)
    pictures = emb.strings("path")
    if unknown:
        return [_unknown(emb, labels, pictures, unknown)]
    specimens = joined_groups(_column(emb, "source"), columns)
    if not _pure(specimens, labels):
        return []
    of_class = Counter(label for label, _ in set(zip(labels, specimens, strict=True)))
    counts = ", ".join(f"'{name}' {count}" for name, count in sorted(of_class.items()))
    if _divided(specimens, groups):
        return [
            Doubt(
                "slides",
                "each slide (or patient) holds one class only, and the folds train and test on cells of the "
                f"same slides ({counts}). Separating these slides by stain, light and focus scores as "
                "well. Group by slide or patient, with several of them a class.",
                fatal=True,
            )
        ]
    if min(of_class.values()) >= FEW_SPECIMENS:
        return []
    return [
        Doubt(
            "few slides",
            "Each slide (or patient) holds one class only: what counts is the number of slides, not of "
            f"cells, and it is small ({counts}).",
        )
    ]


def _unknown(emb: Embeddings, labels: Sequence[str], pictures: Sequence[str], unknown: int) -> Doubt:
    """Return the doubt on rows without a slide or patient: fatal where the label could be the slide's."""
    count = len(set(pictures))
    together = sum(rows for rows in Counter(pictures).values() if rows > 1)
    several = together >= len(pictures) / 2
    labelled_as_a_whole = _pure(pictures, labels) if several else _are_fields(emb)
    who = "no row names" if unknown == len(pictures) else f"{unknown} of {len(pictures)} rows do not name"
    if labelled_as_a_whole and unknown == len(pictures):
        return Doubt(
            "slides",
            f"each of the {count} pictures holds one class only, and {who} its slide or patient. Where a "
            "class comes from about one slide, the folds train and test on pictures of that same slide, and "
            "separating slides by stain, light and focus scores as well. Fill the column slide or "
            "patient, with several of them a class.",
            fatal=True,
        )
    kept = "Every picture is a group by itself" if not together else "Only pictures are kept together"
    if any(_column(emb, "group")):
        kept = "Only pictures, and rows of one group, are kept together"
    return Doubt(
        "unknown groups",
        f"Groups unknown, which flatters the scores: {who} its slide or patient. {kept}, so that cells of "
        "one slide may train and test.",
    )


def _sources(emb: Embeddings, labels: Sequence[str]) -> list[Doubt]:
    """Return doubts on classes that one source has, among several."""
    sources = _column(emb, "source")
    pairs = set(zip(labels, sources, strict=True))
    if len({source for _, source in pairs}) < 2:
        return []
    of_class = Counter(label for label, _ in pairs)
    of_source = Counter(source for _, source in pairs)
    alone = sorted(name for name, count in of_class.items() if count == 1)
    if not alone:
        return []
    if len(alone) == len(of_class) and max(of_source.values()) == 1:
        return [
            Doubt(
                "sources",
                "each class comes from a source (laboratory, camera) of its own. Separating the sources "
                "by stain, light and magnification scores as well. Join smears in which one source has "
                "several classes.",
                fatal=True,
            )
        ]
    where = dict(sorted(pairs))
    shown = ", ".join(f"'{name}' ('{where[name]}')" for name in alone[:8])
    more = f" and {len(alone) - 8} more" if len(alone) > 8 else ""
    return [
        Doubt(
            "sources",
            f"Classes that one source alone has: {shown}{more}. They may be found by the stain or camera of "
            "that source, and nothing is known of them in another.",
        )
    ]


def _whole_pictures(emb: Embeddings) -> list[Doubt]:
    if not _are_fields(emb):
        return []
    side = float(np.nanmedian(emb.numbers("view_side")))
    return [
        Doubt(
            "whole pictures",
            f"A view is a whole picture ({side:.0f} px wide in the median): background, stain, light and "
            "burnt-in marks are in it as well as cells, and may be what is learned. Mark cells, or find them "
            "with `reddino cells`.",
        )
    ]


def _are_fields(emb: Embeddings) -> bool:
    """Return whether views are whole pictures of several cells, as far as sizes show."""
    if emb.meta.get("view", {}).get("kind") != "image" or "view_side" not in emb.table.column_names:
        return False
    sides = emb.numbers("view_side")
    if not np.isfinite(sides).any():
        return False
    diameters = (
        emb.numbers("cell_diameter") if "cell_diameter" in emb.table.column_names else np.array([np.nan])
    )
    side = float(np.nanmedian(sides))
    if np.isfinite(diameters).any():
        return side > WIDE_CELLS * float(np.nanmedian(diameters))
    return side > WIDE_PX


def _pure(units: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether each unit (n,) has one class."""
    return len(set(zip(units, labels, strict=True))) == len(set(units))


def _divided(units: Sequence[str], groups: Sequence[str]) -> bool:
    """Return whether a unit (n,) stands in several groups."""
    return len(set(zip(units, groups, strict=True))) > len(set(units))
