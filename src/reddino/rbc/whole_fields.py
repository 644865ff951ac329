"""Whether pictures show whole fields of a smear, or single cells."""

from __future__ import annotations

import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.rbc.finding import find_cells
from reddino.smears.decode import decode_image, image_size
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings

#: Pictures that are looked at, and red cells that make one a field.
SAMPLE, CELLS = 3, 4
#: Longest side in pixels of a crop of one cell, and of what must be more.
CROP, FIELD = 96, 2048


def shows_whole_fields(manifest: Manifest) -> bool:
    """Return whether most of three pictures, spread over a manifest, show several red cells each."""
    names = manifest.images()[0]
    places = np.unique(np.linspace(0, len(names) - 1, SAMPLE).round().astype(np.int64))
    readings = Readings(manifest.table)
    fields, seen = 0, 0
    for name in (names[place] for place in places.tolist()):
        path = manifest.root / name
        try:
            longest = max(image_size(path))
            if CROP < longest < FIELD:
                fields += len(find_cells(decode_image(path, **readings.of(name)))) >= CELLS
            else:
                fields += longest >= FIELD
        except RedDinoError:
            continue
        seen += 1
    return 2 * fields > seen
