"""The finding that a page opens with: what was seen, how far to trust it, and each slide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reddino.embedding.border import cells_at_border
from reddino.figures.clusters import groups_of_one_source
from reddino.figures.maps import same_label_fraction
from reddino.figures.overview import GROUP, Overview
from reddino.figures.page.document import escape, paragraph, table
from reddino.figures.page.slides import (
    MOST_SLIDES,
    NUMBERS,
    SlideCounts,
    frequent,
    percent,
    pooled,
    slide_bars,
    slide_table,
    slides_of,
)
from reddino.figures.page.trust import VERDICTS, never_recognised, trust
from reddino.figures.palette import Groups
from reddino.figures.prediction_file import PredictionFile
from reddino.foundations.visible import short

#: Classes that the first sentence names.
NAMED = 4
#: Sources that have a sentence of their own.
MOST_SOURCES = 6
#: From this score on a cell is called odd: half as far again from its like as is usual.
ODD = 1.5
#: Counted cells of a slide from which its fractions are compared with others'.
LEAST_COMPARED = 30


def finding(
    overview: Overview,
    *,
    scores: Sequence[Mapping[str, Any]] = (),
    batch_effect: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return the HTML of the finding: from predictions where there are, else from the map."""
    if overview.predictions is not None and len(overview.predictions):
        return [*_of_predictions(overview.predictions), *_also(scores, batch_effect)]
    return [*_of_map(overview), *_also(scores, batch_effect)]


def _of_predictions(file: PredictionFile) -> list[str]:
    slides = slides_of(file)
    counted = sum(slide.counted for slide in slides)
    fields = sum(len(slide.by_field) for slide in slides)
    sources = len({slide.source for slide in slides})
    named = any(file.strings("slide"))
    within = f"{_count(fields, 'field')}, " if named else ""
    where = f"{_count(len(slides), 'slide' if named else 'image')} ({within}{_count(sources, 'source')})"
    if not counted:
        return [_headline(f"None of {len(file)} cells on {where} counts for a class."), *trust(file, slides)]
    unknown = never_recognised(file)
    order = frequent(slides, unknown)
    listed = slides if named else [slide for slide in slides if not slide.outside] or slides
    header, rows = slide_table(listed, file.classes, unknown)
    parts = [
        _headline(f"{counted:,} cells were counted on {where}."),
        *trust(file, slides),
        "<h3>What was counted</h3>",
        *_by_source(file, slides),
        paragraph(
            "In brackets: 95 % intervals, by slides where there are several, else by fields.", note=True
        ),
        *(_range(file, slides, order[0]) if order else ()),
        slide_bars(slides, file.classes, file.strings("predicted"), unknown),
        table(header, rows, [i for i, name in enumerate(header) if name in NUMBERS]),
    ]
    if len(listed) > MOST_SLIDES:
        what = "slides" if named else "images"
        parts.append(paragraph(f"The first {MOST_SLIDES} of {len(listed)} {what}.", note=True))
    if len(listed) < len(slides):
        out = _count(len(slides) - len(listed), "image")
        parts.append(paragraph(f"{out} outside of what the classifier learned from: not listed.", note=True))
    if named and not all(file.strings("slide")):
        parts.append(paragraph("Where no slide is named, each image stands for one.", note=True))
    if unknown:
        parts.append(
            paragraph(
                "Classes that the classifier recognised in no held-out cell have no fraction here: "
                f"{', '.join(short(file.classes[i], 30) for i in sorted(unknown))}.",
                note=True,
            )
        )
    return parts


def _by_source(file: PredictionFile, slides: Sequence[SlideCounts]) -> list[str]:
    """Return the most frequent classes of each source: an average over laboratories would mean nothing."""
    parts = []
    names = sorted({slide.source for slide in slides})
    for source in names[:MOST_SOURCES]:
        every = [slide for slide in slides if slide.source == source]
        own = [slide for slide in every if slide.counted and not slide.outside]
        what = "slide" if any(one.named for one in every) else "image"
        whose = f"{short(source, 40) or 'no source named'} ({_count(len(every), what)}): "
        if not own and any(slide.counted and slide.outside for slide in every):
            parts.append(
                _headline(f"{whose}outside what the classifier learned from, so no fractions are given here.")
            )
        if not own:
            continue
        order = frequent(own, never_recognised(file))
        if not order:
            continue
        named = ", ".join(f"{percent(*pooled(own, i))} {short(file.classes[i])}" for i in order[:NAMED])
        more = (
            f", and {_count(len(order) - NAMED, 'rarer class', 'rarer classes')}"
            if len(order) > NAMED
            else ""
        )
        off = sum(slide.outside for slide in every)
        those = f", on {len(own)} of its {what}s, as the others lie outside" if off else ""
        edge = sum(slide.verdict == VERDICTS[1] for slide in own)
        if edge:
            some = "" if edge == len(own) else f"{edge} of them "
            those += f" ({some}at the edge of what the classifier learned from: check)"
        parts.append(_headline(f"{whose if len(names) > 1 else ''}{named}{more}{those}."))
    if len(names) > MOST_SOURCES:
        parts.append(
            paragraph(f"The first {MOST_SOURCES} of {len(names)} sources; slides of all stand below.")
        )
    return parts


def _range(file: PredictionFile, slides: Sequence[SlideCounts], first: int) -> list[str]:
    """Return how far slides differ in the most frequent class, which an overall fraction hides."""
    compared = [slide for slide in slides if slide.counted >= LEAST_COMPARED and not slide.outside]
    values = [slide.fraction(first)[0] for slide in compared]
    if len(values) < 2 or max(values) - min(values) < 0.1:
        return []
    what = "Slides" if compared[0].named else "Images"
    ends = f"{100 * min(values):.0f} % to {100 * max(values):.0f} %"
    return [paragraph(f"{what} differ: {short(file.classes[first])} makes up {ends} of their cells.")]


def _of_map(overview: Overview) -> list[str]:
    rows = overview.table
    sources = rows.strings("source")
    images = len(set(rows.strings("path")))
    column, values = overview.shown
    names = sorted(set(values) - {""})
    labelled = sum(value != "" for value in values) if column == overview.label else 0
    cut = int(cells_at_border(rows.table).sum())
    odd = int((np.nan_to_num(overview.scores, nan=0.0) >= ODD).sum())
    counted = (
        f"{_count(len(rows), 'view')} of {_count(images, 'image')} ({_count(len(set(sources)), 'source')})"
    )
    model = short(str(rows.meta.get("model")), 40)
    labels = (
        f"{labelled} of them carry {_count(len(names), 'label')}"
        if labelled
        else "none of them carries a label"
    )
    lines = [
        _odd_line(odd, len(rows)),
        *([f"{cut} cells at the border of their image are no outliers and on no sheet."] if cut else []),
        *_source_line(overview, sources),
        *(_laboratory_lines(values, sources) if column == GROUP else []),
        *_seen_line(rows.meta),
        "No classes were predicted, so nothing is counted here: `reddino predict`, and its file with "
        "--predictions, add counts of each slide. For research only.",
    ]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    parts = [_headline(f"{counted} as {model} sees them; {labels}.")]
    if not labelled:
        parts.append(paragraph("Groups below are of similar cells by k-means: they are no classes."))
    parts += [f'<h3>How far to trust it</h3><ul class="trust">{items}</ul>', *_units(overview, values)]
    return parts


def _odd_line(odd: int, total: int) -> str:
    if not odd:
        return (
            "No cell stands out: none is 1.5 times as far from its nearest cells as is usual in its source."
        )
    return (
        f"{odd} of {total} stand out: at least 1.5 times as far from their nearest cells as is usual in the "
        "source (Outliers, below): often debris, overlaps, white cells or bad focus; look at them first."
    )


def _source_line(overview: Overview, sources: Sequence[str]) -> list[str]:
    if len(set(sources)) < 2:
        return []
    groups = Groups.of(sources)
    fraction, chance = same_label_fraction(overview.xy, groups)
    mean = float(np.average(fraction, weights=groups.counts))
    apart = "there the laboratories lie apart" if mean > (1 + chance) / 2 else "there the laboratories mix"
    return [
        f"Of ten neighbours on the map, {100 * mean:.0f} % are of the same source "
        f"({100 * chance:.0f} % by chance): {apart}. `reddino batch` measures the vectors themselves, and "
        "gives a verdict."
    ]


def _laboratory_lines(groups: Sequence[str], sources: Sequence[str]) -> list[str]:
    found = groups_of_one_source(groups, sources)
    named = ", ".join(
        f"{short(group, 30)} ({100 * of:.0f} % {short(source, 30)})" for group, source, of in found
    )
    why = "Light, stain or camera may have made such a group, not the shape of its cells."
    return [f"Nearly all cells of these groups are of one source: {named}. {why}"] if found else []


def _seen_line(meta: Mapping[str, Any]) -> list[str]:
    seen = sorted(source for source, status in (meta.get("seen") or {}).items() if status == "seen")
    if not seen:
        return []
    names = ", ".join(short(one, 30) for one in seen[:6])
    return [
        f"The network's pretraining held these sources (by name, or by at least one picture): {names}. How "
        "it does on smears that it has never seen may be worse."
    ]


def _units(overview: Overview, values: Sequence[str]) -> list[str]:
    """Return a table of slides (sources where none are named): views, labels or groups, odd cells."""
    rows = overview.table
    slides, sources = rows.strings("slide"), rows.strings("source")
    keys = list(zip(sources, slides, strict=True))
    names = [name for name, _ in Counter(value for value in values if value).most_common(6)]
    cells = Counter(keys)
    odd: Counter[tuple[str, str]] = Counter()
    for key, score in zip(keys, overview.scores.tolist(), strict=True):
        odd[key] += int(score >= ODD)
    by_name = Counter(zip(keys, values, strict=True))
    header = ("slide", "source", "views", *names, f"outlier score {ODD:g} or more")
    lines = [
        (
            slide or "(not named)",
            source,
            cells[source, slide],
            *(by_name[(source, slide), name] for name in names),
            odd[source, slide],
        )
        for source, slide in sorted(cells)[:MOST_SLIDES]
    ]
    return [table(header, lines, range(2, len(header)))]


def _also(scores: Sequence[Mapping[str, Any]], batch_effect: Mapping[str, Any] | None) -> list[str]:
    """Return verdicts and best scores of other files that were given."""
    parts = []
    for report in (batch_effect or {}).get("reports") or []:
        if isinstance(report, dict) and isinstance(report.get("verdict"), str):
            parts.append(paragraph(f"Laboratories ({report.get('model', '')}): {report['verdict']}"))
    for document in scores:
        best = _best(document)
        if best is not None:
            parts.append(paragraph(best))
    return parts


def _best(document: Mapping[str, Any]) -> str | None:
    """Return the best wF1 of a document of `reddino evaluate`, in words; None where it has none."""
    found = []
    for result in document.get("results") or []:
        for classifier, summary in (result.get("scores") or {}).items():
            value = (summary.get("mean") or {}).get("weighted_f1")
            if value is not None:
                found.append((value, result.get("model"), classifier, result.get("task") or "the task"))
    if not found:
        return None
    value, model, classifier, task = max(found, key=lambda one: one[0])
    return f"Known labels ({task}): at best wF1 {value:.3f}, by the {classifier} of {model}; see Scores."


def _headline(text: str) -> str:
    return f'<p class="headline">{escape(text)}</p>'


def _count(number: int, what: str, several: str = "") -> str:
    return f"{number} {what}" if number == 1 else f"{number} {several or what + 's'}"
