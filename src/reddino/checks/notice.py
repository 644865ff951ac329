"""Report once what is odd about a collection, before anything is computed from it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from reddino.checks.inspection import inspect_rows
from reddino.smears.findings import joined, short_form
from reddino.smears.manifest import Manifest

log = logging.getLogger(__name__)

#: Takes a sentence for the user.
Notice = Callable[[str], None]


def mention_findings(manifests: Iterable[Manifest], notice: Notice | None = None) -> None:
    """Report, in short, what is odd about the rows of collections.

    Args:
        manifests: of the collections; their findings are joined into one sentence.
        notice: takes the sentence; None logs it as a warning.
    """
    sentence = short_form(joined(inspect_rows(manifest) for manifest in manifests))
    if sentence:
        (notice or log.warning)(sentence)
