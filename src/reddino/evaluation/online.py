"""The online score: labelled cells that a run embeds with its teacher while it trains."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from reddino.embedding.finite import finite_rows
from reddino.embedding.view_encoder import ViewEncoder
from reddino.evaluation import knn
from reddino.evaluation.metrics import score
from reddino.evaluation.splits import Folds, grouped_folds, untested_classes
from reddino.foundations.errors import RedDinoError
from reddino.rbc.diameters import missing_diameters
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.opening import Data, open_data
from reddino.views.by_image import ViewsByImage
from reddino.views.choices import Side, ViewKind
from reddino.views.spec import ViewSpec

log = logging.getLogger(__name__)

NEIGHBOURS = 20
BATCH = 64


class OnlineNeighbours:
    """20-NN over folds by group on a fixed sample of labelled cells, cut once and kept as pixels."""

    def __init__(self, images: npt.NDArray[np.uint8], labels: Sequence[str], folds: Folds) -> None:
        self._images = images
        self._names, self._labels = np.unique(np.asarray(labels), return_inverse=True)
        self._folds = folds

    @property
    def cells(self) -> int:
        """Labelled cells in the score."""
        return len(self._images)

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        view: ViewSpec,
        *,
        diameters: Mapping[str, float] | None = None,
        most: int = 2000,
        folds: int = 3,
        seed: int = 0,
        groups: Sequence[str] | None = None,
    ) -> OnlineNeighbours:
        """Sample and cut cells.

        Classes that live in one group are left out of the score, and named in the log: where that group is
        tested, nothing could have learned them.

        Args:
            manifest: rows with labels take part.
            view: the squares; its `output` is the size at which the teacher sees them.
            diameters: source -> red-cell diameter in pixels, where the view is in diameters.
            most: cells at most, drawn from `seed`.
            folds: of the score, by group.
            seed: of the sample and of the folds.
            groups: one a row; None takes the manifest's own (`fold_groups`).

        Raises:
            RedDinoError: too few labelled cells or groups.
        """
        names = manifest.fold_groups() if groups is None else list(groups)
        labelled = np.flatnonzero([label != "" for label in manifest.strings("label")])
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(labelled)[:most])
        if len(chosen) <= NEIGHBOURS:
            raise RedDinoError(
                f"the online score needs more than {NEIGHBOURS} labelled cells; the manifest under "
                f"{manifest.root} has {len(chosen)}"
            )
        row, images = _cut(manifest.select(chosen), view, diameters)
        labels = np.array(manifest.strings("label"), dtype=object)[chosen[row]]
        groups_of_cells = np.array(names, dtype=object)[chosen[row]]
        kept = ~np.isin(labels, _lonely(labels.tolist(), groups_of_cells.tolist()))
        if kept.sum() <= NEIGHBOURS:
            raise RedDinoError(
                f"the online score needs more than {NEIGHBOURS} cells of classes that live in two groups "
                f"(fields, slides) or more; the manifest under {manifest.root} has {kept.sum()}"
            )
        split = grouped_folds(labels[kept].tolist(), groups_of_cells[kept].tolist(), folds, seed)
        classes, truth = np.unique(labels[kept].astype(np.str_), return_inverse=True)
        tests = [(f"fold {number}", truth[test]) for number, (_, test) in enumerate(split, 1)]
        for note in untested_classes(tests, classes.tolist()):
            log.warning("online score: %s", note)
        return cls(images[kept], labels[kept].tolist(), split)

    def __call__(self, encoder: ViewEncoder) -> dict[str, float]:
        """Embed the cells; mean wF1, macro F1 and bAcc of 20-NN over the folds.

        Raises:
            RedDinoError: vectors that are not finite.
        """
        parts = [
            encoder.embed(self._images[i : i + BATCH], "cls") for i in range(0, len(self._images), BATCH)
        ]
        vectors = np.concatenate(parts)
        finite = finite_rows(vectors)
        if not finite.all():
            raise RedDinoError(
                f"the online score: {int((~finite).sum())} of {len(vectors)} vectors of the teacher are not "
                "finite, so the run has diverged; lower optim.lr or run in fp32, and begin again in a new "
                "folder"
            )
        scores = []
        for train, test in self._folds:
            predicted = knn.predict(vectors[train], self._labels[train], vectors[test], (NEIGHBOURS,))
            scores.append(score(self._labels[test], predicted[NEIGHBOURS], len(self._names)))
        names = ("weighted_f1", "balanced_accuracy", "accuracy", "macro_f1")
        return {
            f"online_knn_{name}": float(np.mean([getattr(one, name) for one in scores])) for name in names
        }


def _cut(
    sample: Manifest, view: ViewSpec, diameters: Mapping[str, float] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return the rows (n,) of the sample that could be cut, and their squares (n, s, s, 3)."""
    failures = Failures()
    views = ViewsByImage(sample, view, diameters=diameters)
    squares, _ = views.place_all(failures)
    rows, pixels = [], []
    for numbers, stack in views.cut_all(squares, failures):
        rows.append(squares["row"][numbers])
        pixels.append(stack)
    if not rows:
        raise RedDinoError(f"online k-NN: no cell to score: {failures.summary()}")
    if failures.count:
        log.warning("online score: %s", failures.summary())
    return np.concatenate(rows), np.concatenate(pixels)


def _lonely(labels: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return the classes that live in one group, so that no fold could learn and test them."""
    homes = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    lonely = sorted(label for label, count in homes.items() if count < 2)
    if lonely:
        log.warning("online score: left out, since all of its cells are in one group: %s", ", ".join(lonely))
    return lonely


def online_neighbours(labelled: Data, side: Side, most: int, image_size: int) -> OnlineNeighbours:
    """Return 20-NN on `most` labelled cells or images, cut at the size of the global crops."""
    failures = Failures()
    manifest = open_data(labelled, failures)
    if failures.count:
        log.warning("online score: %s", failures.summary())
    has_label = np.array([label != "" for label in manifest.strings("label")])
    if not has_label.any():
        raise RedDinoError(f"no row of the manifest under {manifest.root} has a label to score the run on")
    kind: ViewKind = "cells" if manifest.is_cell()[has_label].any() else "image"
    length, unit = side
    view = ViewSpec(kind=kind, side=length, unit=unit, output=image_size)
    diameters = missing_diameters(manifest) if unit == "diameters" and kind == "cells" else None
    return OnlineNeighbours.of(manifest, view, diameters=diameters, most=most)
