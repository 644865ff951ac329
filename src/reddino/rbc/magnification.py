"""Pictures of several magnifications in one source, recognised by the sizes of their boxes.

A source has one red-cell diameter where its manifest gives none. Fields taken through another objective, or
scaled down, need their own: boxes of one class are then larger in some pictures than in others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Pictures of one magnification differ by less: by 1.28 in nine collections of real smears.
MIXED = 1.5
#: Neighbours in size further apart than this are of two magnifications, where a source is mixed.
_GAP = 1.25
#: Boxes that a picture needs, so that one large cell is no magnification.
_BOXES = 3


def picture_scales(manifest: Manifest) -> Floats:
    """Return how much larger (m,) each picture shows its cells than is typical of its source.

    The scale is 1 throughout a source whose pictures are of one magnification, and where a picture has too
    few boxes to show it. All pictures of one magnification have the same scale: small cells stay small.
    """
    ratios = box_ratios(manifest)
    scales = np.ones(len(ratios))
    for _, chosen in _by_source(manifest, ratios):
        levels = _levels(ratios[chosen])
        if levels.max() / levels.min() > MIXED:
            scales[chosen] = levels
    return scales


def box_ratios(manifest: Manifest, *, by_class: bool = True) -> Floats:
    """Return the median side (m,) of each picture's boxes, over that typical of their class in its source.

    NaN where a picture has fewer than three boxes.

    Args:
        manifest: of cells.
        by_class: compare boxes of one label only.
    """
    names, image = manifest.images()
    ratios = np.full(len(names), np.nan)
    side = np.sqrt(manifest.numbers("w") * manifest.numbers("h"))
    rows = np.flatnonzero(side > 0)
    rows = rows[np.bincount(image[rows], minlength=len(names))[image[rows]] >= _BOXES]
    if len(rows) == 0:
        return ratios
    labels = manifest.strings("label") if by_class else [""] * len(manifest)
    kind = _codes(list(zip(manifest.strings("source"), labels, strict=True)))[rows]
    side, image = side[rows], image[rows]
    # Of each class the median of its pictures' medians: a crowded picture counts once.
    pair, medians = group_medians(kind * len(names) + image, side)
    kinds, typical = group_medians(pair // len(names), medians)
    chosen, found = group_medians(image, side / typical[np.searchsorted(kinds, kind)])
    ratios[chosen] = found
    return ratios


def mixed_magnifications(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings of sources in which the boxes of some pictures are much larger than those of others."""
    ratios = box_ratios(manifest)
    # Where no picture holds two classes, sizes of classes and of pictures cannot be separated.
    single = _of_one_class(manifest)
    mixed: list[tuple[str, int, float]] = []
    for source, chosen in _by_source(manifest, ratios):
        found = box_ratios(manifest, by_class=False)[chosen] if source in single else ratios[chosen]
        levels, farthest = _levels(found), np.argmax(np.abs(np.log(found)))
        spread = max(levels.max() / levels.min(), np.exp(abs(np.log(found[farthest]))))
        if spread > MIXED:
            mixed.append((source, int(chosen[farthest]), float(found[farthest])))
    if mixed:
        source, odd, ratio = mixed[0]
        yield Finding(
            "pictures of several magnifications",
            f"in {counted(len(mixed), 'source')} boxes differ more than {MIXED:g} times between pictures; "
            "each picture is cut at its own scale; for pretraining and scale source give cell_diameter for "
            "each picture, or a source for each magnification",
            len(mixed),
            f"source {source}: {manifest.images()[0][odd]} has boxes {ratio:.2f} times the typical size",
        )


def _of_one_class(manifest: Manifest) -> set[str]:
    """Return the sources without a picture that has boxes of two labels."""
    boxes = np.flatnonzero(manifest.numbers("w") > 0).tolist()
    sources, labels, paths = (manifest.strings(name) for name in ("source", "label", "path"))
    seen: dict[str, str] = {}
    several = {sources[row] for row in boxes if seen.setdefault(paths[row], labels[row]) != labels[row]}
    return {sources[row] for row in boxes} - several


def _by_source(manifest: Manifest, ratios: Floats) -> Iterator[tuple[str, Integers]]:
    """Yield each source with the pictures (k,) whose ratio is known."""
    first = np.unique(manifest.images()[1], return_index=True)[1]
    sources = np.array(manifest.strings("source"), dtype=object)[first]
    known = np.flatnonzero(~np.isnan(ratios))
    for source in sorted(set(sources[known].tolist())):
        yield source, known[sources[known] == source]


def group_medians(groups: Integers, values: Floats) -> tuple[Integers, Floats]:
    """Return the distinct `groups` (n,), sorted, and the median of the `values` (n,) of each."""
    order = np.lexsort((values, groups))
    found, start, count = np.unique(groups[order], return_index=True, return_counts=True)
    ordered = values[order]
    return found, (ordered[start + (count - 1) // 2] + ordered[start + count // 2]) / 2


def _levels(ratios: Floats) -> Floats:
    """Return the median ratio of each ratio's magnification.

    Magnifications are runs of neighbours without a gap between them.
    """
    order = np.argsort(ratios, kind="stable")
    steps = np.diff(np.log(ratios[order])) > np.log(_GAP)
    level = np.empty(len(ratios), dtype=np.int64)
    level[order] = np.concatenate([[0], np.cumsum(steps)])
    return group_medians(level, ratios)[1][level]


def _codes(values: list[tuple[str, str]]) -> Integers:
    codes: dict[tuple[str, str], int] = {}
    return np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int64)
