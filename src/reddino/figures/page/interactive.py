"""The interactive map of a page: its data, its controls, and the notes on its pictures."""

from __future__ import annotations

import base64
from typing import Any

import matplotlib as mpl
import numpy as np

from reddino.figures.columns import number_column, packed, page_column
from reddino.figures.overview import Overview
from reddino.figures.page.document import asset, embedded_json, paragraph
from reddino.figures.palette import NO_LABEL, PALETTE
from reddino.figures.thumbnails import SIDE, choose_rows, picture_sheets

#: What a page offers first; other columns follow while there is space.
FIRST = ("source", "slide", "patient", "group", "path", "view_x", "view_y", "view_side")
#: Characters that all columns together may take.
COLUMN_SPACE = 9_000_000
MOST_PICTURES = 6000
SHOWN = ("source", "slide", "patient", "outlier")

CONTROLS = """<div class="screen"><div class="bar">
<label>colour by <select id="colour"></select></label>
<button type="button" id="closer" aria-label="zoom in">+</button>
<button type="button" id="farther" aria-label="zoom out">−</button>
<button type="button" id="reset">whole map</button>
<button type="button" id="lasso" aria-pressed="false">lasso</button>
<button type="button" id="clear" disabled>clear</button>
<button type="button" id="download" disabled>CSV of the lasso</button>
<output id="count"></output></div>
<div id="board"><div id="stage">
<canvas id="map" tabindex="0" role="img" aria-label="map of all views"></canvas>
<div id="tip" hidden></div></div><div id="legend" aria-label="legend"></div></div></div>"""


def interactive_map(overview: Overview, space: int) -> tuple[list[str], str]:
    """Return the map of an overview for a page.

    Args:
        overview: a table with its map and outlier scores.
        space: characters of HTML that map and pictures may take together.

    Returns:
        HTML parts, and the script.
    """
    columns, left_out = _columns(overview)
    names = [column["name"] for column in columns]
    payload: dict[str, Any] = {
        "rows": len(overview.table),
        "x": packed(overview.xy[:, 0].astype(np.float32)),
        "y": packed(overview.xy[:, 1].astype(np.float32)),
        "columns": columns,
        "first": overview.label if overview.label in names else names[0],
        "shown": [name for name in (overview.label, *SHOWN) if name in names],
        "palette": PALETTE,
        "grey": NO_LABEL,
        "ramp": _ramp(),
    }
    used = len(embedded_json("map-data", payload))
    payload["pictures"] = _pictures(overview, space - used)
    parts = [
        paragraph(
            "Scroll or + and − zoom, dragging moves the map, a double click shows all of it. Click names in "
            "the legend to let them stand out. With “lasso” pressed (or with shift held) draw around points "
            "to get their rows as CSV."
        ),
        CONTROLS,
        paragraph(_about_pictures(overview, payload["pictures"]), note=True),
    ]
    if left_out:
        parts.append(paragraph(f"Columns left out for lack of space: {', '.join(left_out)}.", note=True))
    parts.append(embedded_json("map-data", payload))
    return parts, asset("map.js")


def _columns(overview: Overview) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the columns that fit, the most useful first, and the names of the others."""
    table = overview.table.table
    order = [name for name in (overview.label, *FIRST) if name in table.column_names]
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
    kept.insert(min(1, len(kept)), number_column("outlier", overview.scores))
    return kept, left_out


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
