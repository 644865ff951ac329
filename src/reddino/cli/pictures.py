"""Figures of embeddings: maps (explore), patch tokens (patches) and the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import reddino
from reddino.cli.options import Several
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line
from reddino.figures import atlas
from reddino.figures.choices import FigureFormat, Method
from reddino.foundations.counting import counted
from reddino.networks.shipped import DEFAULT_MODEL
from reddino.smears.choices import Subfolders


@app.command
def explore(
    table: Path,
    /,
    *,
    out: Path,
    images: Path | None = None,
    method: Method = "umap",
    label: str = "label",
    keep_border: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    formats: Annotated[Sequence[FigureFormat], Several] = ("png", "pdf"),
    kinds: Annotated[bool, Parameter(negative=())] = False,
    predictions: Path | None = None,
    rows: int | None = None,
    serve: Annotated[bool, Parameter(negative="")] = False,
    port: int = 5055,
) -> None:
    """Draw an embedding table: its map by class, patient and source, neighbours, classes and outliers.

    Args:
        table: folder of an embedding table.
        out: folder of the figures, and of map.parquet: the rows with map_x, map_y and outlier.
        images: the manifest that was embedded, or the folder its paths start from; without it, no pictures.
        method: how the map is made.
        label: column of the classes.
        keep_border: let cells that the border of their image cuts be outliers, neighbours and examples.
        seed: of the map, and of what is drawn at random.
        formats: of the map.
        kinds: leave out white cells, platelets, clumps and artefacts.
        predictions: file of `reddino predict --out` on the same cells, for a map by predicted class.
        rows: to fit the map on and to show, at most; of more, a sample is drawn by the seed, which the
            figures state, and map.parquet has the others placed on the same map. All whose vectors take 4 GB
            in memory, or 100,000 of more, if not given.
        serve: open Embedding Atlas on the table, on this machine alone, until Ctrl-C.
        port: for --serve.
    """
    if serve:
        # Checked before the map is made, which takes a while.
        atlas.require()
    overview = reddino.explore(
        table,
        out,
        images=images,
        method=method,
        label=label,
        keep_border=keep_border,
        seed=seed,
        formats=formats,
        kinds=kinds,
        predictions=predictions,
        rows=rows,
    )
    if images is None:
        complain("no sheets of pictures were drawn; give --images with the manifest that was embedded.")
    print_line(f"{out}: the map and its sheets, and map.parquet")
    if serve:
        data = out / "atlas.parquet"
        overview.save_atlas_data(data)
        atlas.serve(data, images=overview.pictures is not None, port=port)


@app.command
def patches(
    data: Path,
    /,
    *,
    out: Path,
    model: str = DEFAULT_MODEL,
    architecture: str | None = None,
    fields: int = 4,
    at: Annotated[tuple[float, float] | None, Parameter(negative_iterable="")] = None,
    tile: int | None = None,
    overlap: float = 0.5,
    scale: float | None = None,
    device: str = "auto",
    subfolders: Subfolders = "auto",
) -> None:
    """Draw a network's patch tokens over whole fields: components, attention, similarity.

    Args:
        data: a manifest, or a folder of images.
        model: a model folder, or a name of `reddino models`; the one that comes with RedDino, if not given.
        architecture: of timm, such as resnet50, where --model is the state dict of such a network.
        out: folder of the pictures.
        fields: number of images, of each source in turn.
        at: the patch to compare with, as fractions of width and height; striking ones if not given.
        tile: pixels of the tiles a field is seen through; the model's input if not given.
        overlap: fraction of a tile that its neighbour covers again.
        scale: fields are resized by this first; 1 for a Vision Transformer, and by the size of the cells
            for a convolutional network, if not given.
        device: auto, cpu, cuda or cuda:N.
        subfolders: what those of a folder of images stand for; auto goes by their names, and prints it.
    """
    failures = reddino.Failures()
    drawn = reddino.patches(
        data,
        model,
        out,
        architecture=architecture,
        device=device,
        subfolders=subfolders,
        failures=failures,
        most=fields,
        place=at,
        tile=tile,
        overlap=overlap,
        scale=scale,
    )
    if failures.count:
        complain(f"{failures.summary()}; all are listed in {out / 'failures.csv'}")
    print_line(f"{out}: {counted(len(drawn), 'picture')}")


@app.command
def report(
    of: Path,
    /,
    *,
    out: Path | None = None,
    images: Path | None = None,
    scores: Annotated[Sequence[Path], Several] = (),
    batch_effect: Path | None = None,
    predictions: Path | None = None,
    method: Method = "umap",
    label: str = "label",
    keep_border: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    rows: int | None = None,
) -> None:
    """Write a report of an embedding table or of a pretraining run: one HTML file that needs no network.

    Args:
        of: folder of an embedding table, or of a run; or a file of `reddino predict --out`.
        out: the file; report.html in that folder if not given.
        images: the manifest that was embedded, or the folder its paths start from; without it, no pictures.
        scores: JSON files of `reddino evaluate --out`, to show their tables.
        batch_effect: JSON file of `reddino batch --out`, to show its measures.
        predictions: file of `reddino predict --out` on the same cells: the report opens with their counts.
        method: how the map is made.
        label: column of the classes.
        keep_border: let cells that the border of their image cuts be outliers, neighbours and examples.
        seed: of the map, and of what is drawn at random.
        rows: of a table to show, at most; of more, a sample is drawn by the seed, which the page states. All
            whose vectors take 4 GB in memory, or 100,000 of more, if not given.
    """
    written = reddino.report(
        of,
        out,
        images=images,
        scores=scores,
        batch_effect=batch_effect,
        predictions=predictions,
        method=method,
        label=label,
        keep_border=keep_border,
        seed=seed,
        rows=rows,
    )
    print_line(f"{written}: {written.stat().st_size / 1e6:.1f} MB")
