"""How far counts can be trusted: where the slides lie, and how classes were recognised when held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reddino.figures.page.document import escape, paragraph, table
from reddino.figures.page.recognition import recognised
from reddino.figures.page.slides import FEW, SlideCounts, left_out
from reddino.figures.prediction_file import PredictionFile
from reddino.foundations.counting import counted
from reddino.foundations.visible import short

#: How much verdicts weigh, the worst first.
VERDICTS = ("outside", "at the edge", "too few cells", "within")
MEANINGS = {
    "outside": "do not use their fractions",
    "at the edge": "check their cells before their fractions are used",
    "too few cells": "too few cells to be compared",
    "within": "like the training cells",
}
#: Slides that a line names.
MOST_NAMED = 5
#: Recall below which a class is called weakly recognised.
WEAK = 0.5


def trust(file: PredictionFile, slides: Sequence[SlideCounts]) -> list[str]:
    """Return what is known of how far counts can be trusted: a list, the worst first, and the classes."""
    lines = [
        *_domain_lines(file, slides),
        *_risk_line(file, slides),
        *_tested(file),
        *_left_out_lines(slides),
    ]
    few = [slide for slide in slides if 0 < slide.counted < FEW]
    if few:
        lines.append(f"{_those(few)} with fewer than {FEW} counted cells: read their intervals.")
    unsure = _unsure(file)
    if unsure:
        lines.append(unsure)
    lines.append(
        "The classes are a program's, not a morphologist's: look at the marked fields below before any use. "
        "For research only."
    )
    items = "".join(f"<li>{line if line.startswith('<b') else escape(line)}</li>" for line in lines)
    return [f'<h3>How far to trust it</h3><ul class="trust">{items}</ul>', *_classes(file, slides)]


def never_recognised(file: PredictionFile) -> set[int]:
    """Return the numbers of the classes of which the classifier recognised no held-out cell."""
    missed = file.held_out.get("never_found")
    return {i for i, name in enumerate(file.classes) if isinstance(missed, dict) and name in missed}


def _risk(file: PredictionFile) -> float | None:
    """Return the error rate among the answered that the user named; None: none."""
    abstention = file.origin.get("abstention")
    risk = abstention.get("risk") if isinstance(abstention, dict) else None
    return float(risk) if isinstance(risk, int | float) else None


def _those(slides: Sequence[SlideCounts]) -> str:
    return counted(len(slides), "slide" if any(slide.named for slide in slides) else "image")


def _domain_lines(file: PredictionFile, slides: Sequence[SlideCounts]) -> list[str]:
    verdicts = Counter(slide.verdict for slide in slides if slide.verdict)
    if not verdicts:
        reason = file.note or "the predictions hold no comparison with the classifier's training cells"
        return [f"Whether these slides look like what the classifier learned from is not known: {reason}."]
    lines = []
    for verdict in (name for name in VERDICTS if verdicts[name]):
        those = [slide for slide in slides if slide.verdict == verdict]
        names = _names(those, slides)
        kind = verdict.replace(" ", "-")
        meaning = escape(f"{_those(those)} ({names}): {MEANINGS[verdict]}.")
        lines.append(f'<b class="verdict {kind}">{escape(verdict)}</b> {meaning}')
        if verdict in VERDICTS[:2]:
            lines += _reasons(file, those)
    return lines


def _names(those: Sequence[SlideCounts], slides: Sequence[SlideCounts]) -> str:
    """Return the names of some slides; of images, more than a few, how many of each source they are."""
    if any(slide.named for slide in slides) or len(those) <= MOST_NAMED:
        return ", ".join(slide.shown(30) for slide in those[:MOST_NAMED]) + (
            " ..." if len(those) > MOST_NAMED else ""
        )
    every, mine = (Counter(slide.source for slide in some) for some in (slides, those))
    named = ((short(source, 30) or "no source named", source) for source in mine)
    return ", ".join(f"{name}: {mine[source]} of {every[source]}" for name, source in named)


def _reasons(file: PredictionFile, those: Sequence[SlideCounts]) -> list[str]:
    """Return why slides or images lie off: of their sources where these do too, else of the first of them."""
    whole = {
        one.source: file.domain[one.source, ""][1]
        for one in those
        if file.domain.get((one.source, ""), ("", ""))[0] == one.verdict
    }
    if whole:
        named = [f"{short(source, 30) or 'no source named'}: {why}." for source, why in whole.items() if why]
        return named[:4]
    return [f"{those[0].shown(30)}: {those[0].sentence}."] if those[0].sentence else []


def _risk_line(file: PredictionFile, slides: Sequence[SlideCounts]) -> list[str]:
    """Warn that a named error rate does not hold, where slides are not like the training cells."""
    risk = _risk(file)
    if risk is None:
        return []
    off = [slide for slide in slides if slide.verdict in VERDICTS[:2]]
    measured = f"The error rate of {risk:g} among the answered was measured on cells like the training cells"
    if off:
        return [f"{measured}: it does not hold for {_those(off)} outside or at the edge."]
    return [f"{measured}; these slides look like them."] if any(slide.verdict for slide in slides) else []


def _left_out_lines(slides: Sequence[SlideCounts]) -> list[str]:
    sums = (sum(getattr(slide, name) for slide in slides) for name in ("border", "other", "unanswered"))
    text = left_out(*sums)
    cells = sum(slide.cells for slide in slides)
    return [f"Of {cells:,} cells found, left out of the counts: {text}."] if text else []


def _tested(file: PredictionFile) -> list[str]:
    """Return how the classifier did on held-out cells, or that its folds could not show it."""
    if file.held_out.get("evidence") is False:
        return [
            "How well the classifier separates these classes is unknown: its training cells cannot show it "
            "(such as one slide a class)."
        ]
    lines = []
    missed = file.held_out.get("never_found")
    if isinstance(missed, dict) and missed:
        names = ", ".join(f"{short(name, 30)} (0 of {cells})" for name, cells in list(missed.items())[:8])
        lines.append(
            f"It recognised no held-out cell of {names}{' ...' if len(missed) > 8 else ''}: no fraction of "
            "such a class is given; do not use that of a class that its cells were taken for, either."
        )
    weak = [
        f"{short(one['name'], 30)} ({100 * one['recall']:.0f} %)"
        for one in tested_classes(file)
        if 0 < one["recall"] < WEAK
    ]
    if weak:
        lines.append(f"It recognised less than half of the held-out cells of {', '.join(weak[:8])}.")
    cells, score = file.held_out.get("cells"), file.held_out.get("balanced_accuracy")
    if isinstance(score, int | float) and isinstance(cells, int):
        lines.append(
            f"On {cells:,} held-out cells like its training cells the classifier found {100 * score:.0f} % "
            "of a class, on average over the classes; elsewhere it may do worse."
        )
    return lines


def tested_classes(file: PredictionFile) -> list[Mapping[str, Any]]:
    """Return the classes of a note with their held-out recall, those that are usable."""
    found = file.held_out.get("classes")
    return [
        one
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("cells"), int)
        and isinstance(one.get("recall"), int | float)
    ]


def _classes(file: PredictionFile, slides: Sequence[SlideCounts]) -> list[str]:
    """Return a table of the classes: counted here, recognised when held out, what they are taken for."""
    known = {str(one["name"]): one for one in tested_classes(file)}
    if not known:
        return []
    totals = [int(sum(slide.by_field[:, i].sum() for slide in slides)) for i in range(len(file.classes))]
    order = sorted(range(len(file.classes)), key=lambda i: -totals[i])
    rows = []
    for place in order:
        one = known.get(file.classes[place])
        other = (one or {}).get("taken_for")
        rows.append(
            (short(file.classes[place], 40), totals[place], recognised(one), short(str(other or "-"), 40))
        )
    header = ("class", "cells counted here", "recognised of held-out cells (95 %)", "else mostly taken for")
    note = (
        "Recognised: of the cells of a class that the classifier did not learn from, how many it gave that "
        "class (all folds together), on smears like the training ones; elsewhere it may be less."
    )
    return [table(header, rows, range(1, 3)), paragraph(note, note=True)]


def _unsure(file: PredictionFile) -> str:
    if "probability" not in file.table.column_names:
        return ""
    values = file.table.column("probability").to_numpy(zero_copy_only=False)[file.counted()]
    if not len(values) or not (share := float((values < 0.5).mean())) > 0:
        return ""
    return f"{100 * share:.0f} % of the counted cells have a class with a probability below one half."
