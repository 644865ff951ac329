"""What each measure of the batch effect means, in one sentence, and which way is good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Wanted = Literal["low", "high"]

_PROBE = "How well a probe names the {} of a cell from groups it never saw; {}"
MEANINGS = {
    "source told": _PROBE.format("source", "high: the laboratory is written all over the embedding."),
    "slide told": _PROBE.format("slide", "high: stain and light of single slides are in it."),
    "patient told": _PROBE.format("patient", "high: single patients or their slides are in it."),
    "class told": _PROBE.format("class", "high: the embedding holds what is to be predicted."),
    "source silhouette": "How far sources lie apart as clusters; high: cells stand by laboratory, 0: not.",
    "class silhouette": "How far classes lie apart as clusters; high: cells stand by class, about 0: not.",
    "iLISI": "Sources in the neighbourhood of a cell, effectively; 1: its own alone, high: all are mixed.",
    "cLISI": "Classes in the neighbourhood of a cell, effectively; 1: its own alone, high: all are mixed.",
    "kBET": "Share of neighbourhoods whose mix of sources is not that of all cells; high: a batch effect.",
    "kBET within class": "kBET among the cells of each class: sources that hold other classes do not count.",
    "variance by source": "Share of variance between sources (eta^2, PERMANOVA's R^2); high: a batch effect.",
    "variance by class": "Share of variance between classes (eta^2); high: classes shape the embedding.",
    "source within class": "Share of variance that the source adds to the class; high: a batch effect.",
    "source / class distance": (
        "Distance of one cell's pictures under two sources over that of two classes in one source; "
        "above 1: the laboratory moves a cell farther than its class does."
    ),
}
WANTED: Mapping[str, Wanted] = {
    name: "high" if name in ("class told", "class silhouette", "iLISI", "variance by class") else "low"
    for name in MEANINGS
}
