"""Figures of embeddings: maps (explore), patch tokens (patches) and the HTML report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reddino.api.arguments import numbers_in_range
from reddino.api.sole_writer import sole_writer
from reddino.classification.predicted_kinds import kinds_of_vectors
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.growth import picture_digests
from reddino.embedding.kinds import KindReader, with_kinds
from reddino.embedding.replaced_pictures import replaced_pictures
from reddino.embedding.table import read_embeddings
from reddino.embedding.table_on_disk import open_table
from reddino.evaluation.chosen_rows import read_rows
from reddino.figures.canvas import save_figure
from reddino.figures.choices import Method
from reddino.figures.lettering import Numbers, note_numbers
from reddino.figures.map_patches import patch_encoder
from reddino.figures.map_sample import sample_for_map
from reddino.figures.overview import Overview
from reddino.figures.page.measures import read_document
from reddino.figures.page.table_report import table_report
from reddino.figures.patches import patch_pictures
from reddino.figures.placed_rows import save_all_rows
from reddino.figures.prediction_file import SUFFIXES, PredictionFile, read_prediction_file
from reddino.figures.run_report import is_run, run_report
from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import provenance
from reddino.foundations.runtime import choose_runtime
from reddino.foundations.stores.urls import is_url
from reddino.networks.encoder import open_model
from reddino.networks.model_names import with_architecture
from reddino.networks.shipped import DEFAULT_MODEL
from reddino.smears.choices import Subfolders
from reddino.smears.contents import read_content
from reddino.smears.failures import FAILURES_FILE, Failures
from reddino.smears.opening import Data, open_data

log = logging.getLogger(__name__)


@numbers_in_range
@sole_writer(folders=("out",))
def explore(
    table: str | Path,
    out: str | Path,
    *,
    images: str | Path | None = None,
    method: Method = "umap",
    label: str = "label",
    keep_border: bool = False,
    seed: int = 0,
    formats: Sequence[str] = ("png", "pdf"),
    kinds: bool = False,
    predictions: str | Path | None = None,
    rows: int | None = None,
) -> Overview:
    """Draw an embedding table: the map by class, patient and source, and sheets of pictures.

    Args:
        table: folder of an embedding table.
        out: folder of the figures, and of map.parquet: the rows with map_x, map_y and outlier.
        images: the manifest that was embedded, or the folder that its paths start from; without it there are
            no sheets.
        method: `umap` or `pca`.
        label: column of the classes.
        keep_border: let cells that the border of their image cuts be outliers, neighbours and examples.
        seed: of the map, and of what is drawn at random.
        formats: of the map: png, pdf, svg. Sheets are written as png.
        kinds: leave out white cells, platelets, clumps and artefacts, by the table's column `kind` or, where
            the vectors are those of reddino-tiny, by themselves.
        predictions: file (or folder) of `predict` on the same cells: a map by predicted class.
        rows: that the map is fitted on and figures show, at most; of more, a sample is drawn by the seed,
            which the figures state, and map.parquet has the other rows placed on the same map. None: all
            whose vectors take 4 GB as float32, or 100,000 of more.

    Returns:
        The rows that the figures show.

    Raises:
        RedDinoError: no such table, column or images, or a format that is not known.
    """
    unknown = sorted(set(formats) - {"png", "pdf", "svg"})
    if unknown:
        raise RedDinoError(f"figures are written as png, pdf or svg, not as {', '.join(unknown)}")
    overview = _overview(
        table,
        images,
        kinds=kinds,
        predictions=predictions,
        method=method,
        label=label,
        seed=seed,
        keep_border=keep_border,
        rows=rows,
    )
    maps, numbers = overview.maps(), Numbers()
    for kind in formats:
        save_figure(maps, Path(out) / f"map.{kind}", numbers=numbers)
    for name, figure in overview.sheets().items():
        save_figure(figure, Path(out) / f"{name}.png", numbers=numbers)
    note_numbers(numbers, Path(out))
    if overview.fitted is None:
        overview.save_columns(Path(out) / "map.parquet", _origin(overview))
    else:
        stored = open_table(table)
        save_all_rows(stored, overview.fitted, Path(out) / "map.parquet", _origin(overview))
    return overview


@numbers_in_range
@sole_writer(folders=("out",))
def patches(
    data: Data,
    model: str | None,
    out: str | Path,
    *,
    architecture: str | None = None,
    device: str = "auto",
    subfolders: Subfolders = "auto",
    failures: Failures | None = None,
    **options: Any,
) -> list[Path]:
    """Draw the patch tokens of some fields: components as colour, attention, similarity.

    Args:
        data: a manifest, its file, or a folder of images.
        model: a model folder or a name that `models` lists; None: `reddino-tiny`.
        out: folder of the pictures.
        architecture: of timm, such as resnet50, where `model` is the state dict of such a network.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        subfolders: what those of a folder of images stand for; `auto`: what their names look like.
        failures: takes the images that cannot be read; they are listed in the folder too.
        options: `most`, `place`, `tile`, `overlap`, `scale` of `reddino.figures.patches.patch_pictures`.

    Returns:
        The pictures.

    Raises:
        RedDinoError: the network has neither patch tokens nor a feature map, or no image can be read.
    """
    name = with_architecture(model or DEFAULT_MODEL, architecture)
    failures = Failures() if failures is None else failures
    opened = open_data(data, failures, subfolders=subfolders)
    encoder = open_model(name, runtime=choose_runtime(device, "fp32"))
    origin = provenance(data=opened.fingerprint(), model=encoder.weights_hash)
    drawn = patch_pictures(patch_encoder(encoder), opened, Path(out), origin, failures=failures, **options)
    failures.leave_at(Path(out) / FAILURES_FILE)
    return drawn


@numbers_in_range
@sole_writer(files=("out",))
def report(
    of: str | Path,
    out: str | Path | None = None,
    *,
    images: str | Path | None = None,
    scores: Sequence[str | Path] = (),
    batch_effect: str | Path | None = None,
    predictions: str | Path | None = None,
    method: Method = "umap",
    label: str = "label",
    keep_border: bool = False,
    seed: int = 0,
    rows: int | None = None,
) -> Path:
    """Write a report of an embedding table or of a run as one HTML file that needs nothing else.

    Args:
        of: folder of an embedding table or of a pretraining run; or a file of `predict`, whose class
            probabilities then make the map.
        out: the file; None: report.html in that folder.
        images: for a table: the manifest that was embedded, or the folder that its paths start from.
        scores: for a table: files that `evaluate` wrote.
        batch_effect: for a table: file that `batch` wrote.
        predictions: for a table: file (or folder) that `predict` wrote of the same cells: the report opens
            with their counts.
        method: of the map, `umap` or `pca`.
        label: column of the classes.
        keep_border: let cells that the border of their image cuts be outliers, neighbours and examples.
        seed: of the map, and of what is drawn at random.
        rows: of a table that the page shows, at most, as of `explore`.

    Returns:
        The file.

    Raises:
        RedDinoError: neither a table nor a run, files that do not fit, or options of the other kind.
    """
    folder = Path(of)
    target = Path(out) if out is not None else _report_path(folder)
    if is_run(folder):
        _refuse_of_a_run(
            images=images is not None,
            scores=bool(scores),
            batch_effect=batch_effect is not None,
            predictions=predictions is not None,
            method=method != "umap",
            label=label != "label",
            keep_border=keep_border,
            seed=seed != 0,
            rows=rows is not None,
        )
        write_text(target, run_report(folder, provenance()))
        return target
    # Before the map, which takes longest.
    documents = [read_document(file) for file in scores]
    measures = read_document(batch_effect) if batch_effect is not None else None
    overview = _overview(
        folder,
        images,
        predictions=predictions,
        method=method,
        label=label,
        seed=seed,
        keep_border=keep_border,
        rows=rows,
    )
    page = table_report(
        overview,
        _origin(overview),
        scores=documents,
        batch_effect=measures,
        failures=folder / FAILURES_FILE,
    )
    write_text(target, page)
    return target


def _refuse_of_a_run(**given: bool) -> None:
    """Refuse options that bear on a table where the report is of a run, which would be ignored."""
    idle = [name for name, is_given in given.items() if is_given]
    if idle:
        raise RedDinoError(
            f"the report of a run takes no {' or '.join(idle)}, which bear on an embedding table: leave them "
            "out, or embed with the run's model and report on that table"
        )


def _report_path(of: Path) -> Path:
    """Return where the report of a folder, or of a file, goes."""
    return of / "report.html" if of.is_dir() else of.with_suffix(".html")


def _is_folder(table: str | Path) -> bool:
    """Return whether this names a folder, here or in a store, and not a file of predictions."""
    return is_url(table) or Path(table).is_dir()


def _overview(
    table: str | Path,
    images: str | Path | None,
    *,
    kinds: bool = False,
    predictions: str | Path | None = None,
    rows: int | None = None,
    **options: Any,
) -> Overview:
    if _is_folder(table) and (drawn := _drawn(table, images, rows, options)) is not None:
        if kinds or predictions is not None:
            raise RedDinoError(
                f"'{table}' is shown by a sample, with which kinds and predictions do not go: make a smaller "
                "table with `reddino table sample`, or give more --rows"
            )
        return drawn
    if rows is not None and not _is_folder(table):
        raise RedDinoError(f"rows are drawn of an embedding table, which {table} is not: leave --rows out")
    file = read_prediction_file(predictions) if predictions is not None else None
    digests = None
    if Path(table).suffix in SUFFIXES and Path(table).is_file():
        if file is not None:
            raise RedDinoError(f"{table} holds predictions itself: leave the other predictions out")
        file = read_prediction_file(table)
        read = file.as_embeddings()
    else:
        read = read_embeddings(table)
        digests = picture_digests(Path(table)) if file is not None else None
    if kinds:
        read = _without_other_kinds(read, str(table))
    overview = Overview.of(read, images=images, predictions=file, digests=digests, **options)
    _warn(overview, table, read, file)
    return overview


def _drawn(
    table: str | Path, images: str | Path | None, rows: int | None, options: Mapping[str, Any]
) -> Overview | None:
    """Return the overview of a sample of a large table; None where all of its rows are to be shown."""
    stored = open_table(table)
    sample = sample_for_map(stored, options["label"], rows, options["seed"])
    if sample is None:
        return None
    overview = Overview.of(read_rows(stored, sample.rows), images=images, sample=sample, **options)
    _warn(overview, table, sample.columns.combined, None)
    return overview


def _warn(overview: Overview, table: str | Path, read: Embeddings, file: PredictionFile | None) -> None:
    """Log the notes of an overview, and pictures that were replaced since; `read`: of all pictures."""
    for note in overview.notes:
        log.warning("%s", note)
    if overview.pictures is not None and (
        others := _replaced(Path(table), read, file, overview.pictures.root)
    ):
        log.warning(
            "pictures were replaced since they were %s (%d, the first is %s), so that what is shown is not "
            "what the %s are of: do so again",
            "embedded" if _is_folder(table) else "classified",
            len(others),
            others[0],
            "vectors" if _is_folder(table) else "predictions",
        )


def _replaced(table: Path, read: Embeddings, file: PredictionFile | None, root: Path) -> list[str]:
    """Return the pictures of a table, or of a file of predictions, that are others now."""
    if _is_folder(table):
        return replaced_pictures(table, read, root)
    noted = {} if file is None else file.pictures
    shown = {name: read_content(root / name) for name in dict.fromkeys(read.strings("path")) if name in noted}
    return [name for name, content in shown.items() if content is not None and content.digest != noted[name]]


def _origin(overview: Overview) -> dict[str, Any]:
    meta = overview.table.meta
    return provenance(seed=overview.seed, data=str(meta.get("data")), model=str(meta.get("weights_hash")))


def _without_other_kinds(read: Embeddings, name: str) -> Embeddings:
    """Return the rows of a table but those that are surely no red cells, with the columns of their kinds.

    Raises:
        RedDinoError: kinds cannot be predicted from it, or no row is left.
    """
    found = kinds_of_vectors(read, KindReader())
    if found is None:
        raise RedDinoError(
            f"{name}: it has no column 'kind', and no vectors of reddino-tiny from which kinds can be read; "
            "embed again with --kinds"
        )
    kept = ~found.not_red()
    if not kept.any():
        raise RedDinoError(f"{name}: no row seems to be a red cell ({found.counts()}); leave --kinds out")
    log.warning("%s: %d of %d rows are left out (%s)", name, int((~kept).sum()), len(kept), found.counts())
    return with_kinds(read, found).select(kept)
