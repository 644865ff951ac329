"""Whole fields in a page: which are taken, their pictures, and the cells marked on those shown first."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from reddino.figures.columns import reader_title
from reddino.figures.overview import Overview
from reddino.figures.page.document import escape
from reddino.figures.palette import NO_LABEL, PALETTE, Groups
from reddino.foundations.visible import short
from reddino.smears.column_names import PREDICTED
from reddino.smears.decode import decode_image
from reddino.smears.failures import ImageError
from reddino.smears.readings import Readings

Real = npt.NDArray[np.float64]

#: Longest side of a field's picture in a page, and its JPEG quality.
LONGEST, QUALITY = 1000, 78
#: Fields with their cells marked that the page shows without a click.
FIRST = 6
#: Verdicts that stand below a field.
BEYOND = ("outside", "at the edge")
#: What cells without a label, or left out of the counts, are called.
NO_CLASS, LEFT_OUT = "none", "left out of the counts"
#: Fields that a page takes, at most, and characters that they may take together.
MOST, SPACE = 60, 6_000_000
#: Dashes of marks beyond the first colours, as (dash, gap) in widths of the line.
DASHES = ("", "4 2", "1.5 1.5", "6 2 1.5 2")


def choose_fields(overview: Overview, most: int = MOST) -> list[str]:
    """Return images, sources in turn and within a source its slides in turn, those first that are most usual.

    Of each slide (or source that names none) the image nearest its median number of cells comes first. Images
    of the highest outlier scores follow on the first round of them, so that a cell that is looked up is
    likely to have its field in the page.
    """
    rows = overview.table
    paths, slides, sources = rows.strings("path"), rows.strings("slide"), rows.strings("source")
    cells = Counter(paths)
    home = dict(zip(paths, zip(sources, slides, strict=True), strict=True))
    by_home: dict[tuple[str, str], list[str]] = {}
    for path in cells:
        by_home.setdefault(home[path], []).append(path)
    of_source: dict[str, list[list[str]]] = {}
    for key in sorted(by_home):
        middle = float(np.median([cells[path] for path in by_home[key]]))
        turn = sorted(by_home[key], key=lambda path: (abs(cells[path] - middle), path))
        of_source.setdefault(key[0], []).append(turn)
    every = in_turn([in_turn(turns) for turns in of_source.values()])
    first = every[: max(FIRST, min(len(by_home), most // 2))]
    scores = np.nan_to_num(overview.scores, nan=-1.0, posinf=1e9)
    odd = dict.fromkeys(paths[row] for row in np.argsort(-scores, kind="stable")[: 4 * most].tolist())
    odd_of: dict[str, list[str]] = {}
    for path in odd:
        odd_of.setdefault(home[path][0], []).append(path)
    return list(dict.fromkeys([*first, *in_turn(list(odd_of.values()))[:most], *every]))[:most]


def in_turn(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return the first of each list, then the second of each, and so on."""
    longest = max(map(len, lists), default=0)
    return [one[i] for i in range(longest) for one in lists if i < len(one)]


def field_pictures(overview: Overview, space: int = SPACE) -> list[dict[str, Any]]:
    """Return fields as a page takes them: path, width and height of the image, and a JPEG as a data URL."""
    if overview.pictures is None:
        return []
    readings, root = Readings(overview.table.table), overview.pictures.root
    found: list[dict[str, Any]] = []
    for path in choose_fields(overview):
        try:
            image = decode_image(root / path, **readings.of(path))
        except ImageError as error:
            overview.pictures.failures.add(path, error.reason)
            continue
        url = _jpeg(image)
        if len(url) > space:
            break
        space -= len(url)
        found.append({"path": path, "width": image.shape[1], "height": image.shape[0], "url": url})
    return found


def marks(overview: Overview) -> tuple[Real, Real, Real]:
    """Return centre x, centre y and radius (n,) of each cell in pixels of its image; NaN without a place."""
    rows = overview.table
    names = rows.table.column_names
    x, y, side = (
        rows.numbers(name) if name in names else np.full(len(rows), np.nan)
        for name in ("view_x", "view_y", "view_side")
    )
    diameter = rows.numbers("cell_diameter") if "cell_diameter" in names else np.full(len(rows), np.nan)
    # Views of cells are 1.6 diameters wide unless the user set another width.
    radius = np.where(np.isfinite(diameter), diameter, side / 1.6) / 2
    return x, y, np.where(np.isnan(side), np.nan, radius)


def first_fields(overview: Overview, fields: Sequence[dict[str, Any]]) -> list[str]:
    """Return HTML of the first fields, each cell marked with the colour of its class.

    They need no script, so that they print; the page's script finds their pictures by their number.
    """
    rows = overview.table
    column, values = overview.shown
    nothing = NO_CLASS
    if PREDICTED in rows.table.column_names:
        nothing = LEFT_OUT
        column, values = PREDICTED, overview.counted_classes()
    groups = Groups.of(values)
    place = {number: order for order, number in enumerate(groups.named)}
    x, y, radius = marks(overview)
    paths, sources = np.asarray(rows.strings("path"), dtype=object), rows.strings("source")
    verdicts, parts = overview.verdicts(), []
    for number, field in enumerate(fields[:FIRST]):
        inside = np.flatnonzero((paths == field["path"]) & np.isfinite(radius))
        circles = [
            f'<circle cx="{x[row]:.1f}" cy="{y[row]:.1f}" r="{radius[row]:.1f}" data-row="{row}" '
            f"{mark_style(place.get(int(groups.index[row])))}>"
            f"<title>{escape(values[row] or nothing)}</title></circle>"
            for row in inside.tolist()
        ]
        counts = Counter(values[row] or nothing for row in inside.tolist())
        listed = ", ".join(f"{short(name, 28)} {count}" for name, count in counts.most_common(8))
        row = int(np.flatnonzero(paths == field["path"])[0])
        source = sources[row]
        cells = (
            f"{len(inside)} cells, by {reader_title(column)}: {listed}"
            if len(inside)
            else "the image is one view"
        )
        where = f"{source}, {verdict}" if (verdict := verdicts[row]) in BEYOND else source
        caption = f"{field['path']} ({where}): {cells}"
        parts.append(
            f'<figure class="field"><svg viewBox="0 0 {field["width"]} {field["height"]}" role="img" '
            f'aria-label="{escape(field["path"])}"><image id="field-{number}" width="{field["width"]}" '
            f'height="{field["height"]}" href="{field["url"]}"/>{"".join(circles)}</svg>'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    used = {groups.index[row] for field in fields[:FIRST] for row in np.flatnonzero(paths == field["path"])}
    keys = "".join(
        f'<span class="key"><svg width="22" height="12" aria-hidden="true"><line y1="6" x2="22" y2="6" '
        f"{mark_style(place.get(number))}/></svg> {escape(groups.names[number] or nothing)}</span>"
        for number in sorted(int(one) for one in used)
    )
    return [f'<p class="keys">{keys}</p>', '<div class="fields">', *parts, "</div>"] if parts else []


def mark_style(place: int | None) -> str:
    """Return how cells of group number `place` are outlined: colour, and dashes beyond the first colours."""
    if place is None:
        return f'fill="none" stroke="{NO_LABEL}" stroke-width="2" vector-effect="non-scaling-stroke"'
    dash = DASHES[place // len(PALETTE) % len(DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    colour = PALETTE[place % len(PALETTE)]
    return f'fill="none" stroke="{colour}" stroke-width="2" vector-effect="non-scaling-stroke"{dashes}'


def _jpeg(image: npt.NDArray[np.uint8]) -> str:
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    if scale < 1:
        image = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
