"""Smears compared with what a classifier or a network learned from, by a sample of their cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reddino.classification.classifier import DESCRIPTION, Classifier, model_of, open_classifier
from reddino.classification.domain_report import (
    SLIDE_PICTURES,
    SOURCE_PICTURES,
    DomainReport,
    domain_report,
)
from reddino.classification.looks import sampled
from reddino.classification.planned_views import Progress, embedded, plan
from reddino.classification.predict import find_marked
from reddino.classification.training_cells import TrainingCells, open_training_cells
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.open_encoder import open_encoder
from reddino.embedding.view_encoder import ViewEncoder
from reddino.networks.shipped import as_folder
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.scales import view_diameters
from reddino.views.spec import DEFAULT_SIDES, ViewSpec, make_view

#: Marked cells of each picture that are embedded.
MOST_CELLS = 24
#: What a network's training cells are called.
PRETRAINING = "pretraining cells"


@dataclass(frozen=True)
class Learner:
    """A classifier or a network, and what is kept of the cells that it learned from.

    Attributes:
        encoder: its network.
        view, pooling: how it sees cells.
        kept: of its training cells; None: nothing.
        learned, maker: what they, and it, are called.
    """

    encoder: ViewEncoder
    view: ViewSpec
    pooling: str
    kept: TrainingCells | None
    learned: str
    maker: str

    def called(self) -> dict[str, Any]:
        """Return the names of what learned as `domain_report` takes them; of a network none is the user's."""
        return {"learned": self.learned, "maker": self.maker, "known": self.learned != PRETRAINING}


def open_learner(name: str | Path, device: str = "auto") -> Learner:
    """Open a classifier's folder, or a network by its folder or name.

    Raises:
        RedDinoError: it is neither.
    """
    if (Path(name) / DESCRIPTION).is_file():
        classifier: Classifier = open_classifier(name)
        network = model_of(classifier, Path(name))
        encoder = open_encoder(network, image_size=classifier.view.output, device=device, precision="fp32")
        return Learner(
            encoder,
            classifier.view,
            classifier.pooling,
            classifier.training,
            "training cells",
            "the classifier",
        )
    encoder = open_encoder(str(name), device=device, precision="fp32")
    side, unit = DEFAULT_SIDES["cells"]
    view = make_view(kind="cells", side=side, unit=unit, scale="picture", output=encoder.input_size)
    kept = kept_by_network(str(name), encoder)
    return Learner(encoder, view, "cls", kept, PRETRAINING, f"'{name}'")


def kept_by_network(name: str, encoder: ViewEncoder) -> TrainingCells | None:
    """Return what a model's folder keeps of its pretraining cells; None where it keeps nothing."""
    folder = Path(as_folder(name))
    return open_training_cells(folder, encoder.weights_hash) if folder.is_dir() else None


def compare_smears(
    manifest: Manifest, learner: Learner, *, failures: Failures, progress: Progress | None = None
) -> DomainReport:
    """Compare a sample of the cells of smears with what was learned from.

    Args:
        manifest: smears, whose cells are found where none is marked.
        learner: a classifier or network.
        failures: takes the images that could not be used.
        progress: called with views done and views planned.

    Raises:
        RedDinoError: there is nothing to compare.
    """
    if learner.kept is None:
        return domain_report(manifest.table, learner.view, None, None, None, **learner.called())
    sample = sample_of(manifest)
    if learner.view.kind == "cells" and not sample.is_cell().any():
        sample = find_marked(sample, learner.view.scale, failures)
        sample = sample_of(sample)
    planned = plan(sample, learner.view, view_diameters(sample, learner.view), failures)
    emb = embedded(planned, learner.encoder, learner.pooling, failures=failures, progress=progress)
    return compare_embeddings(emb, learner.kept, manifest.root, **learner.called())


def compare_embeddings(
    emb: Embeddings, kept: TrainingCells | None, root: Path | None, **named: Any
) -> DomainReport:
    """Compare embedded cells with what was learned from; names as for `domain_report`."""
    novelty = None if kept is None or kept.novelty is None else kept.novelty.score(emb.vectors)
    return domain_report(emb.table, ViewSpec(**emb.meta["view"]), kept, novelty, root, **named)


def sample_of(manifest: Manifest) -> Manifest:
    """Return some pictures of each slide, or of each source that names none, with some of their cells."""
    slides = manifest.strings("slide")
    units = list(zip(manifest.strings("source"), slides, strict=True))
    pictures = SLIDE_PICTURES if any(slides) else SOURCE_PICTURES
    rows = sampled(units, manifest.strings("path"), pictures, MOST_CELLS, 0)
    return manifest.select(np.sort(rows))
