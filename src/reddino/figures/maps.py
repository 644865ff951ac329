"""Maps of embeddings: the same points by class, patient and source, for eight labels or for hundreds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from reddino.figures.canvas import blank_figure, legend
from reddino.figures.palette import DISTINCT, Groups
from reddino.figures.projection import Points
from reddino.foundations.visible import short_names

Indices = npt.NDArray[np.int64]

#: From here on points hide each other: their density is drawn, not the points.
DENSE = 20_000
#: A label with fewer points than this fraction would vanish in the shading: its points are drawn on top.
RARE = 0.002
#: Up to so many groups, the legend alone distinguishes them; beyond, numbers stand on the map too.
NUMBERED_FROM = 9
#: Of more groups than colours and markers distinguish, so many are numbered: the most clumped.
MOST_NUMBERED = 30
#: Standard deviations above chance from which a group of many counts as clumped.
CLUMPED = 5.0
PIXELS = 420
NEIGHBOURS = 10


def map_figure(xy: Points, labels: Sequence[str], title: str) -> Figure:
    """Draw a map (n, 2) of embeddings, coloured by label."""
    figure = blank_figure(7.5, 5.5)
    draw_map(figure.add_subplot(), xy, labels, title)
    return figure


def paired_map_figure(xy: Points, classes: Sequence[str], sources: Sequence[str], title: str) -> Figure:
    """Draw one map (n, 2) twice: by class, which should separate, and by source, which should not."""
    return maps_figure(xy, {"by class": classes, "by source": sources}, title)


def maps_figure(xy: Points, columns: Mapping[str, Sequence[str]], title: str) -> Figure:
    """Draw one map (n, 2) once for each way to label its points, side by side.

    Args:
        xy: the points.
        columns: panel title -> n labels.
        title: of the figure.
    """
    figure = blank_figure(7 * len(columns), 5.5)
    for axes, (name, labels) in zip(
        figure.subplots(1, len(columns), squeeze=False)[0], columns.items(), strict=True
    ):
        draw_map(axes, xy, labels, name)
    figure.suptitle(title)
    return figure


def draw_map(axes: Axes, xy: Points, labels: Sequence[str], title: str) -> None:
    """Draw points (n, 2) by label; rare labels lie on top, and "" is drawn grey as unlabelled.

    Up to 8 labels have a colour each. More also differ in their marker and carry a number that stands where
    they are densest. Beyond 64, colours repeat, and only those labels are numbered whose points keep together
    most, which shows whether patients clump. From 20,000 points on, the density is shaded in the
    colour of the most frequent label.
    """
    groups = Groups.of(labels)
    styles = groups.styles()
    dense = len(xy) >= DENSE
    if dense:
        # No marker is seen in a shading.
        styles = [(colour, "o") for colour, _ in styles]
        _shade(axes, xy, groups, [colour for colour, _ in styles])
    size = 1.5 if dense else float(np.clip(24_000 / max(len(xy), 1), 5, 40))
    on_top = RARE * len(xy) if len(groups.named) <= DISTINCT else 0
    for i in np.argsort(-groups.counts, kind="stable").tolist():
        if dense and groups.counts[i] >= on_top:
            continue
        colour, marker = styles[i]
        points = xy[groups.index == i]
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=size,
            c=colour,
            marker=marker,
            alpha=0.7,
            linewidths=0,
            rasterized=len(xy) > 2000,
        )
    fraction, chance = same_label_fraction(xy, groups)
    numbered = _numbered(groups, fraction, len(xy))
    for i in numbered:
        _write_number(axes, densest_point(xy[groups.index == i]), groups.named.index(i) + 1)
    _legend(axes, groups, styles, numbered)
    axes.set_title(title if len(groups.named) <= DISTINCT else f"{title}: {len(groups.named)} labels")
    axes.set_xticks([])
    axes.set_yticks([])
    if len(groups.named) > 1 and np.isfinite(fraction).any():
        mean = float(np.average(fraction[groups.named], weights=groups.counts[groups.named]))
        clumping = f"{_percent(mean)} share the label ({_percent(chance)} by chance)"
        axes.set_xlabel(f"of {min(NEIGHBOURS, len(xy) - 1)} neighbours on the map, {clumping}", fontsize=8)


def same_label_fraction(xy: Points, groups: Groups, k: int = NEIGHBOURS) -> tuple[Points, float]:
    """Measure how much labels clump on a map (n, 2).

    Returns:
        For each group, the mean fraction of its points' k nearest neighbours on the map that are of the same
        group; and that fraction over all named points if neighbours were drawn at random.
    """
    k = min(k, len(xy) - 1)
    if k < 1:
        return np.full(len(groups), np.nan), float("nan")
    near = np.asarray(cKDTree(xy).query(xy, k + 1)[1])
    own = near == np.arange(len(xy))[:, None]
    # Of many equal points the search may leave the point itself out: then the farthest is dropped.
    own[~own.any(axis=1), -1] = True
    near = near[~own].reshape(len(xy), k)
    same = (groups.index[near] == groups.index[:, None]).mean(axis=1)
    sums = np.bincount(groups.index, weights=same, minlength=len(groups))
    counts = groups.counts[groups.named]
    by_chance = (counts * (counts - 1)).sum() / max(1, counts.sum() * (len(xy) - 1))
    return sums / groups.counts, float(by_chance)


def densest_point(points: Points) -> Points:
    """Return the point (2,) of points (n, 2) with most others around it, on a smoothed grid of 48 cells."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.maximum(high - low, 1e-12)
    cell = np.minimum((points - low) / span * 48, 47).astype(np.int64)
    counts = np.zeros((48, 48))
    np.add.at(counts, (cell[:, 0], cell[:, 1]), 1)
    smooth = gaussian_filter(counts, 2, mode="constant")
    best: Points = points[smooth[cell[:, 0], cell[:, 1]].argmax()]
    return best


def _percent(fraction: float) -> str:
    return f"{fraction:.0%}" if fraction >= 0.1 else f"{fraction:.1%}"


def _numbered(groups: Groups, fraction: Points, points: int) -> list[int]:
    """Return the groups whose numbers stand on the map; of very many, those that clump most, if any do."""
    named = groups.named
    if len(named) < NUMBERED_FROM:
        return []
    if len(named) <= DISTINCT:
        return named
    # How far the number of neighbours of the same group lies above chance, in standard deviations. Neighbours
    # come in pairs, so it spreads twice as far as a count of independent ones.
    expected = groups.counts * NEIGHBOURS * (groups.counts - 1) / max(points - 1, 1)
    found = fraction * groups.counts * NEIGHBOURS
    above = (found - expected) / np.sqrt(np.maximum(2 * expected, 4))
    clumped = [i for i in named if above[i] > CLUMPED and found[i] > 2 * expected[i]]
    return sorted(sorted(clumped, key=lambda i: -fraction[i])[:MOST_NUMBERED])


def _write_number(axes: Axes, at: Points, number: int) -> None:
    text = axes.text(at[0], at[1], str(number), fontsize=8, fontweight="bold", ha="center", va="center")
    text.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="white")])
    text.set_zorder(10)


def _legend(axes: Axes, groups: Groups, styles: Sequence[tuple[str, str]], numbered: Sequence[int]) -> None:
    """List the groups next to the map, the unlabelled last; of too many, those that are numbered on it."""
    listed = groups.named if len(groups.named) <= DISTINCT else list(numbered)
    listed = [*listed, *(i for i, name in enumerate(groups.names) if not name)]
    handles, texts, names = [], [], short_names(groups.names)
    for i in listed:
        number = f"{groups.named.index(i) + 1}  " if i in numbered else ""
        colour, marker = styles[i]
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", markersize=6))
        texts.append(f"{number}{names[i] or 'no label'} ({groups.counts[i]})")
    title = None
    if len(groups.named) > DISTINCT:
        most = f"the {len(numbered)} that keep\ntogether most;" if numbered else "none keeps together;"
        title = f"{most} colours repeat"
    legend(
        axes,
        handles,
        texts,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize=8 if len(listed) <= 24 else 7,
        ncols=1 if len(listed) <= 32 else 2,
        title=title,
        title_fontsize=8,
    )


def _shade(axes: Axes, xy: Points, groups: Groups, colours: Sequence[str]) -> None:
    """Draw density as a picture: each pixel in its most frequent group's colour, fading to white."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    # Of points on one line or one place, something is drawn all the same.
    margin = np.maximum(0.03 * (high - low), 1e-6 * np.maximum(1.0, np.abs(high)))
    low, high = low - margin, high + margin
    picture = shaded_density(xy, groups.index, colours, (low, high))
    axes.imshow(
        picture,
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        aspect="auto",
        interpolation="nearest",
    )


def shaded_density(
    xy: Points, index: Indices, colours: Sequence[str], corners: tuple[Points, Points], pixels: int = PIXELS
) -> npt.NDArray[np.float64]:
    """Return a picture (pixels, pixels, 3) of points (n, 2), the first row at the bottom.

    A pixel has the colour of the group that most of its points belong to, and fades to white with the
    logarithm of their number; the faintest keeps a fifth of its colour. `corners` are the lowest and the
    highest x and y that it shows.
    """
    low, high = corners
    cell = ((xy - low) / (high - low) * pixels).astype(np.int64).clip(0, pixels - 1)
    place = cell[:, 1] * pixels + cell[:, 0]
    pairs, counts = np.unique(place * len(colours) + index, return_counts=True)
    order = np.lexsort((counts, pairs // len(colours)))
    last = np.append(np.diff(pairs[order] // len(colours)) > 0, True)
    places, winners = np.divmod(pairs[order][last], len(colours))
    totals = np.bincount(place, minlength=pixels * pixels)[places]
    # The few fullest pixels of a tight clump would bleach all others.
    top = np.log1p(np.percentile(totals, 99.5))
    strength = 0.2 + 0.8 * np.minimum(1, np.log1p(totals) / top)
    picture = np.ones((pixels * pixels, 3))
    table = np.array([to_rgb(colour) for colour in colours])
    picture[places] = 1 - strength[:, None] * (1 - table[winners])
    return picture.reshape(pixels, pixels, 3)
