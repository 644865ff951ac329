"""The sizes of pixels by which a run measures its patches."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from reddino.pretraining.run.recipe import Recipe
from reddino.smears.manifest import Manifest
from reddino.smears.pixel_sizes import require_pixel_sizes

log = logging.getLogger(__name__)


def patch_pixel_sizes(recipe: Recipe, manifest: Manifest) -> NDArray[np.float64] | None:
    """Return the micrometres of a pixel by row of a manifest; None where patches need none.

    Raises:
        RedDinoError: patches in micrometres, and a picture of which it is not known.
    """
    if recipe.data.patch_unit != "um":
        return None
    found = require_pixel_sizes(manifest, "patches")
    log.warning("patches of %g um: %s", recipe.data.patch_side, found.sentence())
    return found.um[manifest.images()[1]]
