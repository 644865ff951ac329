"""The views of a manifest as pixels on disk or as vectors in memory, with what a table would say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reddino.embed.ahead import ahead
from reddino.embed.encoder import Encoder, Images, Vectors, preprocessing
from reddino.embed.parts import Batch, PartPlan
from reddino.embed.table import Embeddings
from reddino.errors import RedDinoError
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.views import ViewSpec, plan_views

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """Views that can be cut.

    Attributes:
        parts: the plan of the pass, image by image.
        view: what is cut.
        dropped: views that were left out since they leave their image.
    """

    parts: PartPlan
    view: ViewSpec
    dropped: int

    def __len__(self) -> int:
        return len(self.parts.views)

    def table(self, numbers: np.typing.NDArray[np.int64]) -> pa.Table:
        """The manifest's columns and the places of some views."""
        return self.parts.columns(numbers)


def plan(
    manifest: Manifest, view: ViewSpec, diameters: Mapping[str, float] | None, failures: Failures
) -> Plan:
    """Plan the views; `diameters` as for `embed_manifest`.

    Raises:
        RedDinoError: there is nothing to cut.
    """
    views = plan_views(manifest, view, diameters=diameters, failures=failures)
    dropped = int(views.dropped.sum())
    if len(views) == 0:
        reason = f"all {dropped} views reach past their images" if dropped else failures.summary()
        raise RedDinoError(f"there is nothing to look at: {reason}")
    return Plan(PartPlan.deal(manifest, views, len(views)), view, dropped)


def batches(plan: Plan, batch_size: int, failures: Failures) -> Any:
    """Batches of the planned views, cut in a background thread; images that fail go to `failures`."""
    with closing(ahead(plan.parts.cut(range(plan.parts.parts), batch_size))) as work:
        for item in work:
            if isinstance(item, Batch):
                yield item
            else:
                for path, reason in item.failures:
                    failures.add(path, reason)


def describe(encoder: Encoder, plan: Plan, pooling: str) -> dict[str, Any]:
    """What an embedding table would say of these vectors."""
    return {
        "model": encoder.name,
        "opens_as": encoder.name,
        "weights_hash": encoder.weights_hash,
        "pooling": pooling,
        "preprocessing": preprocessing(encoder),
        "view": plan.view.metadata(),
        "data": plan.parts.manifest.fingerprint(),
        "plan": plan.parts.fingerprint(),
    }


def embedded(
    plan: Plan,
    encoder: Encoder,
    pooling: str,
    *,
    batch_size: int = 64,
    failures: Failures,
    progress: Progress | None = None,
) -> Embeddings:
    """All views through an encoder.

    Raises:
        RedDinoError: no image could be read.
    """
    numbers: list[np.typing.NDArray[np.int64]] = []
    vectors: list[Vectors] = []
    for batch in batches(plan, batch_size, failures):
        numbers.append(batch.views)
        vectors.append(encoder.embed(batch.images, pooling))
        if progress:
            progress(int(batch.views[-1]) + 1, len(plan))
    if not numbers:
        raise RedDinoError(f"no image could be read: {failures.summary()}")
    rows = np.concatenate(numbers)
    return Embeddings(np.concatenate(vectors), plan.table(rows), describe(encoder, plan, pooling))


def cut_to_file(
    plan: Plan, file: Path, *, failures: Failures, progress: Progress | None = None
) -> tuple[np.typing.NDArray[np.int64], Images]:
    """Cut all views into one file, so that memory stays flat; their numbers (n,), and pixels (n, s, s, 3).

    Raises:
        RedDinoError: no image could be read.
    """
    side = plan.view.output
    pixels = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(len(plan), side, side, 3))
    numbers: list[np.typing.NDArray[np.int64]] = []
    done = 0
    for batch in batches(plan, 256, failures):
        pixels[done : done + len(batch.views)] = batch.images
        numbers.append(batch.views)
        done += len(batch.views)
        if progress:
            progress(done, len(plan))
    if not numbers:
        raise RedDinoError(f"no image could be read: {failures.summary()}")
    return np.concatenate(numbers), pixels[:done]
