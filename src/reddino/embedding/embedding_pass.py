"""The pass: every view of a manifest through an encoder and into an embedding table."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reddino.embedding.batches import Dealer, Forecast
from reddino.embedding.choices import Per, StoredType
from reddino.embedding.growth import Growth, holds_border, note_pictures, plan_hash
from reddino.embedding.kinds import KIND_COLUMNS, KindReader, require_kind_views
from reddino.embedding.open_part import PartEnd, relative_failures
from reddino.embedding.output_writer import OutputWriter
from reddino.embedding.pass_drivers import OneProcess, PassDriver, PassWork
from reddino.embedding.replaced_pictures import require_same_pictures
from reddino.embedding.side_files import write_table_failures
from reddino.embedding.table_rows import TOKENS, RowColumns, choose_pooler
from reddino.embedding.table_shares import SHARES, Shares
from reddino.embedding.table_writer import TableWriter, only_writer
from reddino.embedding.view_encoder import Vectors, ViewEncoder, arithmetic, preprocessing
from reddino.embedding.write_behind import WriteBehind
from reddino.foundations.cores import usable_cores
from reddino.foundations.errors import NothingFoundError, RedDinoError
from reddino.foundations.provenance import provenance
from reddino.foundations.stores.requests import stoppable_waits
from reddino.foundations.stores.urls import is_url
from reddino.smears.contents import column_digests
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.by_image import ViewsByImage
from reddino.views.scales import Diameters, by_source
from reddino.views.spec import ViewSpec

Progress = Callable[[int, int], None]
#: More threads than this do not decode faster than a network embeds.
MOST_THREADS = 4
#: That open images in a store.
STORE_THREADS = 8


@dataclass(frozen=True)
class EmbedReport:
    """What a pass did.

    Attributes:
        rows: rows in the table.
        images: images that the pass was to open.
        failed: images that could not be used; they stand in the table's failures.csv.
        dropped: views that were left out since they leave their image.
        at_border: rows of cells that the border of their image cuts.
        borrowed: images, of those opened by this pass, with too few red cells to measure, which took the
            diameter of others.
        unnormalised: images, of those opened by this pass, whose stain could not be estimated, so that their
            colours were left as they are.
        not_finite: views (or fields) that were left out, since their vectors hold NaN or infinity, or numbers
            beyond the type in which they are stored.
        resumed: rows that an earlier, interrupted pass had written.
        seconds: wall time of this pass.
        runtime: that computed the vectors; "none" for a baseline.
        precision: in which it computed them.
    """

    rows: int
    images: int
    failed: int
    dropped: int
    resumed: int
    seconds: float
    not_finite: int = 0
    at_border: int = 0
    borrowed: int = 0
    unnormalised: int = 0
    runtime: str = "none"
    precision: str = "fp32"

    @property
    def rows_per_second(self) -> float:
        """Speed of this pass."""
        return (self.rows - self.resumed) / max(self.seconds, 1e-9)


def embed_manifest(
    manifest: Manifest,
    encoder: ViewEncoder,
    out: str | Path,
    *,
    view: ViewSpec,
    pooling: str = "cls",
    per: Per = "view",
    find_cells: bool = False,
    cells_were_found: bool = False,
    batch_size: int = 64,
    diameters: Diameters | None = None,
    left_out: Failures | None = None,
    failures: Failures | None = None,
    progress: Progress | None = None,
    part_rows: int = 2048,
    dtype: StoredType = "float32",
    threads: int = 0,
    name: str | None = None,
    growth: Growth | None = None,
    shares: Shares = (),
    kinds: KindReader | None = None,
    driver: PassDriver | None = None,
) -> EmbedReport:
    """Embed every view of a manifest.

    Rows come in the order of the images. The table grows in parts of whole images; a pass that died continues
    after the parts that it finished. Images are decoded and cut in background threads, and
    parts written in another.

    Args:
        manifest: images and cells.
        encoder: a model or a baseline; its input size must be the view's output.
        out: folder of the table.
        view: what is cut.
        pooling: which output is the embedding; with `tokens`, each patch token has a row.
        per: one row per view, or one row per field with the mean over its views.
        find_cells: cut the cells that classical segmentation finds in each image.
        cells_were_found: the cells that the manifest lists were found that way before.
        batch_size: views that the encoder embeds at once.
        diameters: of the red cells where the manifest has none, as for `ViewsByImage`.
        left_out: what could not be used when the inputs were read; listed with the failures of the pass.
        failures: filled with all that could not be used, by path in the manifest.
        progress: called with views done and views in all, as far as these are known.
        part_rows: views of a part, up to the next whole image; what a killed pass loses at most.
        dtype: of the stored vectors.
        threads: that open images; 0 takes a few, by the cores there are.
        name: of the model in tables; None takes the encoder's own name.
        growth: how the manifest came to the table (`find_growth`); None: in one pass.
        shares: which share of a collection the manifest is (`Share.record`); none: all of it.
        kinds: separates red cells from others, in the columns `kind` and `kind_probability`; None: no such
            columns.
        driver: that has the views embedded; None: this process does it.

    Raises:
        RedDinoError: nothing to embed, sizes or options that do not fit, a folder of another table, or one
            whose pictures were replaced since.
    """
    _require_sizes(view, encoder, batch_size=batch_size, part_rows=part_rows, threads=threads)
    started = time.perf_counter()
    pooler = choose_pooler(pooling, per)
    if kinds is not None:
        require_kind_views(view, pooling, per)
    columns = RowColumns(manifest, pooler, KIND_COLUMNS if kinds else {}, cells=view.kind == "cells")
    views = ViewsByImage(manifest, view, diameters=diameters, find_cells=find_cells)
    dealer = Dealer(views, part_rows, batch_size, threads or _opening_threads(manifest))
    blank = encoder.embed(np.zeros((1, view.output, view.output, 3), dtype=np.uint8), pooling)
    meta = (
        _describe_encoder(encoder, blank, pooling, name)
        | {"per": per, "images": len(views), "dtype": dtype, "part_rows": part_rows}
        | _describe_data(views, encoder, diameters, found=find_cells or cells_were_found)
        | ({"grown_from": [dict(one) for one in growth.earlier]} if growth and growth.earlier else {})
        | ({SHARES: [dict(one) for one in shares]} if shares else {})
        | ({"kinds": kinds.head.fingerprint()} if kinds else {})
    )
    with only_writer(Path(out)):
        writer = TableWriter(Path(out), meta, columns.schema)
        require_same_pictures(Path(out), writer.records.values(), manifest.root, views.names)
        note_pictures(Path(out), growth.generations if growth else [views.names])
        resumed = sum(record.rows for record in writer.records.values())
        filler = OutputWriter(writer, columns, pooler, views.names)
        work = PassWork(dealer, encoder, pooling, kinds, diameters, blank.nbytes)
        _embed_missing(work, driver or OneProcess(), writer, filler, progress)
        failed = _list_failures(writer, left_out, manifest)
        report = _report(writer, views.images_to_open(), failed, resumed)
        if report.at_border and not holds_border(Path(out)):
            report = replace(report, at_border=0)
        if report.rows == 0:
            writer.discard()
            raise NothingFoundError(_nothing(report.dropped, failed))
    if views.by_picture is not None:
        views.by_picture.report()
        report = replace(report, borrowed=len(views.borrowed()))
    views.stains.report()
    report = replace(report, unnormalised=len(views.stains.left))
    for path, reason in failed:
        if failures is not None:
            failures.add(path, reason)
    return replace(report, seconds=time.perf_counter() - started)


def _opening_threads(manifest: Manifest) -> int:
    """Return how many threads open images: more of those in a store, which keep them waiting."""
    if any(map(is_url, map(manifest.root.__truediv__, manifest.images()[0][:1]))):
        return STORE_THREADS
    return min(MOST_THREADS, usable_cores())


def _report(writer: TableWriter, images: int, failed: Failures, resumed: int) -> EmbedReport:
    """Sum up what the parts of a table record."""
    records = writer.records.values()
    return EmbedReport(
        rows=sum(record.rows for record in records),
        images=images,
        failed=len({path for path, _ in failed}),
        dropped=sum(sum(record.dropped.values()) for record in records),
        resumed=resumed,
        seconds=0.0,
        not_finite=sum(record.not_finite for record in records),
        at_border=sum(record.at_border for record in records),
        runtime=str(writer.meta["runtime"]),
        precision=str(writer.meta["precision"]),
    )


def _require_sizes(
    view: ViewSpec, encoder: ViewEncoder, *, batch_size: int, part_rows: int, threads: int
) -> None:
    """Refuse views of another size than the encoder's, and sizes of the pass that are too small."""
    if view.output != encoder.input_size:
        raise RedDinoError(
            f"{encoder.name} takes views of {encoder.input_size} px, but the view has output {view.output}: "
            f"set output to {encoder.input_size}"
        )
    for what, number, least in (
        ("batch size", batch_size, 1),
        ("part", part_rows, 1),
        ("threads", threads, 0),
    ):
        if number < least:
            raise RedDinoError(f"the {what} must be {least} or more, not {number}")


def _embed_missing(
    work: PassWork,
    driver: PassDriver,
    writer: TableWriter,
    filler: OutputWriter,
    progress: Progress | None,
) -> None:
    """Have the parts embedded that the table lacks, and write them."""
    runs = writer.missing()
    done = sum(record.views for record in writer.records.values())
    forecast = Forecast(work.dealer.views, runs, done)
    if progress and done:
        progress(done, max(done, forecast.total()))
    try:
        with (
            stoppable_waits() as wait_no_more,
            WriteBehind(filler) as behind,
            closing(driver.embedded(work, runs, forecast)) as items,
        ):
            try:
                for item, expected in items:
                    behind.put(item)
                    if isinstance(item, PartEnd):
                        continue
                    done += len(item.squares)
                    if progress:
                        progress(done, max(done, expected))
            except BaseException:
                wait_no_more()
                raise
    finally:
        filler.abandon()


def _list_failures(writer: TableWriter, left_out: Failures | None, manifest: Manifest) -> Failures:
    """List everything that could not be used, from reading the inputs to decoding, next to the parts."""
    failed = Failures()
    for path, reason in relative_failures(left_out or Failures(), manifest):
        failed.add(path, reason)
    for record in writer.records.values():
        for path, reason in record.failures:
            failed.add(path, reason)
    write_table_failures(writer.folder, failed)
    return failed


def _nothing(dropped: int, failed: Failures) -> str:
    if failed.count or not dropped:
        return f"no image could be embedded: {failed.summary()}"
    return (
        f"there is nothing to embed: all {dropped} views reach past their images, and border is 'drop'; make "
        "them smaller, or choose border 'pad'"
    )


def _describe_encoder(
    encoder: ViewEncoder, output: Vectors, pooling: str, name: str | None
) -> dict[str, Any]:
    """Describe the network for the table; its output for a blank view shows the length of the vectors."""
    if output.ndim != (3 if pooling == TOKENS else 2):
        raise RedDinoError(f"{encoder.name} has no patch tokens: choose pooling cls")
    return {
        "model": name or encoder.name,
        "opens_as": encoder.name,
        "weights_hash": encoder.weights_hash,
        "pooling": pooling,
        "preprocessing": preprocessing(encoder),
        **arithmetic(encoder),
        "dim": int(output.shape[-1]),
    }


def _describe_data(
    views: ViewsByImage, encoder: ViewEncoder, diameters: Diameters | None, *, found: bool
) -> dict[str, Any]:
    """Describe the views and where they came from, for the table."""
    data = views.manifest.fingerprint()
    spec = views.spec
    about = {
        "view": spec.metadata(),
        "data": data,
        "columns": column_digests(views.manifest.table),
        "plan": plan_hash(by_source(diameters)),
        **({"diameters": by_source(diameters)} if by_source(diameters) else {}),
        "provenance": provenance(
            seed=spec.seed if spec.kind == "random" else None, data=data, model=encoder.weights_hash
        ),
    }
    return about | ({"cells": "found" if found else "listed"} if spec.kind == "cells" else {})
