"""Sheets of pictures: neighbours, classes and outliers, as a table of vectors sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reddino.embedding.view_encoder import Images, Vectors
from reddino.figures.canvas import blank_figure
from reddino.figures.outliers import nearest
from reddino.figures.palette import PALETTE, Groups, numbered
from reddino.foundations.visible import short_names

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]
#: Pictures (m, s, s, 3) of rows (m,) of a table.
Cut = Callable[[Indices], Images]

INCH = 1.05
# Above a picture: two lines of its title. Above a sheet: its own title.
ABOVE, HEADING = 0.3, 0.35
#: Classes or sources on a sheet: more would be too tall for programs that open pictures.
MOST_ROWS = 60
#: Letters of a name above a picture.
TITLE = 24
SAME, OTHER, QUERY = PALETTE[2], PALETTE[3], "#000000"


@dataclass(frozen=True)
class Neighbourhoods:
    """Queries with their neighbours.

    Attributes:
        queries: (m,) rows.
        own: for each, the nearest rows of its source from other images, nearest first.
        other: for each, the nearest rows of other sources.
        own_distances, other_distances: as long as these.
    """

    queries: Indices
    own: list[Indices]
    other: list[Indices]
    own_distances: list[Real]
    other_distances: list[Real]


def find_neighbourhoods(
    vectors: Vectors, sources: Sequence[str], images: Sequence[str], queries: Indices, k: int = 5
) -> Neighbourhoods:
    """Find the nearest rows of the same and of other sources.

    Neighbours from the query's own image are left out: they have its light and focus, and show little.

    Args:
        vectors: (n, d).
        sources: (n,).
        images: (n,) path of each row's image.
        queries: (m,) rows.
        k: neighbours of each kind, where there are so many.
    """
    names, paths = numbered(sources, set(sources)), numbered(images, set(images))
    found: list[tuple[Indices, Real, Indices, Real]] = []
    for query in queries.tolist():
        own = np.flatnonzero((names == names[query]) & (paths != paths[query]))
        other = np.flatnonzero(names != names[query])
        found.append((*_nearest_of(vectors, query, own, k), *_nearest_of(vectors, query, other, k)))
    return Neighbourhoods(
        queries, [f[0] for f in found], [f[2] for f in found], [f[1] for f in found], [f[3] for f in found]
    )


def _nearest_of(vectors: Vectors, query: int, rows: Indices, k: int) -> tuple[Indices, Real]:
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0)
    near, distances = nearest(vectors[rows], vectors[query : query + 1], k)
    return rows[near[0]], distances[0]


def typical_queries(
    vectors: Vectors, labels: Sequence[str], sources: Sequence[str], most: int = 12
) -> Indices:
    """Choose rows to find neighbours of: of each class, in turn from each source, the one of median distance.

    Of the rows of a class and source, that one whose distance from their mean is the median: neither the
    most typical cell nor an odd one. Nothing is drawn at random, nothing chosen by its neighbours.
    """
    classes, places = Groups.of(labels), Groups.of(sources)
    chosen: list[int] = []
    for turn in range(len(places)):
        for i in classes.named or range(len(classes)):
            source = (i + turn) % len(places)
            rows = np.flatnonzero((classes.index == i) & (places.index == source))
            if len(rows) and len(chosen) < most:
                distance = _distance_to_mean(vectors, rows)
                chosen.append(int(rows[np.argsort(distance, kind="stable")[(len(rows) - 1) // 2]]))
    return np.array(chosen, dtype=np.int64)


def _distance_to_mean(vectors: Vectors, rows: Indices) -> Real:
    gaps = vectors[rows].astype(np.float64) - vectors[rows].mean(axis=0, dtype=np.float64)
    distance: Real = np.linalg.norm(gaps, axis=1)
    return distance


def neighbours_figure(
    found: Neighbourhoods, cut: Cut, labels: Sequence[str], sources: Sequence[str]
) -> Figure:
    """Draw one row per query: the query, its nearest of the same source, its nearest of other sources.

    Frames: black the query, green a neighbour of the same label, vermilion of another; none without labels.
    """
    own = max((len(rows) for rows in found.own), default=0)
    other = max((len(rows) for rows in found.other), default=0)
    rows = np.concatenate([found.queries, *found.own, *found.other])
    pictures = dict(zip(rows.tolist(), cut(rows), strict=True))
    # A narrow empty column between the kinds.
    widths = [1.0, 0.12, *[1.0] * own, 0.12, *[1.0] * other]
    figure, grid = _sheet(
        len(found.queries),
        widths,
        "query | nearest of the same source, from other images | nearest of other sources (with distance)",
    )
    labels_shown, sources_shown = short_names(labels, TITLE), short_names(sources, TITLE)
    for line, query in enumerate(found.queries.tolist()):
        _show(grid[line, 0], pictures[query], f"{labels_shown[query]}\n{sources_shown[query]}", QUERY)
        for first, near, far in (
            (2, found.own[line], found.own_distances[line]),
            (3 + own, found.other[line], found.other_distances[line]),
        ):
            for place, (row, distance) in enumerate(zip(near.tolist(), far.tolist(), strict=True)):
                title = f"{labels_shown[row]} {distance:.2g}"
                if first == 3 + own:
                    title += f"\n{sources_shown[row]}"
                colour = (SAME if labels[row] == labels[query] else OTHER) if labels[query] else None
                _show(grid[line, first + place], pictures[row], title, colour)
    return figure


def classes_figure(
    vectors: Vectors,
    labels: Sequence[str],
    cut: Cut,
    *,
    k: int = 8,
    most: int = 300,
    seed: int = 0,
    title: str = "mean picture of a class",
) -> Figure:
    """Draw one row per class: the mean of its pictures, and the cells nearest to the mean of its vectors.

    Of more than `MOST_ROWS` classes, those with most rows.

    Args:
        vectors: (n, d).
        labels: (n,); rows without one are passed over.
        cut: gives the pictures.
        k: cells shown.
        most: pictures that a mean is taken over, drawn at random from a larger class.
        seed: of that draw.
        title: what the first picture of a row is.
    """
    groups = Groups.of(labels)
    named = _largest(groups, groups.named)
    figure, grid = _sheet(
        len(named),
        [1.0, 0.12, *[1.0] * k],
        f"{title} | its cells nearest to the mean of its vectors" + _of_all(named, groups.named, "classes"),
    )
    names = short_names(groups.names, TITLE)
    for line, i in enumerate(named):
        rows = np.flatnonzero(groups.index == i)
        drawn = rows
        if len(rows) > most:
            drawn = np.sort(np.random.default_rng([seed, i]).choice(rows, most, replace=False))
        mean = mean_picture(cut, drawn)
        order = np.argsort(_distance_to_mean(vectors, rows), kind="stable")[:k]
        _show(grid[line, 0], mean, f"{names[i]} ({len(rows)})", QUERY)
        for place, picture in enumerate(cut(rows[order])):
            _show(grid[line, 2 + place], picture, "", None)
    return figure


def mean_picture(cut: Cut, rows: Indices, block: int = 128) -> Images:
    """Return the mean (s, s, 3) of the pictures of rows (m,), cut block by block."""
    total: npt.NDArray[np.float64] | None = None
    for first in range(0, len(rows), block):
        part = cut(rows[first : first + block]).sum(axis=0, dtype=np.float64)
        total = part if total is None else total + part
    if total is None:
        raise ValueError("a mean picture needs at least one row")
    return np.asarray(np.rint(total / len(rows)), dtype=np.uint8)


def outliers_figure(
    scores: Real, sources: Sequence[str], labels: Sequence[str], cut: Cut, *, k: int = 10
) -> Figure:
    """Draw one row per source: its k rows of highest outlier score, highest first, with score and label.

    Of more than `MOST_ROWS` sources, those with most rows.
    """
    places = Groups.of(sources)
    listed = _largest(places, range(len(places)))
    ranked = [outlier_rows(scores, places.index == i)[:k] for i in listed]
    columns = max(len(rows) for rows in ranked)
    figure, grid = _sheet(
        len(listed),
        [1.0] * max(columns, 1),
        "farthest from their own source: mean distance to 10 neighbours over the source's median"
        + _of_all(listed, range(len(places)), "sources"),
    )
    names, labels_shown = short_names(places.names, TITLE), short_names(labels, TITLE)
    for line, (source, rows) in enumerate(zip(listed, ranked, strict=True)):
        for place, (row, picture) in enumerate(zip(rows.tolist(), cut(rows), strict=True)):
            name = f"{names[source]}\n" if place == 0 else "\n"
            _show(grid[line, place], picture, f"{name}{scores[row]:.1f} {labels_shown[row]}", None)
    return figure


def outlier_rows(scores: Real, among: npt.NDArray[np.bool_] | None = None) -> Indices:
    """Return rows by outlier score, highest first; rows without a score are left out."""
    eligible = ~np.isnan(scores) if among is None else ~np.isnan(scores) & among
    rows = np.flatnonzero(eligible)
    return np.asarray(rows[np.argsort(-scores[rows], kind="stable")], dtype=np.int64)


def _largest(groups: Groups, numbers: Sequence[int]) -> list[int]:
    """Return up to `MOST_ROWS` of the groups of these numbers, those with most rows, in their order."""
    return sorted(sorted(numbers, key=lambda i: -groups.counts[i])[:MOST_ROWS])


def _of_all(shown: Sequence[int], there: Sequence[int], what: str) -> str:
    """Describe for a title the groups that a sheet leaves out; "" where it shows all."""
    return f" | the {len(shown)} largest of {len(there)} {what}" if len(shown) < len(there) else ""


def _sheet(rows: int, widths: Sequence[float], title: str) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Return a figure with axes (rows, columns) at fixed places: laying out hundreds of axes takes long.

    Args:
        rows: of pictures.
        widths: of the columns, in pictures.
        title: of the sheet.
    """
    gap = 0.08
    width = INCH * sum(widths) + gap * (len(widths) + 1)
    height = (INCH + ABOVE) * rows + HEADING
    figure = blank_figure(width, height)
    figure.set_layout_engine("none")
    grid = np.empty((rows, len(widths)), dtype=object)
    for row in range(rows):
        left = gap
        bottom = height - HEADING - (row + 1) * (INCH + ABOVE)
        for column, width_of in enumerate(widths):
            place = (left / width, bottom / height, INCH * width_of / width, INCH / height)
            grid[row, column] = figure.add_axes(place)
            grid[row, column].set_axis_off()
            left += INCH * width_of + gap
    figure.text(gap / width, 1 - 0.12 / height, title, fontsize=9, va="top", ha="left")
    return figure, grid


def _show(axes: Axes, picture: Images, title: str, frame: str | None) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(title, fontsize=6, pad=2)
    if frame is not None:
        axes.set_axis_on()
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(frame)
            spine.set_linewidth(2)
