"""Whether smears lie within what a classifier or a network learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reddino.api.arguments import Advance
from reddino.classification.compare_smears import compare_smears, open_learner
from reddino.classification.domain_figure import save_domain_figure
from reddino.classification.domain_report import DomainReport
from reddino.smears.choices import Subfolders
from reddino.smears.failures import Failures
from reddino.smears.opening import Data, open_data


def compare(
    data: Data | Sequence[Data],
    model: str | Path,
    *,
    picture: str | Path | None = None,
    device: str = "auto",
    subfolders: Subfolders = "auto",
    failures: Failures | None = None,
    progress: Advance | None = None,
) -> DomainReport:
    """Compare a sample of the cells of smears with those that a classifier or a network learned from.

    Args:
        data: manifests, image files, folders or tar shards; cells are found where none is marked.
        model: a folder that `fit` made, a model folder, or a name that `models` lists.
        picture: file for a picture of cells of each source below training cells; None: no picture.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        subfolders: what those of a folder of images stand for; `auto`: what their names look like.
        failures: takes the images that could not be used.
        progress: called with views done and views planned.

    Returns:
        A verdict for each source and slide, with one sentence; no verdicts, and a note, where nothing is kept
        of what was learned from.

    Raises:
        RedDinoError: neither a classifier nor a model, or no cells to compare.
    """
    failures = Failures() if failures is None else failures
    manifest = open_data(data, failures, subfolders=subfolders)
    report = compare_smears(manifest, open_learner(model, device), failures=failures, progress=progress)
    if picture is not None:
        save_domain_figure(report, Path(picture))
    return report
