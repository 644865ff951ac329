"""The report of an embedding table: one page with its content, its scores and its map."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reddino.figures.columns import reader_title
from reddino.figures.overview import GROUP, Overview
from reddino.figures.page.document import Document, facts, paragraph, picture, table
from reddino.figures.page.field_pictures import field_pictures, first_fields
from reddino.figures.page.finding import finding
from reddino.figures.page.interactive import interactive_map
from reddino.figures.page.measures import batch_effect_parts, score_parts
from reddino.foundations.exports import original
from reddino.foundations.stages import stage

#: A report that mails and browsers still take.
MOST_CHARACTERS = 19_500_000
MOST_LISTED = 50

MAP_CAPTION = (
    "Each point is a view, and near points have similar vectors; distances between far groups mean little. "
    "Classes should separate; patients and sources should mix. The line below each map shows how often "
    "neighbours on it have the same label."
)
#: The same where no cell carries a label: groups are made of the vectors, so that they part proves nothing.
MAP_CAPTION_OF_GROUPS = (
    "Each point is a view, and near points have similar vectors; distances between far groups mean little. "
    "Patients and sources should mix. The line below each map shows how often neighbours on it are of the "
    "same group or source. Groups were made of the same vectors: that they keep together proves nothing."
)
NEIGHBOURS_OF_GROUPS = (
    "A row is a cell of median distance from the mean of its group and source, then the nearest cells of its "
    "own source (from other images), then the nearest of other sources, each with its distance. Green "
    "frames: the same group of similar cells; vermilion: another. Groups are no classes: a vermilion frame "
    "is not a mistake. Judge by eye whether the nearest cells of other sources have the same shape."
)
CAPTIONS = {
    "neighbours": (
        "Neighbours",
        "A row is a cell of median distance from the mean of its class and source, then the nearest cells of "
        "its own source (from other images), then the nearest of other sources. Green frames: the same "
        "class; vermilion: another. A network that sees cells and not cameras finds the same class in other "
        "sources.",
    ),
    "groups": (
        "Groups of similar cells",
        "No cell carries a label, so they are grouped by the similarity of their vectors (k-means): the mean "
        "picture of each group, and the cells nearest to the mean of its vectors. Groups are for finding "
        "one's way; what they are, a morphologist names.",
    ),
    "classes": (
        "Classes",
        "The mean picture of each class, and the cells nearest to the mean of its vectors: what the network "
        "takes for typical. Of predictions, cells that count, in smears that are not outside.",
    ),
    "outliers": (
        "Outliers",
        "The cells farthest from their own source: mean distance to the 10 nearest other cells of the "
        "source, over the median of that in the source (1 is usual). Often debris, overlaps or bad focus. "
        "In a source whose usual cells differ much, such as crowded ones, no score is high, though odd cells "
        "may be there.",
    ),
}


def table_report(
    overview: Overview,
    provenance: Mapping[str, Any],
    *,
    scores: Sequence[Mapping[str, Any]] = (),
    batch_effect: Mapping[str, Any] | None = None,
    failures: Path | None = None,
) -> str:
    """Return the page (HTML) of a table.

    Args:
        overview: the table with its map.
        provenance: of this report, see `reddino.foundations.provenance`.
        scores: documents that `reddino evaluate --out` wrote.
        batch_effect: document that `reddino batch --out` wrote.
        failures: the table's failures.csv.
    """
    meta = overview.table.meta
    page = Document(_title(overview), "A report of RedDino. Research only, not a diagnosis.")
    if overview.sample is not None:
        page.add("A sample", paragraph(overview.sample.note()))
    page.add("Finding", *finding(overview, scores=scores, batch_effect=batch_effect))
    with stage("cutting fields"):
        fields = field_pictures(overview)
    page.add("Fields with their cells", *first_fields(overview, fields))
    place = len(page.sections)
    sheets, grouped = overview.sheets(), overview.shown[0] == GROUP
    for name, figure in sheets.items():
        title, caption = CAPTIONS[name]
        if name == "neighbours" and grouped:
            caption = NEIGHBOURS_OF_GROUPS
        page.add(title, picture(figure, caption, page.numbers))
    if not sheets:
        page.add("Pictures", paragraph("Left out: the images were not given (--images)."))
    page.add(
        "Map",
        *(paragraph(note, note=True) for note in overview.notes),
        picture(overview.maps(), MAP_CAPTION_OF_GROUPS if grouped else MAP_CAPTION, page.numbers),
    )
    page.add("Scores", *(part for document in scores for part in score_parts(document)))
    if batch_effect is not None:
        page.add("Batch effect", *batch_effect_parts(batch_effect))
    page.add("Method: what was embedded", *_contents(overview), facts(_origin(meta, provenance)))
    if page.numbers:
        note = (
            "No font on the computer that made this report draws these names: numbers stand for them above."
        )
        page.add("Names", paragraph(note), table(("in the figures", "name"), page.numbers.rows()))
    page.add("Left out", *_failures(failures, overview))
    left = MOST_CHARACTERS - len(page.html())
    parts, scripts = interactive_map(overview, fields, left - len(MAP_CAPTION))
    page.sections.insert(place, ("Every cell: map and table", "\n".join(parts)))
    page.scripts += scripts
    return page.html()


def _title(overview: Overview) -> str:
    """Return what the page is about, for a browser's tab and the first line."""
    rows = overview.table
    slides = len({key for key in zip(rows.strings("source"), rows.strings("slide"), strict=True) if key[1]})
    where = (
        f"{slides} slide{'s' if slides > 1 else ''}" if slides else f"{len(set(rows.strings('path')))} images"
    )
    if overview.predictions is not None:
        return f"{len(rows)} cells of {where}, by class"
    drawn = "" if overview.sample is None else f", drawn from {overview.sample.of}"
    return f"{rows.meta['model']}: {len(rows)} views of {where}{drawn}"


def _contents(overview: Overview) -> list[str]:
    """Count views, images, patients and labels of each source, and how often each label occurs."""
    rows = overview.table
    columns = ("path", "slide", "patient", overview.label)
    counted = [name for name in columns if name in rows.table.column_names]
    sources = rows.strings("source")
    values = {name: rows.strings(name) for name in counted}
    lines = []
    for source in sorted(set(sources)):
        members = [i for i, other in enumerate(sources) if other == source]
        found = [len({values[name][i] for i in members} - {""}) or "-" for name in counted]
        lines.append((source or "not given", len(members), *found))
    header = ("source", "views", *(f"{'image' if name == 'path' else name}s" for name in counted))
    parts = [table(header, lines, range(1, len(header)))]
    labels = Counter(label for label in rows.strings(overview.label) if label)
    if labels:
        listed = [(name, count) for name, count in labels.most_common()]
        parts.append(table((reader_title(overview.label), "views"), listed, (1,)))
    return parts


def _origin(meta: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    origin = meta.get("provenance", {})
    return {
        "model": meta.get("model"),
        "weights": meta.get("weights_hash"),
        "embedding": f"{meta.get('pooling')}, {meta.get('dim')} numbers, {meta.get('precision')}",
        "view": _spoken(meta.get("view", {})),
        "preprocessing": _spoken(meta.get("preprocessing", {})),
        "seen in pretraining": _spoken(meta.get("seen", {})),
        "views left out": sum(meta.get("dropped", {}).values()) or None,
        "data fingerprint": meta.get("data"),
        "embedded with": origin.get("command"),
        "reported with": provenance.get("command"),
        "seed": provenance.get("seed"),
        "RedDino": f"{provenance.get('version')} (embedded with {origin.get('version')})",
    }


def _spoken(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items())


def _failures(path: Path | None, overview: Overview) -> list[str]:
    """List what the pass left out, and what could not be cut again for this report."""
    entries: list[tuple[str, str]] = []
    if path is not None and path.is_file():
        with path.open(encoding="utf-8", newline="", errors="surrogateescape") as file:
            entries = [(original(row["path"]), original(row["reason"])) for row in csv.DictReader(file)]
    parts = [paragraph("Every image was embedded." if not entries else _count(entries))]
    if entries:
        parts.append(table(("image", "reason"), entries[:MOST_LISTED]))
    again = list(overview.pictures.failures) if overview.pictures is not None else []
    if again:
        parts.append(paragraph(f"Not readable any more when this report was made: {len(again)} images."))
        parts.append(table(("image", "reason"), again[:MOST_LISTED]))
    return parts


def _count(entries: Sequence[tuple[str, str]]) -> str:
    more = f"; the first {MOST_LISTED}:" if len(entries) > MOST_LISTED else ":"
    return f"{len(entries)} images could not be used{more}"
