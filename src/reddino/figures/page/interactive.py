"""The interactive map of a page: its data, its controls, and the notes on its pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from reddino.embedding.border import cells_at_border
from reddino.figures.columns import category_column, number_column, packed, page_column, reader_title
from reddino.figures.overview import GROUP, Overview
from reddino.figures.page.document import asset, embedded_json, paragraph
from reddino.figures.page.field_pictures import DASHES, FIRST, marks
from reddino.figures.palette import NO_LABEL, PALETTE
from reddino.figures.thumbnails import SIDE, choose_rows, picture_sheets

#: What a page offers first; other columns follow while there is space.
USEFUL = (
    "predicted",
    "probability",
    "kind",
    "novelty",
    "source",
    "slide",
    "patient",
    "group",
    "path",
    "view_x",
    "view_y",
    "view_side",
)
#: Characters that all columns together may take.
COLUMN_SPACE = 9_000_000
MOST_PICTURES = 6000
#: The field of rows whose field is not in the page.
NOWHERE = 65_535
SHOWN = ("predicted", "probability", "kind", "novelty", "source", "slide", "patient", "outlier", "path")

CONTROLS = """<div class="screen"><div class="bar">
<label>colour by <select id="colour"></select></label>
<label>find <input id="search" type="search" placeholder="slide, class, image, row:12" size="22"></label>
<button type="button" id="closer" aria-label="zoom in">+</button>
<button type="button" id="farther" aria-label="zoom out">−</button>
<button type="button" id="reset">whole map</button>
<button type="button" id="lasso" aria-pressed="false">lasso</button>
<button type="button" id="clear" disabled>clear</button>
<button type="button" id="download" disabled>CSV of the lasso</button>
<output id="count"></output></div>
<div id="board"><div id="stage">
<canvas id="map" tabindex="0" role="img" aria-label="map of all views"></canvas>
<div id="tip" hidden></div></div><div id="legend" aria-label="legend"></div></div>
<div id="below"><div id="listing"><p id="listed" class="note" aria-live="polite"></p>
<div class="wide"><table id="cells"><thead></thead><tbody></tbody></table></div>
<button type="button" id="more" hidden>more rows</button></div>
<div id="viewer" hidden><div class="bar"><strong id="picked"></strong>
<button type="button" id="whole" aria-pressed="true">whole field</button>
<button type="button" id="close">close</button></div>
<svg id="field" role="img" aria-label="the field of the cell that was picked"></svg>
<p id="fieldnote" class="note"></p><dl id="details"></dl></div></div></div>"""


def interactive_map(
    overview: Overview, fields: Sequence[dict[str, Any]], space: int
) -> tuple[list[str], list[str]]:
    """Return the map of an overview for a page.

    Args:
        overview: a table with its map and outlier scores.
        fields: whole images, as `field_pictures` returns them; the first stand in the page already.
        space: characters of HTML that map and pictures may take together.

    Returns:
        HTML parts, and the scripts.
    """
    columns, left_out = _columns(overview)
    names = [column["name"] for column in columns]
    payload: dict[str, Any] = {
        "rows": len(overview.table),
        "x": packed(overview.xy[:, 0].astype(np.float32)),
        "y": packed(overview.xy[:, 1].astype(np.float32)),
        "columns": columns,
        "first": overview.shown[0] if overview.shown[0] in names else names[0],
        "shown": [name for name in dict.fromkeys((overview.label, *SHOWN)) if name in names],
        "palette": PALETTE,
        "dashes": DASHES,
        "fields": [
            {**field, "url": f"#field-{number}" if number < FIRST else field["url"]}
            for number, field in enumerate(fields)
        ],
        **_places(overview, fields),
        "grey": NO_LABEL,
        "ramp": _ramp(),
    }
    used = len(embedded_json("map-data", payload))
    payload["pictures"] = _pictures(overview, space - used)
    parts = [
        paragraph(
            "Scroll or + and − zoom, dragging moves the map, a double click shows all of it. Click names in "
            "the legend to let them stand out, or point at them. A click on a point, or a line of the table, "
            "opens the cell in its field. With “lasso” pressed (or with shift held) draw around points "
            "to get their rows as CSV."
        ),
        CONTROLS,
        paragraph(_about_pictures(overview, payload["pictures"]), note=True),
    ]
    if left_out:
        parts.append(paragraph(f"Columns left out for lack of space: {', '.join(left_out)}.", note=True))
    parts.append(embedded_json("map-data", payload))
    return parts, [asset("map.js"), asset("table.js")]


def _columns(overview: Overview) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the columns that fit, the most useful first, and the names of the others."""
    table = overview.table.table
    order = [name for name in (overview.label, *USEFUL) if name in table.column_names]
    order += [name for name in table.column_names if name not in order and name != "outlier"]
    kept, left_out, space = [], [], COLUMN_SPACE
    for name in order:
        column = page_column(name, table.column(name))
        if column is None:
            continue
        size = len(embedded_json(name, column))
        if size > space:
            left_out.append(name)
            continue
        space -= size
        kept.append(column)
    if overview.has_vectors:
        kept.insert(min(1, len(kept)), number_column("outlier", overview.scores))
    if overview.shown[0] == GROUP and any(overview.groups):
        kept.insert(0, category_column(GROUP, overview.groups))
    classes = () if overview.predictions is None else overview.predictions.classes
    titled = [{**column, "title": reader_title(column["name"], classes)} for column in kept]
    return titled, [reader_title(name, classes) for name in left_out]


def _places(overview: Overview, fields: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return where each cell lies in which field of the page, for the rows that have one."""
    number = {field["path"]: place for place, field in enumerate(fields)}
    of_row = np.array([number.get(path, NOWHERE) for path in overview.table.strings("path")], dtype=np.uint16)
    x, y, radius = marks(overview)
    return {
        "field": packed(of_row),
        "at": [packed(values.astype(np.float32)) for values in (x, y, radius)],
        "nowhere": NOWHERE,
        "cut": packed(cells_at_border(overview.table.table).astype(np.uint8)),
    }


def _pictures(overview: Overview, space: int) -> dict[str, Any] | None:
    if overview.pictures is None:
        return None
    table = overview.table
    strata = [
        table.strings(name)
        for name in dict.fromkeys(("source", overview.label, "patient"))
        if name in table.table.column_names
    ]
    rows = choose_rows(overview.scores, strata, MOST_PICTURES, overview.seed)
    return picture_sheets(rows, lambda chosen: overview.cut(chosen, SIDE), space)


def _about_pictures(overview: Overview, pictures: dict[str, Any] | None) -> str:
    if pictures is None:
        return "No pictures: the images were not at hand, or there was no space for them."
    count, total = pictures["count"], len(overview.table)
    if count == total:
        return "Pointing at a cell shows its picture."
    return (
        f"Pointing at a cell shows its picture, for {count} of {total}: those with the highest outlier "
        "scores, then rows drawn from every source, class and patient in turn, since not all fit into this "
        "file."
    )


def _ramp() -> str:
    """Return Viridis as 256 colours of 3 bytes."""
    colours = mpl.colormaps["viridis"](np.arange(256))[:, :3]
    return base64.b64encode(np.rint(255 * colours).astype(np.uint8).tobytes()).decode("ascii")
