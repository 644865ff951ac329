"""Tables for the terminal that say what a manifest holds and which models are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.table import Table

from reddino.inputs import KnownModel
from reddino.smears.manifest import Manifest

#: With more sources than this, labels are counted over all of them together.
MOST_SOURCES = 8


def source_table(manifest: Manifest) -> Table:
    """Images, cells, slides, patients and the median cell diameter of each source."""
    table = Table(title="sources")
    table.add_column("source")
    for name in ("images", "cells", "slides", "patients", "cell diameter (px)"):
        table.add_column(name, justify="right")
    sources = np.array(manifest.strings("source"), dtype=object)
    for source in sorted(set(sources.tolist())):
        part = manifest.select(sources == source)
        diameters = part.numbers("cell_diameter")
        known = diameters[~np.isnan(diameters)]
        table.add_row(
            source or "(none)",
            str(len(part.images()[0])),
            str(int(part.is_cell().sum())),
            *(str(len(set(part.strings(name)) - {""}) or "-") for name in ("slide", "patient")),
            f"{np.median(known):.1f}" if len(known) else "-",
        )
    return table


def label_table(manifest: Manifest) -> Table:
    """Rows of each label, by source where there are few sources."""
    labels, sources = manifest.strings("label"), manifest.strings("source")
    counts = Counter(zip(labels, sources, strict=True))
    totals = Counter(labels)
    names = sorted(set(sources)) if 1 < len(set(sources)) <= MOST_SOURCES else []
    table = Table(title="labels")
    table.add_column("label")
    for name in ("rows", *names):
        table.add_column(name or "(none)", justify="right")
    for label, total in totals.most_common():
        by_source = [str(counts[label, name] or "-") for name in names]
        table.add_row(label or "(none)", str(total), *by_source)
    return table


def model_table(models: Sequence[KnownModel]) -> Table:
    """Names of models, and where their weights come from."""
    table = Table(title="models")
    table.add_column("name", no_wrap=True)
    table.add_column("weights")
    for model in models:
        table.add_row(model.name, model.weights)
    return table
