"""Inspection of a collection before anything is computed: every check of rows and pictures, in one list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reddino.smears.decode import ImageError, decode_image
from reddino.smears.failures import Failures
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest


class PictureCheck(Protocol):
    """A check that sees each picture of a collection once, in the order of the manifest."""

    def see(self, number: int, path: str, image: NDArray[np.uint8]) -> None:
        """Take the picture `number`, (H, W, 3) uint8 RGB, with its path as it stands in the manifest."""

    def findings(self) -> Iterable[Finding]:
        """What was found once all pictures were seen."""


#: Checks of the table alone: fast, done by `check`, `embed`, `fit` and `evaluate`.
ROW_CHECKS: tuple[Callable[[Manifest], Iterable[Finding]], ...] = ()
#: Checks that see pixels: done by `check` in one pass that decodes each picture once.
PICTURE_CHECKS: tuple[Callable[[Manifest], PictureCheck], ...] = ()


def inspect_rows(manifest: Manifest) -> tuple[Finding, ...]:
    """What reading the manifest found, and every check of its rows."""
    return (*manifest.findings, *(finding for check in ROW_CHECKS for finding in check(manifest)))


def inspect_pictures(manifest: Manifest, failures: Failures) -> tuple[Finding, ...]:
    """Decode each picture once and show it to every check; memory does not grow with their number.

    Args:
        failures: takes the pictures that cannot be decoded.
    """
    checks = [check(manifest) for check in PICTURE_CHECKS]
    for number, path in enumerate(manifest.images()[0]):
        try:
            image = decode_image(manifest.root / path)
        except ImageError as error:
            failures.add(error.path, error.reason)
            continue
        for check in checks:
            check.see(number, path, image)
    return tuple(finding for check in checks for finding in check.findings())
