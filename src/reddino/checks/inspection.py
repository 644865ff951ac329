"""Inspection of a collection before anything is computed: every check of rows and pictures, in one list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reddino.checks.coordinates import coordinates_below_a_pixel
from reddino.checks.copies import CopyCheck
from reddino.checks.diameters import diameters_and_boxes, sizes_of_pixels
from reddino.checks.frames import RemainingFrames, frames_of_sample
from reddino.checks.spelling import check_columns, check_repeats, check_values
from reddino.rbc.magnification import mixed_magnifications
from reddino.rbc.measured_scales import MeasuredScales
from reddino.smears.decode import ImageError, decode_image
from reddino.smears.failures import Failures
from reddino.smears.findings import Finding
from reddino.smears.identities import in_several_sources, in_several_splits, of_two_owners
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.smears.slides.identity import slides_under_several_names


class PictureCheck(Protocol):
    """A check that sees each picture of a collection once, in the order of the manifest."""

    def see(self, number: int, path: str, image: NDArray[np.uint8]) -> None:
        """Take the picture `number`, (H, W, 3) uint8 RGB, with its path as it stands in the manifest."""

    def findings(self) -> Iterable[Finding]:
        """Yield the findings once all pictures were seen."""


#: Checks of the table alone: fast, done by `check`, `embed`, `fit` and `evaluate`.
ROW_CHECKS: tuple[Callable[[Manifest], Iterable[Finding]], ...] = (
    in_several_sources,
    of_two_owners,
    in_several_splits,
    check_values,
    check_columns,
    check_repeats,
    coordinates_below_a_pixel,
    diameters_and_boxes,
    sizes_of_pixels,
    mixed_magnifications,
    frames_of_sample,
    slides_under_several_names,
)
#: Checks that see pixels: done by `check` in one pass that decodes each picture once.
PICTURE_CHECKS: tuple[Callable[[Manifest], PictureCheck], ...] = (
    CopyCheck,
    RemainingFrames,
    MeasuredScales,
)


def inspect_rows(manifest: Manifest) -> tuple[Finding, ...]:
    """Run every check of the rows of a manifest, after the findings of its reading."""
    return (*manifest.findings, *(finding for check in ROW_CHECKS for finding in check(manifest)))


def inspect_pictures(
    manifest: Manifest, failures: Failures, progress: Callable[[int, int], None] | None = None
) -> tuple[Finding, ...]:
    """Decode each picture once and show it to every check; memory does not grow with their pixels.

    Args:
        manifest: of the pictures.
        failures: takes the pictures that cannot be decoded.
        progress: called with pictures seen and pictures in all.
    """
    checks = [check(manifest) for check in PICTURE_CHECKS]
    readings = Readings(manifest.table)
    paths = manifest.images()[0]
    for number, path in enumerate(paths):
        try:
            image = decode_image(manifest.root / path, **readings.of(path))
        except ImageError as error:
            failures.add(error.path, error.reason)
        else:
            for check in checks:
                check.see(number, path, image)
        if progress:
            progress(number + 1, len(paths))
    return tuple(finding for check in checks for finding in check.findings())


def unusable(failures: Failures) -> tuple[Finding, ...]:
    """Yield what could not be used, as a finding; nothing where everything could."""
    if not failures.count:
        return ()
    path, reason = next(iter(failures))
    what = "1 picture or entry" if failures.count == 1 else f"{failures.count:,} pictures or entries"
    return (
        Finding(
            "unusable",
            f"{what} that cannot be used, left out of whatever is computed; the first: {reason}",
            failures.count,
            path,
        ),
    )
