"""Figures of patch tokens: principal components as colour, the class token's attention, similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from reddino.embedding.view_encoder import Images
from reddino.figures.canvas import blank_figure
from reddino.figures.fields import FieldTokens, Plane
from reddino.foundations.errors import RedDinoError
from reddino.rbc.illumination import otsu

Real = npt.NDArray[np.float64]
Place = tuple[float, float]

INCHES = 3.2
ENLARGED = 6
#: Fraction of tokens at either end that a colour channel does not spend its range on.
CLIPPED = 0.01
#: Balanced agreement of a component's sides with stain, below which it is something else.
LEAST_PARTED = 0.7


@dataclass(frozen=True)
class PatchBasis:
    """Directions for several fields together, so that a colour means the same in all of them.

    Attributes:
        centred: whether each field's own mean is taken off its tokens before all else.
        mean: (d,) of all tokens.
        first: (d,) the first principal component, pointing towards stained patches.
        level: of the first component, above which a patch is foreground.
        colour_mean: (d,) of the foreground's tokens.
        colours: (d, 3) the first three principal components of the foreground.
        low, high: (3,) values that become 0 and 1.
        by_stain: the foreground is what is stained, since the first component parts something else.
    """

    centred: bool
    mean: Real
    first: Real
    level: float
    colour_mean: Real
    colours: Real
    low: Real
    high: Real
    by_stain: bool = False

    @classmethod
    def fit(cls, fields: Sequence[FieldTokens], *, centred: bool = True) -> PatchBasis:
        """Find the directions in the tokens of all fields together.

        Where fields come from several sources, light and stain separate them more than anything inside
        them, and would be the first component. So each field's own mean is taken off first, unless `centred`
        is False: then colours also show how far the network separates the sources.

        The first component is cut in two by Otsu's threshold; its side with the stained patches, which are
        darker in green on average, is the foreground; where its sides part something else (light, nuclei),
        what is stained in each field is. Patches outside the lit field take no part. Three components of the
        foreground alone follow.

        Raises:
            RedDinoError: no fields, tokens of fewer than three numbers, or tokens that do not vary.
        """
        if not fields or _dim(fields[0]) < 3:
            raise RedDinoError("pictures of patch tokens need fields, and tokens of at least three numbers")
        tokens = np.concatenate([_tokens(field, centred)[field.inside] for field in fields])
        stain = np.concatenate([-_patch_green(field)[field.inside] for field in fields])
        mean, directions = _components(tokens, 1)
        scores = (tokens - mean) @ directions[:, 0]
        if float(scores.std()) < 1e-6 * max(1.0, float(np.abs(mean).max())):
            raise RedDinoError("the patch tokens of these fields do not vary: there is nothing to draw")
        level = _level(scores)
        above, below = stain[scores > level], stain[scores <= level]
        if len(above) and len(below) and above.mean() < below.mean():
            directions, scores, level = -directions, -scores, -level
        # Light, nuclei or edges may be the first component: stain itself then decides what is foreground.
        by_stain = centred and not _parts_stain(scores > level, stain)
        stained = np.concatenate([_stained(field)[field.inside] for field in fields])
        chosen = tokens[stained if by_stain else scores > level]
        # A foreground of fewer patches than colours need: then all patches together.
        chosen = chosen if len(chosen) > 3 else tokens
        colour_mean, colours = _components(chosen, 3)
        values = (chosen - colour_mean) @ colours
        low, high = np.quantile(values, (CLIPPED, 1 - CLIPPED), axis=0)
        high = np.maximum(high, low + 1e-9)
        return cls(centred, mean, directions[:, 0], level, colour_mean, colours, low, high, by_stain)

    def first_component(self, field: FieldTokens) -> Real:
        """Return the first component (h, w), from 0 at the level between background and foreground."""
        scores: Real = (_tokens(field, self.centred) - self.mean) @ self.first - self.level
        return scores

    def foreground(self, field: FieldTokens) -> npt.NDArray[np.bool_]:
        """Return which patches (h, w) are foreground."""
        if self.by_stain:
            return _stained(field)
        return np.asarray((self.first_component(field) > 0) & field.inside)

    def picture(self, field: FieldTokens) -> Real:
        """Return colours (h, w, 3) from 0 to 1 of the foreground's patches; the background is white."""
        values = (_tokens(field, self.centred) - self.colour_mean) @ self.colours
        values = (values - self.low) / (self.high - self.low)
        return np.where(self.foreground(field)[..., None], values.clip(0, 1), 1.0)


def _components(tokens: Plane, count: int) -> tuple[Real, Real]:
    """Mean (d,) and first principal directions (d, count); the largest entry of each is positive."""
    mean = tokens.mean(axis=0, dtype=np.float64)
    centred = tokens - mean
    basis: Real = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
    return mean, basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(count)])


def _level(scores: Real) -> float:
    """Return Otsu's threshold of scores (n,), in the middle between both classes' means.

    Where nothing lies between them, Otsu's own value is the edge of the lower class, and noise crosses it.
    """
    level = otsu(scores)
    above, below = scores[scores > level], scores[scores <= level]
    return float(above.mean() + below.mean()) / 2 if len(above) and len(below) else level


def _tokens(field: FieldTokens, centred: bool) -> Plane:
    return field.tokens - field.tokens[field.inside].mean(axis=0) if centred else field.tokens


def _parts_stain(above: npt.NDArray[np.bool_], stain: Plane) -> bool:
    """Return whether the two sides of a component are stained and not: most of what Otsu parts by stain."""
    stained = stain > otsu(stain)
    if not above.any() or above.all() or not stained.any() or stained.all():
        return True
    balanced = (above[stained].mean() + 1 - above[~stained].mean()) / 2
    return bool(max(balanced, 1 - balanced) > LEAST_PARTED)


def _stained(field: FieldTokens) -> npt.NDArray[np.bool_]:
    """Return which patches (h, w) are stained, by Otsu's threshold of the field's own green."""
    stain = -_patch_green(field)
    return np.asarray((stain > otsu(stain[field.inside])) & field.inside)


def _dim(field: FieldTokens) -> int:
    return int(field.tokens.shape[-1])


def _patch_green(field: FieldTokens) -> Plane:
    """Mean green value (h, w) of each patch."""
    height, width = field.tokens.shape[:2]
    green = field.image[..., 1].reshape(height, field.patch, width, field.patch)
    return np.asarray(green.mean(axis=(1, 3)), dtype=np.float32)


def similarity(field: FieldTokens, patch: tuple[int, int]) -> Plane:
    """Return the cosine similarity (h, w) of every patch to the one at (row, column)."""
    tokens = field.tokens / np.maximum(np.linalg.norm(field.tokens, axis=-1, keepdims=True), 1e-12)
    return np.asarray(tokens @ tokens[patch], dtype=np.float32)


def patch_at(field: FieldTokens, place: Place) -> tuple[int, int]:
    """Return row and column of the patch at (x, y), given as fractions of the field's width and height."""
    if not all(0 <= part <= 1 for part in place):
        raise RedDinoError(
            f"a place in a field is two fractions from 0 to 1 (from left, from top), not {place}"
        )
    height, width = field.tokens.shape[:2]
    return min(int(place[1] * height), height - 1), min(int(place[0] * width), width - 1)


def striking_patches(field: FieldTokens, basis: PatchBasis, count: int = 3) -> list[tuple[int, int]]:
    """Choose patches to compare with: the foreground's most attended, then the least similar ones."""
    inside = basis.foreground(field)
    if not inside.any():
        inside = field.inside if field.inside.any() else np.ones_like(inside)
    width = inside.shape[1]
    # Without a class token, the patch whose token is longest takes the place of the most attended.
    weight = field.attention.mean(axis=0) if len(field.attention) else np.linalg.norm(field.tokens, axis=-1)
    attended = np.where(inside, weight, -np.inf)
    chosen = [divmod(int(attended.argmax()), width)]
    while len(chosen) < min(count, int(inside.sum())):
        nearest = np.max([similarity(field, patch) for patch in chosen], axis=0)
        chosen.append(divmod(int(np.where(inside, nearest, np.inf).argmin()), width))
    return chosen


def pca_figure(fields: Sequence[FieldTokens], names: Sequence[str], basis: PatchBasis) -> Figure:
    """Draw one row per field: the field, the first component (foreground above 0), and the colours."""
    height = sum(_height(field) for field in fields)
    figure = blank_figure(3 * INCHES, height + 0.3 * len(fields))
    rows = figure.subplots(len(fields), 3, squeeze=False, height_ratios=[_height(field) for field in fields])
    for (left, middle, right), field, name in zip(rows, fields, names, strict=True):
        _picture(left, field.image, name)
        scores = basis.first_component(field)
        shown = np.where(field.inside, scores, 0.0)
        top = float(np.abs(shown).max())
        _plane(middle, field, shown, "PuOr", (-top, top))
        purple = "not stain: another difference" if basis.by_stain else "foreground purple"
        middle.set_title(f"first component ({purple})", fontsize=8)
        colours = (
            "three components, stained patches only" if basis.by_stain else "next three, foreground only"
        )
        _picture(right, enlarge(basis.picture(field)), colours)
    return figure


def attention_figure(field: FieldTokens, name: str) -> Figure:
    """Draw the field, then the class token's attention in the last block: mean of heads, and each head."""
    heads = [field.attention.mean(axis=0), *field.attention]
    titles = ["mean of the heads", *(f"head {i + 1}" for i in range(len(field.attention)))]
    rows = -(-(len(heads) + 1) // 4)
    columns = -(-(len(heads) + 1) // rows)
    figure = blank_figure(columns * INCHES * 0.8, rows * (_height(field) * 0.8 + 0.3))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one in axes:
        one.set_axis_off()
    _picture(axes[0], field.image, name)
    for one, head, title in zip(axes[1:], heads, titles, strict=False):
        top = float(np.quantile(head, 0.995))
        _plane(one, field, head, "magma", (0.0, max(top, 1e-9)))
        one.set_title(f"{title} (white: {top:.1f} x even)", fontsize=8)
    return figure


def similarity_figure(field: FieldTokens, patches: Sequence[tuple[int, int]], name: str) -> Figure:
    """Draw the field with the chosen patches marked, then the cosine similarity to each."""
    figure = blank_figure((len(patches) + 1) * INCHES * 0.9, _height(field) * 0.9 + 0.4)
    first, *rest = figure.subplots(1, len(patches) + 1, squeeze=False)[0]
    _picture(first, field.image, name)
    for number, ((row, column), axes) in enumerate(zip(patches, rest, strict=True), 1):
        x, y = (column + 0.5) * field.patch, (row + 0.5) * field.patch
        for one in (first, axes):
            one.plot(x, y, marker="s", markersize=7, markerfacecolor="none", markeredgecolor="black", mew=2.4)
            one.plot(x, y, marker="s", markersize=7, markerfacecolor="none", markeredgecolor="white", mew=1)
        first.annotate(
            str(number), (x, y), xytext=(5, -10), textcoords="offset points", fontsize=8, fontweight="bold"
        )
        alike = similarity(field, (row, column))
        drawn = _plane(axes, field, alike, "viridis", (float(np.quantile(alike, 0.01)), 1.0))
        axes.set_title(f"similarity to {number}", fontsize=8)
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    return figure


def enlarge(plane: Real) -> Real:
    """Enlarge a plane (h, w) or picture (h, w, 3) smoothly, a patch to 6 x 6 pixels."""
    size = plane.shape[1] * ENLARGED, plane.shape[0] * ENLARGED
    large = cv2.resize(np.asarray(plane, np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.float64).clip(float(plane.min()), float(plane.max()))


def _height(field: FieldTokens) -> float:
    return float(INCHES * field.image.shape[0] / field.image.shape[1])


def _picture(axes: Axes, image: Images | Real, title: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=8)


def _plane(
    axes: Axes, field: FieldTokens, plane: Plane | Real, colours: str, limits: tuple[float, float]
) -> AxesImage:
    """Draw a value a patch over the field's own pixels."""
    height, width = field.image.shape[:2]
    axes.set_axis_off()
    return axes.imshow(
        enlarge(np.asarray(plane, np.float64)),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, width, height, 0),
        interpolation="nearest",
    )
