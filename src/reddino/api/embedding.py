"""Embedding tables: embed makes one, convert writes one for other programs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from reddino.api.arguments import Advance, numbers_in_range, view_side
from reddino.api.ray_drivers import ray_pass, ray_pictures
from reddino.api.sole_writer import sole_writer
from reddino.checks.notice import Notice, mention_findings
from reddino.classification.domain_report import DomainReport
from reddino.classification.table_domain import note_domain
from reddino.embedding.choices import Per, StoredType
from reddino.embedding.convert import save
from reddino.embedding.embedding_pass import EmbedReport, embed_manifest
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.growth import find_growth
from reddino.embedding.kinds import KindReader
from reddino.embedding.note_copies import note_copies
from reddino.embedding.note_seen import note_seen
from reddino.embedding.open_encoder import open_encoder, seen_by
from reddino.embedding.runtimes.pass_runtime import WholePass, put_in_runtime
from reddino.embedding.side_files import side_path
from reddino.embedding.table import read_embeddings
from reddino.embedding.table_shares import require_same_shares
from reddino.embedding.table_writer import only_writer
from reddino.foundations.errors import NothingFoundError, RedDinoError
from reddino.foundations.stages import stage
from reddino.foundations.stores.objects import require_writable
from reddino.foundations.stores.urls import is_url, require_known_scheme, url_of
from reddino.networks.model_names import with_architecture
from reddino.rbc.whole_fields import shows_whole_fields
from reddino.regions.choices import From
from reddino.regions.slide_cells import Chosen, find_all_cells
from reddino.regions.survey import has_regions
from reddino.regions.whole_sources import require_whole_sources
from reddino.smears.choices import Subfolders
from reddino.smears.dealt_pictures import DealsPictures
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.opening import Data, open_data
from reddino.smears.share import Share
from reddino.smears.slides.identity import require_distinct_slides
from reddino.views.choices import Scale, Unit, ViewKind
from reddino.views.scales import view_diameters
from reddino.views.spec import make_view

log = logging.getLogger(__name__)

WHOLE_PICTURES = (
    "no cell is marked, so each whole picture gets one vector; to embed the cells in them, add --find-cells "
    "(find_cells), or give a manifest that `reddino cells` made"
)


@numbers_in_range
def embed(
    data: Data | Sequence[Data],
    model: str,
    out: str | Path,
    *,
    architecture: str | None = None,
    view: ViewKind | None = None,
    side: float | None = None,
    unit: Unit | None = None,
    scale: Scale = "picture",
    pooling: str = "cls",
    per: Per = "view",
    find_cells: bool = False,
    cells: int | None = None,
    cells_from: From = "all",
    kinds: bool = False,
    subfolders: Subfolders = "auto",
    share: str | None = None,
    batch_size: int = 64,
    image_size: int | None = None,
    device: str = "auto",
    dtype: StoredType = "float32",
    threads: int = 0,
    runtime: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
    channel_order: str | None = None,
    name: str | None = None,
    ray: bool | str = False,
    ray_workers: int = 0,
    hashes: Path | None = None,
    failures: Failures | None = None,
    progress: Advance | None = None,
    notice: Notice | None = None,
    compared: Callable[[DomainReport], None] | None = None,
    whole_pass: WholePass | None = None,
    **options: Any,
) -> EmbedReport:
    """Embed cells or images into a table; the same call continues a pass that was interrupted.

    Pictures that were added to the data since are embedded after those that the table holds, which are kept.

    Args:
        data: manifests, image files, folders, tar shards, or patterns of them: `reddino.smears.gather`; by
            URL too, but for tar shards and patterns.
        model: a model folder or a name that `models` lists.
        out: folder of the table, or its URL in a store.
        architecture: of timm, such as resnet50, where `model` is the state dict of such a network.
        view: what is cut; None: cells where the manifest has any, else the whole image.
        side: side of a view in the image, with its unit; None: 1.6 diameters for cells, else 224 px.
        unit: `px`, `diameters` of a red cell, or `um`, which needs `um_per_px` of every picture.
        scale: whose red cells: those of each `picture`, or the median of its `source`, as before there was a
            choice.
        pooling: `cls`, `mean` (of the patch tokens), `cls+mean`, or `tokens`: one row per patch token.
        per: one row per `view`, or per `field` with the mean over its views.
        find_cells: find the cells of images that list none, by classical segmentation. Whole slides are
            surveyed first, region by region; the survey lies in the table's folder (`_survey`).
        cells: with `find_cells`: how many cells of each slide (or source of pictures) are taken, spread over
            its best squares, drawn by `seed`; None: all.
        cells_from: with `find_cells`: take cells from `all` squares, the `usable` ones, in which nothing is
            out of focus, covered or empty, or the `monolayer`.
        subfolders: what those of a folder of images stand for; `auto`: what their names look like.
        share: which part of the data is embedded, such as '3/8' (`reddino.smears.share`); None: all.
        kinds: read which cells are red cells at all, in the columns `kind` and `kind_probability`; views must
            have their usual side, 1.6 diameters.
        batch_size: views that the network gets at once.
        image_size: pixels of the network's input; None: the model's own.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        dtype: of the stored vectors.
        threads: that decode and cut images; 0 takes a few, by the cores there are.
        runtime: `torch`, `openvino`, `onnx`, or `auto`: the fastest that computes the same vectors.
        precision: `fp32`, `bf16`, or `auto`: bf16 where the hardware computes it and the vectors stay.
        compiled: torch.compile.
        channel_order: `RGB` or `BGR`, the order that the network sees; None: as the model's card has it.
        name: of the model in tables; None: as given in `model`.
        ray: embed on a Ray cluster: True starts one on this machine, `auto`, `host:port` or `ray://host:port`
            names one. The table is that of one process.
        ray_workers: processes that embed there; 0: one a GPU, or one a group of four cores.
        hashes: folder to keep the hashes of the images in, for the next model; None keeps them nowhere.
        failures: takes the images that could not be used.
        progress: called with views done and views planned.
        notice: called with what is odd about the input, if anything; None logs it.
        compared: called with how the cells lie to those of the model's pretraining, where it keeps any.
        whole_pass: the longer pass that this one is a sample of, as for a plan; None: it is the whole.
        options: further fields of `reddino.views.spec.ViewSpec`: `border`, `per_image`, `seed`,
            `mask_centre`, `stain`.

    Raises:
        RedDinoError: nothing to embed, an unknown model, or a folder that holds another table.
    """
    _require_writable_table(out, surveys=find_cells and (cells is not None or cells_from != "all"))
    driver, deal = ray_pass(ray, ray_workers, device), ray_pictures(ray, ray_workers)
    model = with_architecture(model, architecture)
    left_out = Failures()
    opened = open_data(data, left_out, subfolders=subfolders)
    mention_findings([opened], notice)
    if find_cells and opened.is_cell().any():
        raise RedDinoError("the manifest lists cells already: leave --find-cells (find_cells) out")
    whole, shares = opened, []
    if share is not None:
        if find_cells:  # here, since two names of one slide may be of two shares
            require_distinct_slides(whole)
        opened, shares = Share.parse(share).select(whole), Share.parse(share).record(whole)
    require_same_shares(Path(out), shares)
    surveyed = find_cells and (cells is not None or cells_from != "all" or has_regions(opened))
    if not find_cells and (cells is not None or cells_from != "all"):
        raise RedDinoError("cells are chosen among those that are found: add --find-cells (find_cells)")
    if surveyed:
        _require_writable_table(out, surveys=True)
        if cells is not None or cells_from != "all":
            require_whole_sources(opened, whole)
        chosen = Chosen(cells_from, cells, int(options.get("seed", 0)))
        opened, find_cells = _surveyed(opened, Path(out), chosen, left_out, threads=threads, deal=deal), False
    growth = find_growth(opened, Path(out))
    opened = growth.manifest
    if growth.added:
        log.info("%s holds %s pictures; %s are new", out, f"{growth.held:,}", f"{growth.added:,}")
    if not find_cells and view is None and not opened.is_cell().any() and shows_whole_fields(opened):
        (notice or log.warning)(WHOLE_PICTURES)
    kind = view or ("cells" if find_cells or opened.is_cell().any() else "image")
    length, measure = view_side(opened, kind, side, unit)
    encoder = open_encoder(
        model, image_size=image_size, device=device, precision="fp32", channel_order=channel_order
    )
    spec = make_view(kind=kind, side=length, unit=measure, scale=scale, output=encoder.input_size, **options)
    # Where cells are found, each image's own diameter is measured with them.
    diameters = None if find_cells else view_diameters(opened, spec, growth.diameters)
    put_in_runtime(
        encoder,
        opened,
        spec,
        diameters,
        Path(out),
        runtime=runtime,
        precision=precision,
        compiled=compiled,
        pooling=pooling,
        whole=whole_pass,
    )
    seen = seen_by(model)
    report = embed_manifest(
        opened,
        encoder,
        out,
        view=spec,
        pooling=pooling,
        per=per,
        find_cells=find_cells,
        cells_were_found=surveyed,
        batch_size=batch_size,
        diameters=diameters,
        dtype=dtype,
        threads=threads,
        left_out=left_out,
        failures=failures,
        progress=progress,
        name=name,
        growth=growth,
        shares=shares,
        kinds=KindReader(device) if kinds else None,
        driver=driver,
    )
    # In a store, nothing is put without a claim; in a folder each of these files appears by itself.
    with only_writer(Path(out)) if is_url(out) else nullcontext():
        note_seen(seen, opened, Path(out), hashes)
        note_copies(opened, Path(out))
        domain = None
        if per == "view":
            domain = note_domain(
                Path(out),
                opened.root,
                model,
                encoder=encoder,
                spec=spec,
                pooling=pooling,
                rows=report.rows,
            )
    if domain is not None and compared is not None:
        compared(domain)
    return report


def _require_writable_table(out: str | Path, *, surveys: bool) -> None:
    """Refuse a URL that nothing is written to, or slides that would be surveyed in a table's folder there.

    Raises:
        RedDinoError: it is one.
    """
    require_known_scheme(out)
    url = url_of(out)
    if url is None:
        return
    require_writable(url)
    if surveys:
        raise RedDinoError(
            f"{url}: slides and fields are surveyed in the folder of their table, on this machine; give a "
            "path, and copy the table"
        )


def _surveyed(
    opened: Manifest,
    out: Path,
    chosen: Chosen,
    failures: Failures,
    *,
    threads: int,
    deal: DealsPictures | None,
) -> Manifest:
    """Return the cells of slides and pictures, by a survey that continues in the folder of the table.

    Raises:
        RedDinoError: not one cell was found.
    """
    with only_writer(out), stage("surveying regions") as advance:
        found = find_all_cells(
            opened,
            folder=side_path(out, "survey"),
            chosen=chosen,
            failures=failures,
            progress=advance,
            threads=threads,
            deal=deal,
        )
    if not len(found):
        raise NothingFoundError(f"no red cells were found; {failures.summary()}")
    return found


@sole_writer(files=("out",))
def convert(table: str | Path, out: str | Path) -> Embeddings:
    """Write an embedding table to one file for other programs: .h5ad (AnnData), .npz or .csv, by suffix.

    Raises:
        RedDinoError: no finished table there, another suffix, or a package that the format needs is missing.
    """
    embeddings = read_embeddings(table)
    save(embeddings, out)
    return embeddings
