"""The size of a pixel of each picture, in micrometres: by the manifest, else by its own file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.smears.column_names import UM_PER_PX
from reddino.smears.failures import ImageError
from reddino.smears.formats.reasons import reasons
from reddino.smears.manifest import Manifest
from reddino.smears.slides.names import TIFF, split_slide
from reddino.smears.slides.opening import opened
from reddino.smears.slides.tiff_levels import find_levels
from reddino.smears.stored_pictures import open_picture_header, require_picture_url

#: Micrometres of a pixel beyond which a column holds something else, such as nanometres or pixels.
LEAST_UM, MOST_UM = 0.005, 50.0


@dataclass(frozen=True)
class PixelSizes:
    """Sizes of the pixels of the pictures of a manifest.

    Attributes:
        um: (m,) micrometres of a pixel of each image; NaN where neither the manifest nor the file has it.
        given: how many of them the manifest gives, and their files do not.
    """

    um: NDArray[np.float64]
    given: int

    def sentence(self) -> str:
        """Return which scale is used and why, for the user."""
        known = self.um[~np.isnan(self.um)]
        low, high = float(known.min()), float(known.max())
        sizes = f"{low:.4g}" if math.isclose(low, high, rel_tol=1e-3) else f"{low:.4g} to {high:.4g}"
        stated = len(known) - self.given
        origins = [
            f"of {counted(self.given, 'picture')} by the column um_per_px" if self.given else "",
            f"of {counted(stated, 'picture')} by their files" if stated else "",
        ]
        return f"a pixel is {sizes} um, {' and '.join(origin for origin in origins if origin)}"


def pixel_sizes(manifest: Manifest) -> PixelSizes:
    """Return the size of a pixel of each image of a manifest.

    Raises:
        RedDinoError: a value of `um_per_px` that is no size, or two of one image.
    """
    names, codes = manifest.images()
    um = _given(manifest, len(names), codes)
    known = ~np.isnan(um)
    given = int(known.sum())
    files: dict[tuple[Path, int | None], float | None] = {}
    for number, name in enumerate(names):
        part = split_slide(manifest.root / name)
        if known[number] and part is None:
            continue
        # Regions have the size that their file states in the column, unless the manifest gave another.
        key = (manifest.root / name, None) if part is None else (part.file, part.scene)
        if key not in files:
            files[key] = stated_um_per_px(manifest.root / name)
        stated = files[key]
        if stated is None:
            continue
        if not known[number]:
            um[number] = stated
        elif math.isclose(um[number], stated, rel_tol=1e-5):
            given -= 1
    return PixelSizes(um, given)


def require_pixel_sizes(manifest: Manifest, what: str = "views") -> PixelSizes:
    """Return the size of a pixel of each image, all of them known.

    Args:
        manifest: of the images.
        what: is measured in micrometres, for the error.

    Raises:
        RedDinoError: names the first picture without one; or as `pixel_sizes`.
    """
    found = pixel_sizes(manifest)
    unknown = np.flatnonzero(np.isnan(found.um))
    if len(unknown):
        name = manifest.images()[0][int(unknown[0])]
        more = f" ({len(unknown)} pictures have none in all)" if len(unknown) > 1 else ""
        raise RedDinoError(
            f"{what} in micrometres need the size of a pixel, and {name} has none{more}: fill column "
            f"um_per_px of a manifest, or measure {what} in diameters of red cells"
        )
    return found


def as_pixel_size(text: str) -> float:
    """Return the micrometres of a pixel that a text states; NaN where they are none."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if LEAST_UM <= value <= MOST_UM else math.nan


def stated_um_per_px(path: Path) -> float | None:
    """Return the micrometres of a pixel that a microscope file or a TIFF states; None without one."""
    part = split_slide(path)
    try:
        if part is not None:
            with opened(part.file, part.scene or 0) as reader:
                return reader.um_per_px
        if path.name.lower().endswith(TIFF):
            with reasons(path), _open_header(path) as file:
                return find_levels(path, file).um_per_px
    except ImageError:
        return None  # decoding it reports what is wrong with it
    return None


def _open_header(path: Path) -> IO[bytes]:
    url = require_picture_url(path)
    return path.open("rb") if url is None else open_picture_header(path, url)


def _given(manifest: Manifest, images: int, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what the manifest gives of each image (m,); NaN where it gives nothing."""
    um = np.full(images, np.nan)
    if UM_PER_PX not in manifest.table.column_names:
        return um
    for row, text in enumerate(manifest.strings(UM_PER_PX)):
        if not text:
            continue
        value = as_pixel_size(text)
        if math.isnan(value):
            raise RedDinoError(
                f"{manifest.place(row)}, column um_per_px: '{text[:40]}' is no size of a pixel; give "
                "micrometres, such as 0.1"
            )
        known = um[codes[row]]
        if not np.isnan(known) and known != value:
            raise RedDinoError(
                f"{manifest.place(row)} has um_per_px {value:g}, and {known:g} in another row; give each "
                "picture one"
            )
        um[codes[row]] = value
    return um
