"""Embedding tables: embed makes one, convert writes one for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import reddino
from reddino.cli.domain_table import show_domain
from reddino.cli.options import WithOrWithout, ray_given
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line, progress_bar, show_log
from reddino.embedding.choices import Per, RuntimeName, StoredType
from reddino.foundations.choices import Precision
from reddino.foundations.counting import counted
from reddino.networks.choices import ChannelOrder, Pooling
from reddino.networks.shipped import DEFAULT_MODEL
from reddino.regions.choices import From
from reddino.smears.choices import Subfolders
from reddino.views.choices import Border, Scale, Stain, Unit, ViewKind


@app.command
def embed(
    data: Annotated[list[str], Parameter(negative_iterable="")],
    /,
    *,
    out: Path,
    model: str = DEFAULT_MODEL,
    architecture: str | None = None,
    view: ViewKind | None = None,
    side: float | None = None,
    unit: Unit | None = None,
    scale: Scale = "picture",
    pooling: Pooling = "cls",
    per: Per = "view",
    find_cells: Annotated[bool, Parameter(negative=())] = False,
    cells: int | None = None,
    cells_from: Annotated[From, Parameter(name="--from")] = "all",
    kinds: Annotated[bool, Parameter(negative=())] = False,
    batch_size: int = 64,
    image_size: int | None = None,
    device: str = "auto",
    dtype: StoredType = "float32",
    threads: int = 0,
    runtime: RuntimeName = "auto",
    precision: Precision = "auto",
    compiled: Annotated[bool, Parameter(name="--compile", negative="")] = False,
    channel_order: ChannelOrder | None = None,
    name: str | None = None,
    border: Border = "pad",
    per_image: int = 8,
    seed: int = 0,
    mask_centre: float = 0.0,
    stain: Stain = "none",
    subfolders: Subfolders = "auto",
    share: str | None = None,
    ray: Annotated[list[str] | None, WithOrWithout] = None,
    ray_workers: int = 0,
) -> None:
    """Embed cells or images into a table; the same command continues a pass that was interrupted.

    Args:
        data: manifests, images, folders, tar shards, or quoted patterns of them ("**/*.png", "{00..10}.tar");
            manifests, images and folders by URL too (s3://, http://).
        model: a model folder, or a name of `reddino models`; the one that comes with RedDino, if not given.
        architecture: of timm, such as resnet50, where --model is the state dict of such a network.
        out: folder of the table, or its s3:// URL; images that could not be used are in its failures.csv.
        view: what is cut; cells where the manifest has any, else the whole image, if not given.
        side: side of a view in the image; 1.6 diameters for cells and 224 px for patches, if not given.
        unit: of the side: diameters of a red cell, pixels, or micrometres (um), which need um_per_px.
        scale: the diameter is that of each picture's own red cells, or one for all pictures of a source.
        pooling: class token, mean of the patch tokens, both, or one row per patch token.
        per: one row per view, or one row per field (image): the mean over its views.
        find_cells: find the cells of images and whole slides that list none, by classical segmentation.
        cells: how many of the cells that are found are taken of each slide, spread over its best squares; all
            if not given.
        cells_from: take found cells from all squares, from usable ones (in focus, not covered, not empty), or
            from the monolayer.
        kinds: separate red cells from white cells, platelets, clumps and artefacts, in the columns kind and
            kind_probability.
        batch_size: views that the network gets at once.
        image_size: pixels of the network's input; the model's own if not given.
        device: auto, cpu, cuda or cuda:N.
        dtype: of the stored vectors.
        threads: that decode and cut images; a few, by the cores there are, if not given.
        runtime: auto measures the installed ones and takes the fastest with the same vectors.
        precision: auto takes bf16 where the hardware computes it and the vectors stay the same.
        compiled: let torch.compile translate the network, which takes a minute.
        channel_order: in which the network sees the colours; as its model folder has it, if not given.
        name: of the model in result tables.
        border: mirror the image where a view reaches past it, or leave such views out.
        per_image: number of random views an image.
        seed: of the random views, and of the choice of --cells.
        mask_centre: diameter of a disc filled at each centre, in cell diameters (a control: 1.2); 0: none.
        stain: bring the colours of each picture to one Romanowsky stain before views are cut from it.
        subfolders: what those of a folder of images stand for; auto goes by their names, and prints it.
        share: which part of the data this pass embeds, such as 3/8: the third of eight runs of whole slides
            or of pictures; for the jobs of an array, whose tables `reddino table merge` joins.
        ray: embed on a Ray cluster: that of the address which follows (auto, HOST:PORT, ray://HOST:PORT), or
            one that is started on this machine; DATA stand before it.
        ray_workers: processes that embed there; one a GPU or one a group of four cores, if not given.
    """
    show_log()
    failures = reddino.Failures()
    verdicts: list[Any] = []
    with _resumable(), progress_bar("views") as progress:
        report = reddino.embed(
            data,
            model,
            out,
            architecture=architecture,
            view=view,
            side=side,
            unit=unit,
            scale=scale,
            pooling=pooling,
            per=per,
            find_cells=find_cells,
            cells=cells,
            cells_from=cells_from,
            kinds=kinds,
            batch_size=batch_size,
            image_size=image_size,
            device=device,
            dtype=dtype,
            threads=threads,
            runtime=runtime,
            precision=precision,
            compiled=compiled,
            channel_order=channel_order,
            name=name,
            border=border,
            per_image=per_image,
            seed=seed,
            mask_centre=mask_centre,
            stain=stain,
            subfolders=subfolders,
            share=share,
            ray=ray_given(ray),
            ray_workers=ray_workers,
            failures=failures,
            progress=progress,
            notice=complain,
            compared=verdicts.append,
        )
    if failures.count:
        complain(f"{failures.summary()}; all are listed in {out / 'failures.csv'}")
    if report.not_finite:
        complain(
            f"{counted(report.not_finite, 'vector')} left out: they hold NaN, infinity or too large numbers."
        )
    if report.dropped:
        complain(f"{counted(report.dropped, 'view')} left out: beyond the border of the image.")
    if report.at_border:
        complain(f"{report.at_border} cells are cut by the border of their image (column at_border).")
    if report.borrowed:
        complain(f"{report.borrowed} images show too few red cells to measure; they took others' scale.")
    for verdict in verdicts:
        show_domain(verdict, "pretraining cells")
    resumed = f" ({report.resumed:,} of them from before)" if report.resumed else ""
    how = f"{report.runtime} {report.precision}" if report.runtime != "none" else "no network"
    print_line(
        f"{out}: {counted(report.rows, 'vector')}{resumed}, {report.rows_per_second:,.1f} a second ({how})"
    )


@contextmanager
def _resumable() -> Iterator[None]:
    """Log, when the user stops a command, that it loses nothing."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("stopped; the same command continues.") from error


@app.command
def convert(table: Path, out: Path, /) -> None:
    """Write an embedding table to one file for other programs.

    Args:
        table: folder of the table.
        out: .h5ad (AnnData), .npz (NumPy) or .csv.
    """
    show_log()
    print_line(f"{out}: {counted(len(reddino.convert(table, out)), 'vector')}")
