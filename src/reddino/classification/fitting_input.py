"""Whether embeddings, a network or smears are what a classifier was made for; refusals in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.classification.classifier import Classifier
from reddino.embedding.comparable import in_short, same_settings
from reddino.embedding.view_encoder import ViewEncoder, preprocessing
from reddino.foundations.errors import RedDinoError

#: Cells may be this much larger or smaller, in pixels, than those that a classifier learned on.
SCALE_TOLERANCE = 1.25
#: Whole images are crops of all sizes; only another kind of picture (a field for a cell) is refused.
IMAGE_TOLERANCE = 2.0


def require_same_embeddings(classifier: Classifier, meta: Mapping[str, Any]) -> None:
    """Refuse an embedding table of another network, pooling, view or preprocessing.

    Raises:
        RedDinoError: names the first difference, with both values.
    """
    wanted = {
        "the network's weights": (classifier.weights_hash, meta.get("weights_hash")),
        "the pooling": (classifier.pooling, meta.get("pooling")),
        "the view": (classifier.view.metadata(), meta.get("view")),
        "the preprocessing": (dict(classifier.preprocessing), meta.get("preprocessing")),
        "a row": ("view", meta.get("per", "view")),
    }
    for name, (own, other) in wanted.items():
        if not same_settings(own, other):
            raise RedDinoError(
                f"these embeddings do not fit the classifier: {name} is {in_short(other, own)}, it learned "
                f"on {in_short(own, other)}; embed the smears that way, or give predict their manifest"
            )


def require_same_network(classifier: Classifier, encoder: ViewEncoder) -> None:
    """Refuse another network than the one that the classifier was fitted on.

    Raises:
        RedDinoError: its weights or its preprocessing differ.
    """
    if encoder.weights_hash != classifier.weights_hash:
        raise RedDinoError(
            f"the classifier was fitted on a network with weights {classifier.weights_hash} "
            f"('{classifier.model}'), and '{encoder.name}' has {encoder.weights_hash}; give --model its own"
        )
    own, other = dict(classifier.preprocessing), preprocessing(encoder)
    if not same_settings(own, other):
        raise RedDinoError(
            f"'{encoder.name}' prepares its views otherwise ({in_short(other, own)}) than the classifier "
            f"learned ({in_short(own, other)}); use the version of RedDino that made it"
        )


def require_same_scale(
    classifier: Classifier, sides: npt.NDArray[np.float64], diameters: npt.NDArray[np.float64]
) -> None:
    """Refuse smears whose cells, or images, have another size in pixels than those that were learned.

    Views in cell diameters follow the cells, and need no such check.

    Args:
        classifier: that is to be applied.
        sides: (n,) of the planned views in pixels.
        diameters: (n,) red-cell diameters of their images in pixels; NaN where not known.

    Raises:
        RedDinoError: names both sizes.
    """
    view = classifier.view
    if view.kind == "image" and classifier.side_px is not None:
        found = float(np.median(sides))
        if not 1 / IMAGE_TOLERANCE <= found / classifier.side_px <= IMAGE_TOLERANCE:
            raise RedDinoError(
                f"these images are {found:.0f} px wide, where the classifier learned on crops of "
                f"{classifier.side_px:.0f} px; give it crops of that scale"
            )
    known = diameters[np.isfinite(diameters)]
    if view.unit == "px" and classifier.pixels_a_cell is not None and len(known):
        found = float(np.median(known))
        if not 1 / SCALE_TOLERANCE <= found / classifier.pixels_a_cell <= SCALE_TOLERANCE:
            raise RedDinoError(
                f"red cells are {found:.0f} px across here, where the classifier learned on cells of "
                f"{classifier.pixels_a_cell:.0f} px; fit one on views in cell diameters, or rescale these"
            )
