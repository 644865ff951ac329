"""The pass: every planned view of a manifest through an encoder and into an embedding table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from reddino.embed.ahead import ahead
from reddino.embed.encoder import Encoder, Vectors, arithmetic, preprocessing
from reddino.embed.parts import Batch, PartPlan, Rows, note, relative_failures
from reddino.embed.table import TableWriter, read_part_record
from reddino.errors import RedDinoError
from reddino.provenance import provenance
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.views import ViewSpec, plan_views

Progress = Callable[[int, int], None]
FAILURES_FILE = "failures.csv"


@dataclass(frozen=True)
class EmbedReport:
    """What a pass did.

    Attributes:
        rows: views in the table.
        images: images that the plan asks for.
        failed: images that could not be used; they stand in the table's failures.csv.
        dropped: views that were left out since they leave their image.
        resumed: rows that an earlier, interrupted pass had written.
        seconds: wall time of this pass, without planning.
    """

    rows: int
    images: int
    failed: int
    dropped: int
    resumed: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Speed of this pass."""
        return (self.rows - self.resumed) / max(self.seconds, 1e-9)


def embed_manifest(
    manifest: Manifest,
    encoder: Encoder,
    out: str | Path,
    *,
    view: ViewSpec,
    pooling: str = "cls",
    batch_size: int = 64,
    diameters: Mapping[str, float] | None = None,
    failures: Failures | None = None,
    progress: Progress | None = None,
    part_rows: int = 4096,
    dtype: Literal["float32", "float16"] = "float32",
    name: str | None = None,
) -> EmbedReport:
    """Embed every view of a manifest.

    Rows come in the order of the plan, image by image. The table grows in parts of whole images; this call
    takes a pass that died up again after the parts that it finished. Views are cut in a background thread.

    Args:
        manifest: images and cells.
        encoder: a model or a baseline; its input size must be the view's output.
        out: folder of the table.
        view: what is cut.
        pooling: which output is the embedding.
        batch_size: views the encoder gets at once.
        diameters: red-cell diameter in pixels by source, for views in diameters.
        failures: filled with the images that could not be used, by their path in the manifest.
        progress: called with views done and views planned.
        part_rows: rows of a part, up to the next whole image.
        dtype: of the stored vectors.
        name: what tables call the model; None takes the encoder's own name.

    Raises:
        RedDinoError: nothing to embed, sizes that do not fit, or a folder that holds another table.
    """
    if view.output != encoder.input_size:
        raise RedDinoError(
            f"{encoder.name} takes views of {encoder.input_size} px, but the view has output {view.output}: "
            f"set output to {encoder.input_size}."
        )
    unreadable, failed = Failures(), Failures()
    views = plan_views(manifest, view, diameters=diameters, failures=unreadable)
    note(failed, relative_failures(unreadable, manifest))
    plan = PartPlan.deal(manifest, views, part_rows)
    _require_views(plan, failed)

    layout = {"dtype": dtype, "part_rows": part_rows, "parts": plan.parts}
    meta = _describe_encoder(encoder, view, pooling, name) | _describe_data(plan, encoder, view) | layout
    writer = TableWriter(Path(out), meta)
    resumed = 0
    for path in writer.finished.values():
        record = read_part_record(path)
        resumed += record.rows
        note(failed, record.failures)

    started = time.perf_counter()
    written = _embed_parts(plan, encoder, writer, batch_size, failed=failed, progress=progress)
    seconds = time.perf_counter() - started
    failed.write(writer.folder / FAILURES_FILE)
    if failures is not None:
        note(failures, list(failed))
    if resumed + written == 0:
        raise RedDinoError(f"No image could be embedded: {failed.summary()}")
    dropped = int(views.dropped.sum())
    unusable = len({path for path, _ in failed})
    return EmbedReport(resumed + written, plan.images, unusable, dropped, resumed, seconds)


def _embed_parts(
    plan: PartPlan,
    encoder: Encoder,
    writer: TableWriter,
    batch_size: int,
    *,
    failed: Failures,
    progress: Progress | None,
) -> int:
    """Embed and write the parts that the table lacks; returns the rows written."""
    waiting = [part for part in range(plan.parts) if part not in writer.finished]
    pooling = writer.meta["pooling"]
    # One empty piece each, so that a part whose images all failed still has a shape.
    no_rows, no_vectors = np.empty(0, np.int64), np.empty((0, int(writer.meta["dim"])), np.float32)
    rows: list[Rows] = [no_rows]
    vectors: list[Vectors] = [no_vectors]
    written = 0
    with closing(ahead(plan.cut(waiting, batch_size))) as work:
        for item in work:
            if isinstance(item, Batch):
                rows.append(item.views)
                vectors.append(encoder.embed(item.images, pooling))
                done = int(item.views[-1]) + 1
            else:
                numbers = np.concatenate(rows)
                writer.write(item.part, plan.columns(numbers), np.concatenate(vectors), item.failures)
                note(failed, item.failures)
                written += len(numbers)
                rows, vectors = [no_rows], [no_vectors]
                done = int(plan.bounds[item.part + 1])
            if progress:
                progress(done, len(plan.views))
    return written


def _require_views(plan: PartPlan, failed: Failures) -> None:
    if len(plan.views) == 0:
        dropped = int(plan.views.dropped.sum())
        reason = (
            f"all {dropped} views reach past their images, and border is 'drop'"
            if dropped
            else failed.summary()
        )
        raise RedDinoError(f"There is nothing to embed: {reason}")


def _describe_encoder(encoder: Encoder, view: ViewSpec, pooling: str, name: str | None) -> dict[str, Any]:
    """What the table says of the network. Embeds one blank view, which shows the vectors' length."""
    blank = np.zeros((1, view.output, view.output, 3), dtype=np.uint8)
    return {
        "model": name or encoder.name,
        "opens_as": encoder.name,
        "weights_hash": encoder.weights_hash,
        "pooling": pooling,
        "preprocessing": preprocessing(encoder),
        **arithmetic(encoder),
        "dim": int(encoder.embed(blank, pooling).shape[1]),
    }


def dropped_by_label(plan: PartPlan) -> dict[str, int]:
    """Views that were left out since they leave their image, counted by the label of their row."""
    counts: Counter[str] = Counter()
    labels = plan.manifest.strings("label")
    for row in np.flatnonzero(plan.views.dropped).tolist():
        counts[labels[row]] += int(plan.views.dropped[row])
    return dict(sorted(counts.items()))


def _describe_data(plan: PartPlan, encoder: Encoder, view: ViewSpec) -> dict[str, Any]:
    """What the table says of the views, and where it came from."""
    data = plan.manifest.fingerprint()
    seed = view.seed if view.kind == "random" else None
    return {
        "view": view.metadata(),
        "data": data,
        "plan": plan.fingerprint(),
        "dropped": dropped_by_label(plan),
        "provenance": provenance(seed=seed, data=data, model=encoder.weights_hash),
    }
