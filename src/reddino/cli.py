"""The command line: one thin function a command, each of which calls the verb of that name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from reddino import __version__
from reddino.model.shipped import DEFAULT_MODEL
from reddino.terminal import (
    INTERRUPTED,
    complain,
    exit_code_of,
    is_main_process,
    progress_bar,
    say,
    show_log,
    show_tables,
)

if TYPE_CHECKING:
    from reddino.smears.failures import Failures

app = App(
    name="reddino",
    help="Self-supervised foundation models for red blood cell smears: pretrain, embed, evaluate.",
    help_epilogue="Not a medical device: for research only.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)

#: The names of reddino.smears.readers.READERS, written out: importing those would slow down every command.
Layout = Literal["folder", "class-folders", "chula", "voc", "yolo", "coco", "nih-malaria", "elsafty"]
Unit = Literal["diameters", "px"]
#: As reddino.evaluate.question.Protocol and reddino.evaluate.classifiers.OPTIONAL.
Protocol = Literal["kfold", "grouped-kfold", "cross-source", "leave-one-source-out", "fixed", "few-shot"]
Extra = Literal["scaled probe", "cosine 1-NN", "cosine 20-NN", "nearest mean"]
Several = Parameter(consume_multiple=True, negative_iterable="", show_default=False)


@app.command
def manifest(
    layout: Layout,
    folder: Path,
    /,
    *,
    out: Path = Path("manifest.csv"),
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    names: Annotated[list[str] | None, Several] = None,
    sources: Path | None = None,
    groups: Path | None = None,
) -> None:
    """Turn a collection of smear images into a manifest.

    Annotations that make no sense are left out and listed in OUT's failures file.

    Args:
        layout: how the collection is laid out.
        folder: the collection.
        out: the manifest to write, .csv or .parquet.
        source: laboratory, camera or stain; the folder's name if not given.
        slide: regular expression with a group (?P<slide>...), searched for in each path.
        patient: the same with (?P<patient>...).
        names: class names in the order of their numbers (yolo).
        sources: CSV with the columns slide and source (elsafty).
        groups: CSV with the columns group and path: images that show the same place.
    """
    from reddino import api
    from reddino.smears.failures import Failures

    failures = Failures()
    options = {"source": source, "slide": slide, "patient": patient, "names": names, "sources": sources}
    made = api.manifest(layout, folder, out, groups=groups, failures=failures, **options)
    _report_failures(failures, out)
    say(f"{out}: {len(made)} rows, {len(made.images()[0])} images")


@app.command
def check(file: Path, /) -> None:
    """Check a manifest and its image files, and count what it holds.

    Args:
        file: the manifest, .csv or .parquet.
    """
    from reddino import api
    from reddino.summaries import label_table, source_table

    checked = api.check(file)
    tables = [source_table(checked)]
    if any(checked.strings("label")):
        tables.append(label_table(checked))
    show_tables(tables)
    say(f"{file}: every row is valid and every image is there (fingerprint {checked.fingerprint()})")


@app.command
def synthesise(
    out: Path,
    /,
    *,
    sources: Annotated[list[str] | None, Several] = None,
    patients: int = 12,
    fields: int = 2,
    seed: int = 0,
    every_source: bool = False,
    strength: float = 1.0,
) -> None:
    """Draw synthetic smears with known truth.

    Args:
        out: a new folder for pictures and manifest.csv.
        sources: laboratories; all of them if not given.
        patients: patients of each laboratory (in all, with --every-source).
        fields: pictures of each patient.
        seed: what every picture follows from.
        every_source: photograph the same cells in every laboratory.
        strength: how much the laboratories differ, from 0 (not at all) to 1.
    """
    from reddino import api

    chosen = {} if sources is None else {"sources": sources}
    made = api.synthesise(
        out,
        patients_per_source=patients,
        fields_per_patient=fields,
        seed=seed,
        every_source=every_source,
        strength=strength,
        **chosen,
    )
    say(f"{out / 'manifest.csv'}: {len(made)} cells in {len(made.images()[0])} images")


@app.command
def cells(data: Path, /, *, out: Path = Path("cells.csv")) -> None:
    """Find the red cells in every image, by classical segmentation.

    Images that cannot be read, or show no red cell, are listed in OUT's failures file.

    Args:
        data: a manifest, or a folder of images.
        out: the manifest to write, with a row a cell and its image's cell diameter.
    """
    from reddino import api
    from reddino.smears.failures import Failures
    from reddino.summaries import source_table

    failures = Failures()
    with progress_bar("images") as progress:
        found = api.cells(data, out, failures=failures, progress=progress)
    show_tables([source_table(found)])
    _report_failures(failures, out)
    say(f"{out}: {len(found)} cells in {len(found.images()[0])} images")


@app.command
def pretrain(
    recipe: str,
    /,
    *,
    data: Annotated[list[Path], Several],
    out: Path,
    overrides: Annotated[Sequence[str], Several, Parameter(name="--set")] = (),
    start: str | None = None,
    labelled: Path | None = None,
    label_view: Annotated[tuple[float, Unit], Parameter(negative_iterable="")] = (1.6, "diameters"),
) -> int:
    """Pretrain a network; the same command goes on with a run that was interrupted.

    On several GPUs: torchrun --nproc-per-node N -m reddino pretrain ... (docs/scale.md).

    Args:
        recipe: tiny, distill (CPU), small, base, large (as published), demo, or a YAML file.
        data: manifests, or folders of images; several are joined.
        out: the run folder: recipe, metrics, checkpoints, and the trained model in OUT/model.
        overrides: values in place of the recipe's, such as optim.lr=1e-4 run.samples=50000.
        start: where the weights start: scratch, a model folder, or a name of `reddino models`.
        labelled: manifest of labelled cells on which the run is scored (20-NN) while it trains.
        label_view: side of the squares round these cells, and its unit.
    """
    from reddino import api

    show_log()
    starting = [f"model.start={start}"] if start is not None else []
    with progress_bar("steps") as progress:
        outcome = api.pretrain(
            recipe,
            data,
            out,
            overrides=[*overrides, *starting],
            labelled=labelled,
            label_side=label_view,
            progress=progress,
        )
    if not outcome.finished:
        if is_main_process():
            complain(f"stopped after step {outcome.steps} of {outcome.planned}; the same command goes on.")
        return INTERRUPTED
    if is_main_process():
        say(f"{outcome.model}: trained for {outcome.steps} steps")
    return 0


data_app = App(name="data", help="Prepare images for pretraining.", help_format="plaintext")
app.command(data_app)


@data_app.command
def pack(
    data: Annotated[list[str], Parameter(negative_iterable="")],
    /,
    *,
    out: Path,
    recipe: str | None = None,
) -> None:
    """Decode images once into a folder that any number of pretraining runs share (--data OUT).

    What cannot be read is listed in OUT/failures.csv.

    Args:
        data: manifests or folders of images; or tar shards, files or URLs (http, s3), {000..012} for a range.
        out: a new folder.
        recipe: the recipe that the images are for, to measure and shrink cells; as they are, if not given.
    """
    from reddino import api
    from reddino.smears.failures import Failures

    failures = Failures()
    with progress_bar("images") as progress:
        packed = api.pack(data, out, recipe=recipe, failures=failures, progress=progress)
    if failures.count:
        complain(f"{failures.summary()} All are listed in {out / 'failures.csv'}.")
    say(f"{out}: {len(packed)} images (fingerprint {packed.fingerprint()})")


@app.command
def plan(
    recipe: str,
    /,
    *,
    devices: int = 1,
    device_kind: str = "this",
    samples: int | None = None,
    overrides: Annotated[Sequence[str], Several, Parameter(name="--set")] = (),
    check: Path | None = None,
) -> None:
    """Say what a pretraining run would take: operations, memory, samples a second, hours.

    Args:
        recipe: tiny, distill, small, base, large, demo, or a YAML file.
        devices: number of devices.
        device_kind: this (a probe is measured here); a100, h100, ...; or peak TFLOP/s and GB, such as 300/80.
        samples: length of the run, in place of the recipe's.
        overrides: values in place of the recipe's, such as crops.local_count=4.
        check: images that a short real run is made on, to compare the plan with.
    """
    from reddino import api

    made = api.plan(
        recipe,
        overrides=overrides,
        devices=devices,
        device_kind=device_kind,
        samples=samples,
        check=check,
    )
    say(made.text())


@app.command
def embed(
    data: Annotated[list[str], Parameter(negative_iterable="")],
    /,
    *,
    out: Path,
    model: str = DEFAULT_MODEL,
    view: Literal["cells", "image", "patches", "random"] | None = None,
    side: float | None = None,
    unit: Unit | None = None,
    pooling: Literal["cls", "mean", "cls+mean", "tokens"] = "cls",
    per: Literal["view", "field"] = "view",
    find_cells: Annotated[bool, Parameter(negative=())] = False,
    batch_size: int = 64,
    image_size: int | None = None,
    device: str = "auto",
    dtype: Literal["float32", "float16"] = "float32",
    threads: int = 0,
    runtime: Literal["auto", "torch", "openvino", "onnx"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    compiled: Annotated[bool, Parameter(name="--compile", negative="")] = False,
    channel_order: Literal["RGB", "BGR"] | None = None,
    name: str | None = None,
    border: Literal["pad", "drop"] = "pad",
    per_image: int = 8,
    seed: int = 0,
    mask_centre: float = 0.0,
) -> None:
    """Embed cells or images into a table; the same command goes on with a pass that was interrupted.

    Args:
        data: manifests, images, folders, tar shards, or quoted patterns of them ("**/*.png", "{00..10}.tar").
        model: a model folder, or a name of `reddino models`; the one that comes with RedDino, if not given.
        out: folder of the table; images that could not be used are listed in its failures.csv.
        view: what is cut; cells where the manifest has any, else the whole image, if not given.
        side: side of a view in the image; 1.6 diameters for cells and 224 px for patches, if not given.
        unit: of the side: diameters of a red cell, or pixels.
        pooling: class token, mean of the patch tokens, both, or a row a patch token.
        per: a row a view, or a row a field (image): the mean over its views.
        find_cells: find the cells of images that list none, by classical segmentation.
        batch_size: views that the network gets at once.
        image_size: pixels of the network's input; the model's own if not given.
        device: auto, cpu, cuda or cuda:N.
        dtype: of the stored vectors.
        threads: that decode and cut images; a few, by the cores there are, if not given.
        runtime: auto measures those that are installed and takes the fastest that gives the same vectors.
        precision: auto takes bf16 where the hardware computes it and the vectors stay the same.
        compiled: let torch.compile translate the network, which takes a minute.
        channel_order: in which the network sees the colours; as its model folder says, if not given.
        name: what result tables call the model.
        border: mirror the image where a view reaches past it, or leave such views out.
        per_image: number of random views an image.
        seed: of the random views.
        mask_centre: diameter of a disc filled round each centre, in cell diameters (a control: 1.2); 0: none.
    """
    from reddino import api
    from reddino.embed.table import read_meta
    from reddino.smears.failures import Failures

    show_log()
    failures = Failures()
    with _goes_on(), progress_bar("views") as progress:
        report = api.embed(
            data,
            model,
            out,
            view=view,
            side=side,
            unit=unit,
            pooling=pooling,
            per=per,
            find_cells=find_cells,
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
            failures=failures,
            progress=progress,
        )
    if failures.count:
        complain(f"{failures.summary()} All are listed in {out / 'failures.csv'}.")
    if report.dropped:
        complain(f"{report.dropped} views were left out, since they reach past their image.")
    resumed = f" ({report.resumed} of them from before)" if report.resumed else ""
    meta = read_meta(out)
    how = f"{meta['runtime']} {meta['precision']}" if meta["runtime"] != "none" else "no network"
    say(f"{out}: {report.rows} vectors{resumed}, {report.rows_per_second:.1f} a second ({how})")


@app.command
def convert(table: Path, out: Path, /) -> None:
    """Write an embedding table to one file for other programs.

    Args:
        table: folder of the table.
        out: .h5ad (AnnData), .npz (NumPy) or .csv.
    """
    from reddino import api

    say(f"{out}: {len(api.convert(table, out))} vectors")


@app.command
def evaluate(
    what: Annotated[list[Path] | None, Parameter(negative_iterable="")] = None,
    /,
    *,
    models: Annotated[Sequence[str], Several] = (),
    data: Annotated[Sequence[str], Several] = (),
    tables: Path = Path("tables"),
    join: bool = False,
    label: str = "label",
    protocol: Protocol = "grouped-kfold",
    group_by: str | None = None,
    source_column: str = "source",
    split_column: str = "split",
    test: Annotated[Sequence[str], Several] = (),
    folds: int = 5,
    shots: Annotated[Sequence[int] | None, Several] = None,
    repeats: int = 10,
    seed: int = 0,
    classes: Path | None = None,
    drop: Annotated[Sequence[str], Several] = (),
    rename: Annotated[Sequence[str], Several, Parameter(name="--map")] = (),
    also: Annotated[Sequence[Extra], Several] = (),
    resamples: int = 1000,
    view: Literal["cells", "image", "patches", "random"] | None = None,
    side: float | None = None,
    unit: Unit | None = None,
    pooling: Literal["cls", "mean", "cls+mean"] = "cls",
    image_size: int | None = None,
    device: str = "auto",
    family: str | None = None,
    out: Path | None = None,
    figures: Path | None = None,
) -> None:
    """Score models side by side: linear probe, 1-NN and 20-NN, with intervals.

    Args:
        what: folders of embedding tables, of the same cells by different models; or a task file (.yaml), or
            one that comes with RedDino: paper, chula, blood-cells, malaria, elongated.
        models: models to embed with, for a task file or --data, as MODEL or name=MODEL.
        data: manifests as FILE or name=FILE: the data of a task file, or a task each.
        tables: folder of the tables that --models make; those that are there are taken.
        join: make one task of all --data.
        label: column of the classes.
        protocol: kfold and cross-source (the paper's), grouped-kfold, leave-one-source-out,
            fixed (a column says what tests), or few-shot.
        group_by: column of the groups, such as patient; what shares image, group, slide or patient, if not
            given.
        source_column: column of the sources that teach each other, such as slide.
        split_column: for fixed: column with the values train and test, or with those of --test.
        test: for fixed: values of --split-column that are tested; the rest trains.
        folds: number of folds.
        shots: for few-shot: training cells a class; 1, 5, 10 and 50, if not given.
        repeats: for few-shot: draws.
        seed: of folds, draws and intervals.
        classes: YAML file that joins, renames and drops labels.
        drop: labels to leave out.
        rename: labels to rename, as old=new.
        also: further classifiers.
        resamples: of the bootstrap; 0 for no intervals.
        view: what is cut for --models, as in embed.
        side: of a view, as in embed.
        unit: of the side.
        pooling: class token, mean of the patch tokens, or both.
        image_size: pixels of the network's input; the model's own if not given.
        device: auto, cpu, cuda or cuda:N.
        family: what the names of your models hold (reddino, or as the task file says, if not given); the
            improvements are those of the best of them.
        out: JSON file for the results; the tables go beside it as .md, .tex and .csv.
        figures: folder for confusion matrices and scores by source.
    """
    from reddino import api
    from reddino.evaluate.classifiers import PUBLISHED
    from reddino.evaluate.render import rich_table
    from reddino.evaluate.tables import rich_tables

    found = api.evaluate(
        what or (),
        models=models,
        data=data,
        tables=tables,
        join=join,
        label=label,
        protocol=protocol,
        group_by=group_by,
        source_column=source_column,
        split_column=split_column,
        test_values=test,
        folds=folds,
        shots=shots,
        repeats=repeats,
        seed=seed,
        classes=classes,
        drop=drop,
        rename=dict(_pair(entry) for entry in rename),
        classifiers=(*PUBLISHED, *also),
        resamples=resamples,
        embedding={"view": view, "side": side, "unit": unit, "pooling": pooling, "image_size": image_size},
        device=device,
        family=family,
        out=out,
        figures=figures,
        watch=progress_bar,
    )
    show_tables([*rich_tables(found), *(rich_table(grid) for grid in found.grids)])
    if out is not None:
        say(f"{out}, with .md, .tex and .csv beside it: the results and where they come from")


@app.command
def batch(
    tables: Annotated[list[Path], Parameter(negative_iterable="")],
    /,
    *,
    label: str = "label",
    source: str = "source",
    group_by: str | None = None,
    dimensions: int | None = None,
    folds: int = 5,
    rows: int = 5000,
    seed: int = 0,
    drop: Annotated[Sequence[str], Several] = (),
    rename: Annotated[Sequence[str], Several, Parameter(name="--map")] = (),
    out: Path | None = None,
) -> None:
    """Measure how much of an embedding is the laboratory, beside how much is the class.

    Args:
        tables: folders of embedding tables, of the same views by different models.
        label: column of the classes.
        source: column of the laboratories, or whatever else may leave a trace.
        group_by: column of what stays on one side of a split; whatever shares image, group, slide or
            patient, if not given.
        dimensions: principal components measured; the smallest embedding's, at most 64, if not given.
        folds: number of folds of the probes.
        rows: cells that are drawn at random to be measured, at most.
        seed: of the sample, the folds and the draws.
        drop: labels to leave out.
        rename: labels to rename, as old=new.
        out: JSON file for the results; the table goes beside it as .md.
    """
    from reddino import api
    from reddino.evaluate.batch.tables import rich_table

    reports = api.batch(
        tables,
        label=label,
        source=source,
        group_by=group_by,
        dimensions=dimensions,
        folds=folds,
        rows=rows,
        seed=seed,
        drop=drop,
        rename=dict(_pair(entry) for entry in rename),
        out=out,
    )
    show_tables([rich_table(reports)])
    if out is not None:
        say(f"{out} and {out.with_suffix('.md')}: the measures with where they come from")


@app.command
def fit(
    data: Path,
    /,
    *,
    out: Path,
    model: str | None = None,
    fine_tune: Annotated[bool, Parameter(negative="")] = False,
    label: str = "label",
    group_by: str | None = None,
    drop: Annotated[Sequence[str], Several] = (),
    rename: Annotated[Sequence[str], Several, Parameter(name="--map")] = (),
    side: float | None = None,
    unit: Unit | None = None,
    pooling: Literal["cls", "mean", "cls+mean"] = "cls",
    image_size: int | None = None,
    border: Literal["pad", "drop"] = "pad",
    device: str = "auto",
    folds: int = 5,
    seed: int = 0,
    epochs: int | None = None,
    lr: float | None = None,
    layer_decay: float | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
) -> None:
    """Fit a classifier on labelled cells: a frozen probe, or a fine-tuned network.

    Args:
        data: an embedding table, or labelled smears: a manifest, or a folder of images.
        out: folder of the classifier.
        model: for smears: a model folder, or a name of `reddino models`; reddino-tiny, if not given.
        fine_tune: train the network too (smears only).
        label: column of the classes.
        group_by: column of what stays on one side of a split; whatever shares image, group, slide or
            patient, if not given.
        drop: labels to leave out.
        rename: labels to rename, as old=new.
        side: side of a view in the image; 1.6 diameters for cells, if not given.
        unit: of the side: diameters of a red cell, or pixels.
        pooling: class token, mean of the patch tokens, or both.
        image_size: pixels of the network's input; the model's own if not given.
        border: mirror the image where a view reaches past it, or leave such views out.
        device: auto, cpu, cuda or cuda:N.
        folds: folds of whole groups for choice and calibration; fine-tuning holds one part of so many out.
        seed: of every random choice.
        epochs: fine-tuning: passes over the cells, at most (20).
        lr: fine-tuning: rate of the head and the last layer (0.0005).
        layer_decay: fine-tuning: factor on the rate from each layer to the one below (0.75).
        batch_size: fine-tuning: views a step (32).
        patience: fine-tuning: epochs without a better validation loss until it stops (4).
    """
    from reddino import api
    from reddino.smears.failures import Failures
    from reddino.summaries import classifier_table

    failures = Failures()
    tuning = {
        "epochs": epochs,
        "lr": lr,
        "layer_decay": layer_decay,
        "batch_size": batch_size,
        "patience": patience,
    }
    with progress_bar("steps" if fine_tune else "views") as progress:
        made = api.fit(
            data,
            out,
            model=model,
            fine_tune=fine_tune,
            label=label,
            group_by=group_by,
            drop=drop,
            rename=dict(_pair(entry) for entry in rename),
            side=side,
            unit=unit,
            pooling=pooling,
            image_size=image_size,
            border=border,
            device=device,
            folds=folds,
            seed=seed,
            failures=failures,
            progress=progress,
            **{name: value for name, value in tuning.items() if value is not None},
        )
    if failures.count:
        complain(f"{failures.summary()} All are listed in {out / 'failures.csv'}.")
    show_tables([classifier_table(made)])
    say(f"{out}: a {made.kind} classifier of {len(made.classes)} classes. Research use only.")


@app.command
def predict(
    classifier: Path,
    data: Path,
    /,
    *,
    out: Path,
    model: str | None = None,
    overlays: Path | None = None,
    most_overlays: int = 20,
    batch_size: int = 64,
    device: str = "auto",
) -> None:
    """Classify new smears: a class with probabilities for every cell, and counts for every slide.

    Cells that no manifest marks are found by classical segmentation. Not for diagnosis.

    Args:
        classifier: a folder that `reddino fit` made.
        data: new smears, a manifest or a folder of images; or an embedding table.
        out: file for the cells, .parquet or .csv; the slides go beside it as NAME.slides.
        model: the classifier's network, where it has moved.
        overlays: folder for pictures of the fields with their cells marked by class.
        most_overlays: how many of them, at most.
        batch_size: views that the network gets at once.
        device: auto, cpu, cuda or cuda:N.
    """
    from reddino import api
    from reddino.classify.predictions_file import counts_path
    from reddino.smears.failures import Failures
    from reddino.summaries import prediction_table

    failures = Failures()
    with progress_bar("views") as progress:
        found = api.predict(
            classifier,
            data,
            out,
            model=model,
            overlays=overlays,
            most_overlays=most_overlays,
            batch_size=batch_size,
            device=device,
            failures=failures,
            progress=progress,
        )
    if failures.count:
        complain(f"{failures.summary()} All are listed in {out.with_name(f'{out.stem}.failures.csv')}.")
    if found.dropped:
        complain(f"{found.dropped} views were left out, since they reach past their image.")
    if found.found:
        complain("no cell is marked in these smears; they were found by segmentation.")
    show_tables([prediction_table(found)])
    say(f"{out} and {counts_path(out)}: {len(found)} cells. Research use only, not a diagnosis.")


@app.command
def explore(
    table: Path,
    /,
    *,
    out: Path,
    images: Path | None = None,
    method: Literal["umap", "pca"] = "umap",
    label: str = "label",
    seed: int = 0,
    formats: Annotated[Sequence[Literal["png", "pdf", "svg"]], Several] = ("png", "pdf"),
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
        seed: of the map, and of what is drawn at random.
        formats: of the map.
        serve: open Embedding Atlas on the table, on this machine alone, until Ctrl-C.
        port: for --serve.
    """
    from reddino import api
    from reddino.explore import atlas

    if serve:
        # Said before the map is made, which takes a while.
        atlas.require()
    overview = api.explore(table, out, images=images, method=method, label=label, seed=seed, formats=formats)
    if images is None:
        complain("no sheets of pictures were drawn; give --images with the manifest that was embedded.")
    say(f"{out}: the map and its sheets, and map.parquet")
    if serve:
        atlas.serve(overview, out, port)


@app.command
def patches(
    data: Path,
    /,
    *,
    model: str,
    out: Path,
    fields: int = 4,
    at: Annotated[tuple[float, float] | None, Parameter(negative_iterable="")] = None,
    tile: int | None = None,
    overlap: float = 0.5,
    scale: float = 1.0,
    device: str = "auto",
) -> None:
    """Draw what a network's patch tokens say of whole fields: components, attention, similarity.

    Args:
        data: a manifest, or a folder of images.
        model: a model folder, or a name of `reddino models`; a Vision Transformer.
        out: folder of the pictures.
        fields: number of images, of each source in turn.
        at: the patch to compare with, as shares of width and height; striking ones if not given.
        tile: pixels of the tiles a field is seen through; the model's input if not given.
        overlap: share of a tile that its neighbour covers again.
        scale: fields are resized by this first.
        device: auto, cpu, cuda or cuda:N.
    """
    from reddino import api
    from reddino.smears.failures import Failures

    failures = Failures()
    drawn = api.patches(
        data,
        model,
        out,
        device=device,
        failures=failures,
        most=fields,
        place=at,
        tile=tile,
        overlap=overlap,
        scale=scale,
    )
    if failures.count:
        complain(f"{failures.summary()} All are listed in {out / 'failures.csv'}.")
    say(f"{out}: {len(drawn)} pictures")


@app.command
def report(
    of: Path,
    /,
    *,
    out: Path | None = None,
    images: Path | None = None,
    scores: Annotated[Sequence[Path], Several] = (),
    batch_effect: Path | None = None,
    method: Literal["umap", "pca"] = "umap",
    label: str = "label",
    seed: int = 0,
) -> None:
    """Write a report of an embedding table or of a pretraining run: one HTML file that needs no network.

    Args:
        of: folder of an embedding table, or of a run.
        out: the file; report.html in that folder if not given.
        images: the manifest that was embedded, or the folder its paths start from; without it, no pictures.
        scores: JSON files of `reddino evaluate --out`, to show their tables.
        batch_effect: JSON file of `reddino batch --out`, to show its measures.
        method: how the map is made.
        label: column of the classes.
        seed: of the map, and of what is drawn at random.
    """
    from reddino import api

    written = api.report(
        of,
        out,
        images=images,
        scores=scores,
        batch_effect=batch_effect,
        method=method,
        label=label,
        seed=seed,
    )
    say(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


@app.command
def models() -> None:
    """List the models that embed and a recipe's model.start know by name."""
    from reddino import api
    from reddino.summaries import model_table

    show_tables([model_table(api.models())])


@app.command
def export(
    model: str,
    out: Path,
    /,
    *,
    form: Annotated[Literal["onnx", "openvino", "hub"], Parameter(name="--format")] = "onnx",
    pooling: Literal["cls", "mean", "cls+mean"] = "cls",
    image_size: int | None = None,
    channel_order: Literal["RGB", "BGR"] | None = None,
    scores: Annotated[Sequence[str], Several] = (),
    licence: str | None = None,
    half: bool = False,
) -> None:
    """Write a model for other programs, checked against torch: ONNX, OpenVINO, or a folder for the hub.

    Args:
        model: a model folder, a weights file, or a name of `reddino models`.
        out: a new folder.
        form: onnx, openvino (IR), or hub (timm's hub format and a model card).
        pooling: of the exported graph.
        image_size: pixels of the network's input; the model's own if not given.
        channel_order: in which the network sees the colours; as its model folder says, if not given.
        scores: for the model card, as name=number.
        licence: of the weights, for the model card, such as apache-2.0.
        half: weights in float16 (hub only).
    """
    from reddino import api

    written = api.export(
        model,
        out,
        form=form,
        pooling=pooling,
        image_size=image_size,
        channel_order=channel_order,
        scores={name: _number(name, value) for name, value in map(_score, scores)},
        licence=licence,
        half=half,
    )
    checked = (
        "" if written.difference is None else f"; largest difference from torch {written.difference:.1e}"
    )
    say(f"{written.folder}: {', '.join(written.files)}{checked}")


@app.command
def push(folder: Path, repository: str, /, *, private: bool = False) -> None:
    """Send a folder that `export --format hub` made to the Hugging Face hub.

    Args:
        folder: the folder.
        repository: OWNER/NAME on the hub; made if need be.
        private: make it private.
    """
    from reddino import api

    say(api.push(folder, repository, private=private))


@app.command
def demo(*, out: Path = Path("demo"), minutes: float | None = None) -> int:
    """Show the whole path on synthetic smears: draw, pretrain, embed, evaluate; about 10 minutes on 2 cores.

    Args:
        out: the demo folder; the same command goes on where it was interrupted.
        minutes: length of the pretraining, in place of the recipe's own.
    """
    from reddino import api
    from reddino.evaluate.tables import rich_tables

    show_log()
    report = api.demo(out, minutes=minutes, say=say, watch=progress_bar)
    if report is None:
        complain("stopped; the same command goes on.")
        return INTERRUPTED
    show_tables(rich_tables(report.results))
    say(report.summary())
    say(f"Everything is in {report.folder}: model run/model, results.json, results.md, figures/.")
    return 0


def _pair(entry: str) -> tuple[str, str]:
    from reddino.errors import RedDinoError

    old, equals, new = entry.partition("=")
    if not (old and equals and new):
        raise RedDinoError(f"--map takes old=new, not '{entry}'; use --drop to leave a label out")
    return old, new


@contextmanager
def _goes_on() -> Iterator[None]:
    """Tell the person who stops a command that it loses nothing."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("stopped; the same command goes on.") from error


def _score(entry: str) -> tuple[str, str]:
    from reddino.errors import RedDinoError

    name, equals, value = entry.rpartition("=")
    if not (name and equals and value):
        raise RedDinoError(f"--scores takes name=number, not '{entry}'")
    return name, value


def _number(name: str, value: str) -> float:
    from reddino.errors import RedDinoError

    try:
        return float(value)
    except ValueError as error:
        raise RedDinoError(f"--scores: '{name}' is no number but '{value}'") from error


def _report_failures(failures: Failures, manifest: Path) -> None:
    """Write what was left out to a file beside a manifest, and say so."""
    file = manifest.with_name(f"{manifest.stem}.failures.csv")
    failures.leave_at(file)
    if failures.count:
        complain(f"{failures.summary()} All are listed in {file}.")


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (bad input), 2 (usage) or 130 (stopped)."""
    return exit_code_of(lambda: app(sys.argv[1:] if tokens is None else list(tokens)))
