"""The runtime of an embedding pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reddino.embedding.part_files import finished_parts, read_meta
from reddino.embedding.runtimes.check import planned_views, sample_views
from reddino.embedding.runtimes.choice import use_runtime
from reddino.embedding.view_encoder import ViewEncoder
from reddino.foundations.stages import stage
from reddino.networks.encoder import Encoder as Network
from reddino.smears.manifest import Manifest
from reddino.views.scales import Diameters
from reddino.views.spec import ViewSpec


@dataclass(frozen=True)
class WholePass:
    """A longer pass that a short one is a sample of, which has to run as the longer one would.

    Attributes:
        views: of the longer pass.
        choice: record of the runtime that was chosen for it; None: it is to be chosen.
    """

    views: int
    choice: Mapping[str, Any] | None = None


def put_in_runtime(
    encoder: ViewEncoder,
    manifest: Manifest,
    view: ViewSpec,
    diameters: Diameters | None,
    out: Path,
    *,
    runtime: str,
    precision: str,
    compiled: bool,
    pooling: str,
    whole: WholePass | None = None,
) -> None:
    """Choose the runtime of a pass on views of its own data; a continued pass keeps the one it began with.

    A sample of a longer pass (`whole`) gets the runtime of that one: few views are not worth comparing for.

    Raises:
        RedDinoError: options that are not known, exclude one another, or need an extra.
    """
    if not isinstance(encoder, Network):
        return
    begun = read_meta(out) if finished_parts(out) else {}
    if begun.get("weights_hash") != encoder.weights_hash:
        begun = {}  # the table of something else, which the pass will refuse
    if runtime == "auto" and not compiled:
        runtime = begun.get("runtime", runtime)
    if precision == "auto":
        precision = begun.get("precision", precision)
    encoder.check_pooling(pooling)
    choice = begun.get("runtime_check") if whole is None else whole.choice
    views = planned_views(manifest, view, diameters) if whole is None else whole.views
    with stage("choosing the runtime"):
        use_runtime(
            encoder,
            runtime,
            precision,
            compiled=compiled,
            sample=sample_views(manifest, view, diameters),
            pooling=pooling,
            views=views * encoder.orientations,
            begun=choice,
        )
