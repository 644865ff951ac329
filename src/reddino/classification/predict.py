"""Applying a classifier: a class with calibrated probabilities for every view, and counts for every slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.classification.abstention import AnswerRule
from reddino.classification.classifier import Classifier
from reddino.classification.domain_report import DomainReport
from reddino.classification.fitting_input import (
    require_same_embeddings,
    require_same_network,
    require_same_scale,
)
from reddino.classification.planned_views import Progress, embedded, plan
from reddino.classification.predicted_kinds import kinds_among, kinds_of_cells, kinds_of_vectors
from reddino.classification.vector_cache import embedded_in
from reddino.embedding.border import cells_at_border
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.growth import picture_digests
from reddino.embedding.kinds import (
    KIND_COLUMNS,
    KINDS,
    UNKNOWN,
    CellKinds,
    KindReader,
    holds_kinds,
    without_kinds,
)
from reddino.embedding.pass_drivers import PassDriver
from reddino.embedding.view_encoder import ViewEncoder
from reddino.foundations.errors import RedDinoError
from reddino.rbc.diameters import cell_diameters, refuse_mixed_sources, source_diameters
from reddino.rbc.picture_diameters import PictureDiameters
from reddino.regions.slide_cells import find_all_cells
from reddino.smears.column_names import (
    ABSTAINED,
    COUNTED,
    KIND,
    NOVELTY,
    PREDICTED,
    PREFIX,
    PROBABILITY,
    UNADJUSTED,
    renamed,
)
from reddino.smears.dealt_pictures import DealsPictures
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.choices import Scale
from reddino.views.scales import view_diameters

Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Calibrated probabilities of the classes of views.

    Attributes:
        classes: names.
        probabilities: (n, k), calibrated.
        table: the n rows' other columns: the manifest's, and view_x, view_y (centre), view_side in pixels.
        root: folder that `path` is relative to; None where only embeddings were given.
        found: whether the cells were found by segmentation.
        dropped: views that were left out since they leave their image.
        keep_border: whether cells that the border of their image cuts count for their slide.
        borrowed: images with too few red cells to measure, which took the diameter of others.
        data: fingerprint of the manifest.
        unadjusted: (n, k), before they were adjusted to other fractions of the classes; None where they were
            not.
        priors: what they were adjusted to, `reddino.classification.priors.PriorShift`.
        novelty: (n,) how far from the training cells, as a quantile of held-out ones; None: unknown.
        rule: which cells get no answer; None: all get one.
        domain: verdicts of slides and sources; None: not requested.
        kinds: what each view shows; None where not requested, or where it cannot be predicted.
        unanswered: (n,) cells of smears outside, which get no answer; None: verdicts take no answer away.
        held_out: of the classifier, as `reddino.classification.held_out.held_out_summary` returns it.
        pictures: by path, 16 hex digits over the bytes of the picture, where vectors of it lay on disk.
    """

    classes: tuple[str, ...]
    probabilities: Real
    table: pa.Table
    root: Path | None
    found: bool
    dropped: int
    data: str
    unadjusted: Real | None = None
    priors: tuple[Any, ...] = ()
    keep_border: bool = False
    borrowed: tuple[str, ...] = ()
    novelty: Real | None = None
    rule: AnswerRule | None = None
    domain: DomainReport | None = None
    kinds: CellKinds | None = None
    unanswered: npt.NDArray[np.bool_] | None = None
    held_out: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pictures: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def at_border(self) -> int:
        """Number of cells that the border of their image cuts."""
        return int(cells_at_border(self.table).sum())

    def numbers(self) -> npt.NDArray[np.int64]:
        """Return (n,) the number of each view's most probable class."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def counted(self) -> npt.NDArray[np.bool_]:
        """Return (n,) which views count for their slide: `whole` ones that are not `left_out`."""
        return self.whole() & ~self.left_out()

    def whole(self) -> npt.NDArray[np.bool_]:
        """Return (n,) all views but those of cells that a border cuts, unless these are kept."""
        return np.ones(len(self), np.bool_) if self.keep_border else ~cells_at_border(self.table)

    def abstained(self) -> npt.NDArray[np.bool_]:
        """Return which cells (n,) get no answer."""
        outside = np.zeros(len(self), dtype=np.bool_) if self.unanswered is None else self.unanswered
        if self.rule is None or self.novelty is None:
            return outside
        # The rule was calibrated on probabilities that were not adjusted.
        plain = self.probabilities if self.unadjusted is None else self.unadjusted
        return outside | self.rule.abstained(plain.max(axis=1), self.novelty)

    @property
    def abstains(self) -> bool:
        """Return whether cells may get no answer, by a rule or by the verdict on their slide."""
        return self.rule is not None or self.unanswered is not None

    def left_out(self) -> npt.NDArray[np.bool_]:
        """Return (n,) found views that are surely no red cell, nor of a kind that is a class: none counts."""
        if self.kinds is None or not self.found:
            return np.zeros(len(self), dtype=np.bool_)
        own = np.isin(np.array(self.kinds.names), sorted(kinds_among(self.classes)))
        return self.kinds.not_red() & ~own

    def strings(self, column: str) -> list[str]:
        """Return a column as text, "" where missing."""
        return ["" if value is None else str(value) for value in self.table.column(column).to_pylist()]

    def rows(self) -> pa.Table:
        """Return one row per view: its columns, `predicted`, its `probability`, and `p_<class>` of each.

        Where probabilities were adjusted, `unadjusted_predicted` and `unadjusted_probability` too, and where
        kinds were read, `kind` and `kind_probability`. `counted` marks those that count for their slide.

        A column of the smears that has one of these names gets another, which is logged.
        """
        best = self.numbers()
        before = {} if self.unadjusted is None else _best(self.unadjusted, self.classes)
        kinds = {} if self.kinds is None else self.kinds.columns()
        classes = [PREFIX + name for name in self.classes]
        ours = (PREDICTED, PROBABILITY, NOVELTY, ABSTAINED, COUNTED, *classes, *before)
        plain = self.table if self.kinds is None and holds_kinds(self.table) else without_kinds(self.table)
        table = renamed(plain, ours, "since the classifier's own columns have these names")
        table = table.append_column(PREDICTED, pa.array([self.classes[i] for i in best.tolist()]))
        table = table.append_column(PROBABILITY, pa.array(self.probabilities.max(axis=1)))
        for number, name in enumerate(self.classes):
            table = table.append_column(PREFIX + name, pa.array(self.probabilities[:, number]))
        for name, values in before.items():
            table = table.append_column(name, pa.array(values))
        if self.novelty is not None:
            table = table.append_column(NOVELTY, pa.array(self.novelty))
        if self.abstains:
            table = table.append_column(ABSTAINED, pa.array(self.abstained()))
        for name, read in kinds.items():
            table = table.append_column(name, pa.array(read, KIND_COLUMNS[name]))
        return table.append_column(COUNTED, pa.array(self.counted()))

    def counts(self) -> pa.Table:
        """Return one row per slide (or image): its views, and number and fraction of each class.

        Cells that the border cuts (unless `keep_border`) and views that are `left_out` count in `at_border`
        and `kind_<name>` alone. Fractions are those among the answered.
        """
        best, counted = self.numbers(), self.counted()
        cut = cells_at_border(self.table)
        slides, paths = self.strings("slide"), self.strings("path")
        keys = [
            (source, slide, "" if slide else path)
            for source, slide, path in zip(self.strings("source"), slides, paths, strict=True)
        ]
        names = sorted(set(keys))
        place = {key: number for number, key in enumerate(names)}
        slide = np.array([place[key] for key in keys], dtype=np.int64)
        table = np.zeros((len(names), len(self.classes)), dtype=np.int64)
        silent = counted & self.abstained()
        answered = counted & ~silent
        np.add.at(table, (slide[answered], best[answered]), 1)
        total = table.sum(axis=1)
        shares = table / np.maximum(total, 1)[:, None]
        columns: dict[str, Any] = {
            "source": [key[0] for key in names],
            "slide": [key[1] for key in names],
            "path": [key[2] for key in names],
            "cells": np.bincount(slide, counted, len(names)).astype(np.int64),
            "at_border": np.bincount(slide, cut, len(names)).astype(np.int64),
        }
        if self.abstains:
            columns[ABSTAINED] = np.bincount(slide, silent, len(names)).astype(np.int64)
        columns |= {f"n_{name}": table[:, number] for number, name in enumerate(self.classes)}
        columns |= {f"share_{name}": shares[:, number] for number, name in enumerate(self.classes)}
        if self.kinds is not None:
            of_kind = np.array(self.kinds.names)
            for name in (*KINDS, UNKNOWN):
                mine = np.bincount(slide[self.whole() & (of_kind == name)], minlength=len(names))
                columns[f"{KIND}_{name}"] = mine.astype(np.int64)
        return self._with_unadjusted(pa.table(columns))

    def _with_unadjusted(self, counts: pa.Table) -> pa.Table:
        """Add the counts before adjustment, as `unadjusted_n_<class>`, where there was one."""
        if self.unadjusted is None:
            return counts
        plain = replace(self, probabilities=self.unadjusted, unadjusted=None).counts()
        for name in self.classes:
            counts = counts.append_column(f"{UNADJUSTED}n_{name}", plain.column(f"n_{name}"))
        return counts


def _best(probabilities: Real, classes: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the most probable class of each row and its probability, as columns of what was not adjusted."""
    names = [classes[number] for number in probabilities.argmax(axis=1).tolist()]
    return {UNADJUSTED + PREDICTED: names, UNADJUSTED + PROBABILITY: probabilities.max(axis=1).tolist()}


def predict_embeddings(
    classifier: Classifier,
    emb: Embeddings,
    *,
    keep_border: bool = False,
    kinds: KindReader | None = None,
) -> Predictions:
    """Classify the rows of an embedding table.

    Args:
        classifier: that was fitted.
        emb: of its network.
        keep_border: as for `predict_smears`.
        kinds: predicts what is no red cell, where the table's columns or vectors allow it.

    Raises:
        RedDinoError: it is of another network, pooling, view or preprocessing, of cells of another size, or
            vectors of it are not finite.
    """
    require_same_embeddings(classifier, emb.meta)
    require_same_scale(classifier, emb.numbers("view_side"), emb.numbers("cell_diameter"))
    require_finite(emb)
    return Predictions(
        classifier.classes,
        classifier.probabilities(emb.vectors),
        emb.table,
        root=None,
        found=emb.meta.get("cells") == "found",
        dropped=0,
        data=str(emb.meta.get("data", "")),
        keep_border=keep_border,
        novelty=classifier.novelty(emb.vectors),
        kinds=kinds_of_vectors(emb, kinds) if kinds else None,
    )


def predict_smears(
    classifier: Classifier,
    encoder: ViewEncoder,
    manifest: Manifest,
    *,
    keep_border: bool = False,
    batch_size: int = 64,
    failures: Failures,
    progress: Progress | None = None,
    vectors: Path | None = None,
    kinds: KindReader | None = None,
    driver: PassDriver | None = None,
    deal: DealsPictures | None = None,
) -> Predictions:
    """Classify the cells (or images) of new smears; where no cell is marked they are found first.

    Args:
        classifier: that was fitted.
        encoder: its network.
        manifest: new smears.
        keep_border: let cells that the border of their image cuts count for their slide.
        batch_size: views that the network gets at once.
        failures: takes the images that could not be used.
        progress: called with views done and views planned.
        vectors: folder for the vectors, from which a call that was stopped continues; None: in memory alone.
        kinds: reads what is no red cell.
        driver: that has the views embedded, where there is a folder for the vectors; None: this process.
        deal: that has cells sought in the pictures; None: this process.

    Raises:
        RedDinoError: another network or scale, or nothing to classify.
    """
    require_same_network(classifier, encoder)
    find = classifier.view.kind == "cells" and not manifest.is_cell().any()
    pictures = PictureDiameters(manifest)
    if find:
        folder = None if vectors is None else vectors / "_survey"
        manifest = find_marked(manifest, classifier.view.scale, failures, pictures, folder, deal=deal)
    planned = plan(manifest, classifier.view, view_diameters(manifest, classifier.view), failures)
    require_same_scale(classifier, planned.squares["side"], planned.squares["cell_diameter"])
    embed = embedded if vectors is None else partial(embedded_in, vectors, driver=driver)
    emb = embed(
        planned, encoder, classifier.pooling, batch_size=batch_size, failures=failures, progress=progress
    )
    return Predictions(
        classifier.classes,
        classifier.probabilities(emb.vectors),
        emb.table,
        root=manifest.root,
        found=find,
        dropped=planned.dropped,
        data=manifest.fingerprint(),
        keep_border=keep_border,
        borrowed=tuple((pictures if find else planned.views).borrowed()),
        novelty=classifier.novelty(emb.vectors),
        kinds=kinds_of_cells(emb, manifest, kinds, found=find) if kinds else None,
        pictures={} if vectors is None else picture_digests(vectors),
    )


def find_marked(
    manifest: Manifest,
    scale: Scale,
    failures: Failures,
    pictures: PictureDiameters | None = None,
    folder: Path | None = None,
    *,
    deal: DealsPictures | None = None,
) -> Manifest:
    """Find the red cells by segmentation, with the diameter of their picture, as `embed` finds them.

    With scale `source` the diameter is one per source, the median over its cells; where their boxes show
    pictures of several magnifications, each has its own.

    Raises:
        RedDinoError: not one was found; or with scale `source`, pictures of a source differ too much.
    """
    found = find_all_cells(manifest, folder=folder, failures=failures, pictures=pictures, deal=deal)
    if len(found) == 0:
        raise RedDinoError(f"no red cells were found; {failures.summary()}")
    if scale == "picture":
        return found
    refuse_mixed_sources(found)
    typical = source_diameters(found)
    unmeasured = found.with_column("cell_diameter", np.full(len(found), np.nan))
    every_row = np.arange(len(found), dtype=np.int64)
    return found.with_column("cell_diameter", cell_diameters(unmeasured, typical, every_row))
