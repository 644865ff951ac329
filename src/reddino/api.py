"""The verbs of RedDino: what the commands do, for programs in Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reddino.errors import RedDinoError
from reddino.inputs import (
    DEFAULT_SIDES,
    Data,
    KnownModel,
    Side,
    ViewKind,
    is_table,
    known_models,
    missing_diameters,
    needed_diameters,
    needs_hashes,
    note_seen,
    online_score,
    open_data,
    open_encoder,
    put_in_runtime,
    require_no_pack,
    run_diameters,
    seen_by,
)
from reddino.model.shipped import DEFAULT_MODEL
from reddino.smears.failures import FAILURES_FILE, Failures
from reddino.smears.manifest import (
    Manifest,
    join_manifests,
    read_manifest,
    with_groups,
    write_manifest,
)

if TYPE_CHECKING:
    from reddino.classify.classifier import Classifier
    from reddino.classify.predict import Predictions
    from reddino.demo import DemoReport
    from reddino.embed.embedding_pass import EmbedReport
    from reddino.embed.export import Export
    from reddino.embed.table import Embeddings
    from reddino.evaluate.batch.measures import BatchReport
    from reddino.evaluate.class_map import ClassMap
    from reddino.explore.overview import Method, Overview
    from reddino.model.encoder import Encoder
    from reddino.pretrain.loop import Outcome
    from reddino.pretrain.plan import Plan
    from reddino.pretrain.recipe import Recipe
    from reddino.tasks import Evaluation, Watch

__all__ = [
    "batch",
    "cells",
    "check",
    "convert",
    "demo",
    "embed",
    "evaluate",
    "explore",
    "export",
    "fit",
    "manifest",
    "models",
    "pack",
    "patches",
    "plan",
    "predict",
    "pretrain",
    "push",
    "report",
    "synthesise",
]

Advance = Callable[[int, int], None]


def manifest(
    layout: str,
    folder: str | Path,
    out: str | Path,
    *,
    groups: str | Path | None = None,
    failures: Failures | None = None,
    **options: Any,
) -> Manifest:
    """Turn a collection in a known layout into a manifest file.

    Args:
        layout: a name of `reddino.smears.readers.READERS`.
        folder: the collection.
        out: the manifest to write, .csv or .parquet.
        groups: CSV with the columns `group` and `path`, to fill the column `group` from.
        failures: collects annotations that make no sense and are left out; without it they raise.
        options: what the layout's reader takes, such as `source`, `slide` or `patient`; None is not given.

    Raises:
        RedDinoError: no such layout, an option that it does not take, or a collection of another layout.
    """
    from reddino.smears.readers import READERS

    if layout not in READERS:
        raise RedDinoError(f"no layout is called '{layout}'; known are: {', '.join(READERS)}")
    reader = READERS[layout]
    given = {name: value for name, value in options.items() if value is not None}
    taken = [name for name in inspect.signature(reader).parameters if name not in ("folder", "failures")]
    for name in given:
        if name not in taken:
            raise RedDinoError(f"layout '{layout}' takes no option '{name}'; it takes: {', '.join(taken)}")
    result = reader(folder, failures=failures, **given)
    if groups is not None:
        result = with_groups(result, groups)
    write_manifest(result, out)
    return result


def check(file: str | Path) -> Manifest:
    """Read a manifest and look whether all of its images are there.

    Raises:
        RedDinoError: names file, row and column of the first fault, or the first missing image.
    """
    return read_manifest(file, check_files=True)


def synthesise(out: str | Path, **options: Any) -> Manifest:
    """Draw synthetic smears; options as `reddino.smears.synthetic.write_smears`."""
    from reddino.smears.synthetic import write_smears

    return write_smears(Path(out), **options)


def cells(
    data: Data, out: str | Path, *, failures: Failures | None = None, progress: Advance | None = None
) -> Manifest:
    """Find the red cells in every image and write a manifest with a row a cell.

    Args:
        data: a manifest, its file, or a folder of images.
        out: the manifest to write, .csv or .parquet.
        failures: takes the images that cannot be read or show no red cell.
        progress: called with images done and images in all.

    Raises:
        RedDinoError: not one red cell was found.
    """
    from reddino.smears.cells import find_cells_in

    failures = Failures() if failures is None else failures
    found = find_cells_in(open_data(data, failures), failures=failures, progress=progress)
    if len(found) == 0:
        raise RedDinoError(f"no red cells were found; {failures.summary()}")
    write_manifest(found, out)
    return found


def pretrain(
    recipe: str | Path | Recipe,
    data: Data | Sequence[Data],
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    labelled: Data | None = None,
    label_side: Side = DEFAULT_SIDES["cells"],
    label_cells: int = 2000,
    progress: Advance | None = None,
) -> Outcome:
    """Pretrain a network; the same call goes on with a run that was interrupted.

    Processes that torchrun started share the run; each of them makes this call.

    Args:
        recipe: name or path of a recipe, or the recipe itself.
        data: manifests, their files or folders of images, of which several are joined; or one pack.
        out: the run folder.
        overrides: such as `optim.lr=1e-4` or `model.start=dinov2-small`.
        labelled: cells with labels that the teacher is scored on while it trains (20-NN).
        label_side: side of the squares round these cells, and its unit.
        label_cells: of them take part, at most, drawn at random once.
        progress: called with steps done and steps planned.

    Returns:
        The outcome; `finished` is False after Ctrl-C or SIGTERM, `model` is the model folder.

    Raises:
        RedDinoError: recipe, images or run folder do not fit, or another process trains in it.
    """
    from reddino.pretrain import loop
    from reddino.pretrain.distribution import joined
    from reddino.pretrain.recipe import Recipe, read_recipe
    from reddino.pretrain.run_folder import only_trainer

    resolved = recipe if isinstance(recipe, Recipe) else read_recipe(recipe, overrides)
    sources = [data] if isinstance(data, str | Path | Manifest) else data
    opened = [open_data(one) for one in sources]
    require_no_pack(opened)
    images = opened[0] if len(opened) == 1 else join_manifests(opened)
    with joined(resolved.runtime.device) as processes, only_trainer(Path(out), processes):
        score = None
        if labelled is not None and processes.is_main:
            score = online_score(resolved, labelled, label_side, label_cells)
        return loop.pretrain(
            resolved,
            images,
            Path(out),
            cell_diameters=processes.from_main(lambda: run_diameters(resolved, images, Path(out))),
            online_score=score,
            progress=progress if processes.is_main else None,
            processes=processes,
        )


def pack(
    data: Data | Sequence[Data],
    out: str | Path,
    *,
    recipe: str | Path | Recipe | None = None,
    failures: Failures | None = None,
    progress: Advance | None = None,
) -> Manifest:
    """Decode images once into a folder that any number of pretraining runs share.

    Args:
        data: manifests, their files or folders of images; or tar shards, as file names or URLs, in which
            `{000..012}` stands for a range.
        out: a new folder.
        recipe: the recipe that the images are for, whose cell diameters they are measured and shrunk to; None
            keeps them as they are.
        failures: takes what could not be used.
        progress: called with images done and images in all; in all is 0 for shards, which are streamed.

    Raises:
        RedDinoError: shards and manifests at once, no image that can be decoded, or `out` is a pack.
    """
    from reddino.packs import pack_data

    return pack_data(data, Path(out), recipe, Failures() if failures is None else failures, progress)


def plan(
    recipe: str | Path | Recipe,
    *,
    overrides: Sequence[str] = (),
    devices: int = 1,
    device_kind: str = "this",
    samples: int | None = None,
    check: Data | None = None,
) -> Plan:
    """Say what a pretraining run would take: operations, memory, samples a second, hours.

    Args:
        recipe: name or path of a recipe, or the recipe itself.
        overrides: such as `crops.local_count=4`.
        devices: number of devices.
        device_kind: `this` measures a probe on this machine; else a name of `reddino.pretrain.plan.DEVICES`,
            or peak TFLOP/s and GB of memory such as `300/80`.
        samples: length of the run; None: as the recipe has it.
        check: images that a short real run is made on, to compare the plan with (this machine only).

    Raises:
        RedDinoError: no such recipe or kind of device.
    """
    from reddino.pretrain.plan import make_plan
    from reddino.pretrain.recipe import Recipe, read_recipe

    resolved = recipe if isinstance(recipe, Recipe) else read_recipe(recipe, overrides)
    images = None if check is None else open_data(check)
    return make_plan(
        resolved,
        devices=devices,
        device_kind=device_kind,
        samples=samples,
        check=images,
        cell_diameters=None if images is None else needed_diameters(resolved, images),
    )


def embed(
    data: Data | Sequence[Data],
    model: str,
    out: str | Path,
    *,
    view: ViewKind | None = None,
    side: float | None = None,
    unit: Literal["px", "diameters"] | None = None,
    pooling: str = "cls",
    per: Literal["view", "field"] = "view",
    find_cells: bool = False,
    batch_size: int = 64,
    image_size: int | None = None,
    device: str = "auto",
    dtype: Literal["float32", "float16"] = "float32",
    threads: int = 0,
    runtime: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
    channel_order: str | None = None,
    name: str | None = None,
    hashes: Path | None = None,
    failures: Failures | None = None,
    progress: Advance | None = None,
    **options: Any,
) -> EmbedReport:
    """Embed cells or images into a table; the same call goes on with a pass that was interrupted.

    Args:
        data: manifests, image files, folders, tar shards, or patterns of them: `reddino.smears.gather`.
        model: a model folder or a name that `models` lists.
        out: folder of the table.
        view: what is cut; None: cells where the manifest has any, else the whole image.
        side: side of a view in the image, with its unit; None: 1.6 diameters for cells, else 224 px.
        unit: `px`, or `diameters` of a red cell.
        pooling: `cls`, `mean` (of the patch tokens), `cls+mean`, or `tokens`: a row a patch token.
        per: a row a `view`, or a row a `field` with the mean over its views.
        find_cells: find the cells of images that list none, by classical segmentation.
        batch_size: views that the network gets at once.
        image_size: pixels of the network's input; None: the model's own.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        dtype: of the stored vectors.
        threads: that decode and cut images; 0 takes a few, by the cores there are.
        runtime: `torch`, `openvino`, `onnx`, or `auto`: the fastest that gives the same vectors.
        precision: `fp32`, `bf16`, or `auto`: bf16 where the hardware computes it and the vectors keep.
        compiled: torch.compile.
        channel_order: `RGB` or `BGR`, the order that the network sees; None: what the model's card says.
        name: what tables call the model; None: as given in `model`.
        hashes: folder to keep the hashes of the images in, for the next model; None keeps them nowhere.
        failures: takes the images that could not be used.
        progress: called with views done and views planned.
        options: further fields of `reddino.smears.views.ViewSpec`: `border`, `per_image`, `seed`,
            `mask_centre`.

    Raises:
        RedDinoError: nothing to embed, an unknown model, or a folder that holds another table.
    """
    from reddino.embed.embedding_pass import embed_manifest
    from reddino.smears.views import make_view

    left_out = Failures()
    opened = open_data(data, left_out)
    kind = view or ("cells" if find_cells or opened.is_cell().any() else "image")
    length, measure = _side(opened, kind, side, unit)
    encoder = open_encoder(
        model, image_size=image_size, device=device, precision="fp32", channel_order=channel_order
    )
    spec = make_view(kind=kind, side=length, unit=measure, output=encoder.input_size, **options)
    # Where cells are found, each image's own diameter is measured with them.
    diameters = missing_diameters(opened) if spec.needs_diameters and not find_cells else None
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
        batch_size=batch_size,
        diameters=diameters,
        dtype=dtype,
        threads=threads,
        left_out=left_out,
        failures=failures,
        progress=progress,
        name=name,
        hashed=needs_hashes(seen, hashes),
    )
    note_seen(seen, opened, Path(out), hashes)
    return report


def convert(table: str | Path, out: str | Path) -> Embeddings:
    """Write an embedding table to one file for other programs: .h5ad (AnnData), .npz or .csv, by suffix.

    Raises:
        RedDinoError: no finished table there, another suffix, or a package that the format needs is missing.
    """
    from reddino.embed.convert import save
    from reddino.embed.table import read_embeddings

    embeddings = read_embeddings(table)
    save(embeddings, out)
    return embeddings


def evaluate(
    what: str | Path | Sequence[str | Path] = (),
    *,
    models: Sequence[str] = (),
    data: Sequence[str | Path] = (),
    tables: str | Path = "tables",
    join: bool = False,
    classes: str | Path | ClassMap | None = None,
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    shots: Sequence[int] | None = None,
    embedding: Mapping[str, Any] | None = None,
    device: str = "auto",
    batch_size: int = 64,
    family: str | None = None,
    out: str | Path | None = None,
    figures: str | Path | None = None,
    watch: Watch | None = None,
    **question: Any,
) -> Evaluation:
    """Score models side by side: linear probe, 1-NN, 20-NN and what else is asked.

    Args:
        what: folders of embedding tables of the same cells; or a task file (.yaml, or a shipped one's name).
        models: models to embed with, for a task file or `data`; `name=model` gives one a name.
        data: manifests, or `name=manifest`: the data of a task file, or a task each.
        tables: folder where tables of `models` are kept, and taken from if they are there.
        join: the manifests of `data` make one task.
        classes: class map, or its YAML file; `drop` and `rename` (old label to new) are the short way.
        shots: training cells a class, for few-shot; a task each. None: `reddino.tasks.SHOTS`.
        embedding: `view`, `side`, `unit`, `pooling` and `image_size` as in `embed`, for `data`; with a task
            file `image_size` alone, in place of what its tasks say.
        device, batch_size: as in `embed`.
        family: what the names of our models hold, for the improvements in the paper's layout; None: what the
            task file says, or reddino.
        out: file for the results, .json; the tables go beside it as .md, .tex and .csv.
        figures: folder for confusion matrices and scores by source.
        watch: gives the progress of an embedding pass, under a name.
        question: further fields of `reddino.evaluate.question.Question`, such as `protocol` or `group_by`.

    Raises:
        RedDinoError: tables of other data or views, an absent column, or classes that cannot be split.
    """
    from reddino import tasks
    from reddino.evaluate.class_map import class_map

    if out is not None and Path(out).suffix != ".json":
        raise RedDinoError(f"{out}: results are written as .json (and .md, .tex, .csv beside it)")
    given = [what] if isinstance(what, str | Path) else list(what)
    mapping = class_map(classes, drop, rename or {})
    embedder = tasks.Embedder(
        Path(tables), embed, {"device": device, "batch_size": batch_size}, watch or tasks.unwatched
    )
    paths = tasks.named_paths(data)
    named = {} if family is None else {"family": family}
    file = tasks.find_task_file(given)
    if file is not None:
        size = (embedding or {}).get("image_size")
        options = {**question, **(embedding or {}), "image_size": None}
        tasks.require_defaults(mapping, options, str(file), join=join, shots=shots)
        asked = tasks.read_task_file(file).at_size(size).model_copy(update=named)
        found = tasks.run_tasks(asked, models, embedder, paths=paths, beside=file.parent)
    elif given:
        _refuse_beside_tables(models=models, data=data, join=join, **tasks.chosen_views(embedding or {}))
        questions = tasks.make_questions(mapping, shots or tasks.SHOTS, question)
        found = tasks.score_tables(given, questions, **named)
    else:
        asked = tasks.data_tasks(
            paths,
            mapping,
            join=join,
            **named,
            options={**(embedding or {}), **question, "shots": shots or tasks.SHOTS},
        )
        found = tasks.run_tasks(asked, models, embedder, paths=paths)
    if out is not None:
        _write_results(Path(out), found)
    if figures is not None:
        from reddino.result_figures import draw

        draw(found, Path(figures))
    return found


def _refuse_beside_tables(**options: Any) -> None:
    """Refuse options that say what to embed where tables are given, which would be passed over."""
    idle = [name for name, value in options.items() if value]
    if idle:
        raise RedDinoError(
            f"tables are scored as they are, so that {' and '.join(idle)} would do nothing: "
            "give tables, or models with data"
        )


def batch(
    tables: str | Path | Sequence[str | Path],
    *,
    dimensions: int | None = None,
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    group_by: str | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    **options: Any,
) -> list[BatchReport]:
    """Measure how much of the embeddings is the source, beside how much is the class.

    Args:
        tables: folders of embedding tables of the same views.
        dimensions: principal components that are measured; None: the smallest embedding's, at most 64.
        drop: labels to leave out.
        rename: old label to new.
        group_by: column of what stays on one side of a split; None: whatever shares
            image, group, slide or patient.
        out: file for the results, .json; the tables go beside it as .md.
        seed: of the sample, the folds and the draws.
        options: `label`, `source`, `folds`, `rows` of `reddino.evaluate.batch.measures.measure_table`.

    Raises:
        RedDinoError: tables of other data or views, or fewer than two sources.
    """
    from reddino.embed.table import read_embeddings, require_same_views
    from reddino.evaluate.batch import tables as layout
    from reddino.evaluate.batch.measures import common_dimensions, measure_table
    from reddino.evaluate.protocol import require_finite
    from reddino.provenance import provenance

    folders = [tables] if isinstance(tables, str | Path) else list(tables)
    if out is not None and Path(out).suffix != ".json":
        raise RedDinoError(f"{out}: results are written as .json (and .md beside it)")
    read = {str(folder): read_embeddings(folder) for folder in folders}
    require_same_views(read)
    for table in read.values():
        require_finite(table)
    size = dimensions or common_dimensions([table.vectors.shape[1] for table in read.values()])
    classes: dict[str, str | None] = {**(rename or {}), **dict.fromkeys(drop)}
    reports = [
        measure_table(table, dimensions=size, classes=classes, group_column=group_by, seed=seed, **options)
        for table in read.values()
    ]
    if out is not None:
        origin = provenance(seed=seed, data=str(reports[0].embedding.get("data", "")))
        layout.save(Path(out), reports, origin)
    return reports


def fit(
    data: Data,
    out: str | Path,
    *,
    model: str | None = None,
    fine_tune: bool = False,
    label: str = "label",
    group_by: str | None = None,
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    side: float | None = None,
    unit: Literal["px", "diameters"] | None = None,
    pooling: str = "cls",
    image_size: int | None = None,
    device: str = "auto",
    folds: int = 5,
    seed: int = 0,
    failures: Failures | None = None,
    progress: Advance | None = None,
    **options: Any,
) -> Classifier:
    """Fit a classifier on labelled cells (or images) and save it as a folder that `predict` takes.

    Args:
        data: an embedding table, or labelled smears: a manifest, its file, or a folder of images.
        out: the classifier's folder.
        model: for smears: a model folder or a name that `models` lists; None: `reddino-tiny`.
        fine_tune: train the network too, instead of a frozen probe; for smears only.
        label: column of the classes.
        group_by: column of what stays on one side of a split; None: whatever shares
            image, group, slide or patient.
        drop: labels to leave out.
        rename: old label to new.
        side: for smears, of a view with its unit, as for `embed`.
        unit: `px`, or `diameters` of a red cell.
        pooling: `cls`, `mean` or `cls+mean`.
        image_size: pixels of the network's input; None: the model's own.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        folds: of the calibration; when fine-tuning, one part of so many is held out.
        seed: of every random choice.
        failures: takes the images that could not be used; they are listed in the folder too.
        progress: called with views or steps done and planned.
        options: `border` and `mask_centre` of the views, and when fine-tuning fields of
            `reddino.classify.finetune.TuneSettings`, such as `epochs` and `lr`.

    Raises:
        RedDinoError: the folder is taken, the model cannot be tuned, or classes and groups cannot be split.
    """
    from reddino.classify import smears
    from reddino.classify.fit import fit_on_table

    classes: dict[str, str | None] = {**(rename or {}), **dict.fromkeys(drop)}
    common: dict[str, Any] = {"label": label, "group_column": group_by, "classes": classes}
    failures = Failures() if failures is None else failures
    views: dict[str, Any] = {
        str(name): options.pop(name) for name in ("border", "mask_centre") if name in options
    }
    if options and not fine_tune:
        raise RedDinoError(f"only fine-tuning takes {', '.join(sorted(options))}: add --fine-tune")
    if is_table(data):
        from reddino.embed.table import read_embeddings

        if fine_tune or model is not None:
            raise RedDinoError(
                f"{data} is an embedding table: give a manifest to choose or tune a network on"
            )
        return fit_on_table(read_embeddings(str(data)), Path(out), folds=folds, seed=seed, **common)
    opened = smears.labelled(open_data(data, failures), label, classes)
    # A frozen network must give everywhere the vectors that the probe learned on.
    encoder = open_encoder(
        model or DEFAULT_MODEL,
        image_size=image_size,
        device=device,
        precision="auto" if fine_tune else "fp32",
    )
    length, measure = _side(opened, None, side, unit)
    job = smears.FitJob(opened, encoder, length, measure, pooling, views, missing_diameters)
    tuning = {**options, "folds": folds, "seed": seed} if fine_tune else None
    made = job.fit(Path(out), tuning, folds=folds, seed=seed, failures=failures, progress=progress, **common)
    failures.leave_at(Path(out) / FAILURES_FILE)
    return made


def predict(
    classifier: str | Path,
    data: Data,
    out: str | Path | None = None,
    *,
    model: str | None = None,
    overlays: str | Path | None = None,
    most_overlays: int = 20,
    batch_size: int = 64,
    device: str = "auto",
    failures: Failures | None = None,
    progress: Advance | None = None,
) -> Predictions:
    """Classify new smears: a class with calibrated probabilities for every cell, and counts for every slide.

    Args:
        classifier: a folder that `fit` made.
        data: new smears (a manifest, its file, or a folder of images), whose cells are found where none is
            marked; or an embedding table.
        out: file for the cells, .parquet or .csv; the slides go beside it as <name>.slides.<suffix>.
        model: the classifier's network, where it is no longer where the classifier found it.
        overlays: folder for pictures of the fields with the cells marked by class.
        most_overlays: how many of them, at most.
        batch_size: views that the network gets at once.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        failures: takes the images that could not be used.
        progress: called with views done and views planned.

    Raises:
        RedDinoError: embeddings, a network or smears of another kind or scale than the classifier's.
    """
    from reddino.classify import smears
    from reddino.classify.classifier import open_classifier
    from reddino.classify.predict import predict_embeddings, predict_smears
    from reddino.classify.predictions_file import require_known_suffix

    opened = open_classifier(classifier)
    failures = Failures() if failures is None else failures
    if out is not None:
        require_known_suffix(Path(out))
    if is_table(data):
        from reddino.embed.table import read_embeddings

        if overlays is not None:
            raise RedDinoError(
                f"{data} is an embedding table, without pictures to draw on: give the manifest"
            )
        found = predict_embeddings(opened, read_embeddings(str(data)))
    else:
        name = model or smears.model_of(opened, Path(classifier))
        encoder = open_encoder(name, image_size=opened.view.output, device=device, precision="fp32")
        manifest = open_data(data, failures)
        marked = opened.view.kind != "cells" or manifest.is_cell().any()
        diameters = missing_diameters(manifest) if opened.view.needs_diameters and marked else None
        found = predict_smears(
            opened,
            encoder,
            manifest,
            diameters=diameters,
            batch_size=batch_size,
            failures=failures,
            progress=progress,
        )
    if out is not None:
        smears.write(found, opened, Path(out), failures)
    if overlays is not None:
        from reddino.classify.overlay import draw_overlays

        draw_overlays(found, Path(overlays), most_overlays)
    return found


def explore(
    table: str | Path,
    out: str | Path,
    *,
    images: str | Path | None = None,
    method: Method = "umap",
    label: str = "label",
    seed: int = 0,
    formats: Sequence[str] = ("png", "pdf"),
) -> Overview:
    """Draw an embedding table: the map by class, patient and source, and sheets of pictures.

    Args:
        table: folder of an embedding table.
        out: folder of the figures, and of map.parquet: the rows with map_x, map_y and outlier.
        images: the manifest that was embedded, or the folder that its paths start from; without it there are
            no sheets.
        method: `umap` or `pca`.
        label: column of the classes.
        seed: of the map, and of what is drawn at random.
        formats: of the map: png, pdf, svg. Sheets are written as png.

    Raises:
        RedDinoError: no such table, column or images, or a format that is not known.
    """
    from reddino.explore.figures import save_figure

    unknown = sorted(set(formats) - {"png", "pdf", "svg"})
    if unknown:
        raise RedDinoError(f"figures are written as png, pdf or svg, not as {', '.join(unknown)}")
    overview = _overview(table, images, method, label, seed)
    maps = overview.maps()
    for kind in formats:
        save_figure(maps, Path(out) / f"map.{kind}")
    for name, figure in overview.sheets().items():
        save_figure(figure, Path(out) / f"{name}.png")
    overview.save_columns(Path(out) / "map.parquet", _origin(overview))
    return overview


def patches(
    data: Data,
    model: str,
    out: str | Path,
    *,
    device: str = "auto",
    failures: Failures | None = None,
    **options: Any,
) -> list[Path]:
    """Draw what patch tokens say of some fields: components as colour, attention, similarity.

    Args:
        data: a manifest, its file, or a folder of images.
        model: a model folder or a name that `models` lists; a Vision Transformer.
        out: folder of the pictures.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        failures: takes the images that cannot be read; they are listed in the folder too.
        options: `most`, `place`, `tile`, `overlap`, `scale` of `reddino.explore.patches.patch_pictures`.

    Returns:
        The pictures.

    Raises:
        RedDinoError: the network has no patch tokens, or no image can be read.
    """
    from reddino.explore.patches import patch_pictures
    from reddino.explore.vit_patches import ViTPatches
    from reddino.model.encoder import open_model
    from reddino.provenance import provenance
    from reddino.runtime import choose_runtime

    failures = Failures() if failures is None else failures
    opened = open_data(data, failures)
    encoder = open_model(model, runtime=choose_runtime(device))
    origin = provenance(data=opened.fingerprint(), model=encoder.weights_hash)
    drawn = patch_pictures(ViTPatches(encoder), opened, Path(out), origin, failures=failures, **options)
    failures.leave_at(Path(out) / FAILURES_FILE)
    return drawn


def report(
    of: str | Path,
    out: str | Path | None = None,
    *,
    images: str | Path | None = None,
    scores: Sequence[str | Path] = (),
    batch_effect: str | Path | None = None,
    method: Method = "umap",
    label: str = "label",
    seed: int = 0,
) -> Path:
    """Write a report as one HTML file that needs nothing else: of an embedding table, or of a run.

    Args:
        of: folder of an embedding table, or of a pretraining run.
        out: the file; None: report.html in that folder.
        images: for a table: the manifest that was embedded, or the folder that its paths start from.
        scores: for a table: files that `evaluate` wrote.
        batch_effect: for a table: file that `batch` wrote.
        method: of the map, `umap` or `pca`.
        label: column of the classes.
        seed: of the map, and of what is drawn at random.

    Returns:
        The file.

    Raises:
        RedDinoError: neither a table nor a run, files that do not fit, or options of the other kind.
    """
    from reddino.atomic import write_text
    from reddino.explore.page.measures import read_document
    from reddino.explore.page.table_report import table_report
    from reddino.provenance import provenance
    from reddino.run_report import is_run, run_report

    folder = Path(of)
    target = Path(out) if out is not None else folder / "report.html"
    if is_run(folder):
        _refuse_of_a_run(
            images=images is not None,
            scores=bool(scores),
            batch_effect=batch_effect is not None,
            method=method != "umap",
            label=label != "label",
            seed=seed != 0,
        )
        write_text(target, run_report(folder, provenance()))
        return target
    # Before the map, which takes longest.
    documents = [read_document(file) for file in scores]
    measures = read_document(batch_effect) if batch_effect is not None else None
    overview = _overview(folder, images, method, label, seed)
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
    """Refuse options that bear on a table where the report is of a run, which would be passed over."""
    idle = [name for name, is_given in given.items() if is_given]
    if idle:
        raise RedDinoError(
            f"the report of a run takes no {' or '.join(idle)}, which bear on an embedding table: leave them "
            "out, or embed with the run's model and report on that table"
        )


def _overview(
    table: str | Path, images: str | Path | None, method: Method, label: str, seed: int
) -> Overview:
    from reddino.embed.table import read_embeddings
    from reddino.evaluate.protocol import require_finite
    from reddino.explore.overview import Overview

    read = read_embeddings(table)
    require_finite(read)
    return Overview.of(read, images=images, method=method, label=label, seed=seed)


def _origin(overview: Overview) -> dict[str, Any]:
    from reddino.provenance import provenance

    meta = overview.table.meta
    return provenance(seed=overview.seed, data=str(meta.get("data")), model=str(meta.get("weights_hash")))


def models() -> list[KnownModel]:
    """The names that `embed` and a recipe's `model.start` take, and where the weights come from."""
    return known_models()


def load(name: str | Path, **options: Any) -> Encoder:
    """Open a model, ready to embed images of any size; options as `reddino.embed.opening.load`.

    >>> vectors = reddino.load("reddino-small").embed(["cell.png", array, pil_image])  # (3, 384) float32
    """
    from reddino.embed import opening

    return opening.load(name, **options)


def export(
    model: str,
    out: str | Path,
    *,
    form: Literal["onnx", "openvino", "hub"] = "onnx",
    pooling: str = "cls",
    image_size: int | None = None,
    channel_order: str | None = None,
    scores: Mapping[str, float] | None = None,
    licence: str | None = None,
    half: bool = False,
) -> Export:
    """Write a model for other programs; what it computes is checked against torch.

    Args:
        model: as for `embed`.
        out: a new folder.
        form: `onnx`, `openvino` (IR) or `hub` (timm's hub format and a model card).
        pooling: of the exported graph.
        image_size: pixels of the network's input; None: as for `load`.
        channel_order: `RGB` or `BGR`, the order that the network sees; None: what the model's card says.
        scores: for the model card.
        licence: of the weights, for the model card.
        half: a hub folder's weights in float16.

    Raises:
        RedDinoError: an extra is not installed, the folder is not empty, or the file computes something else.
    """
    from reddino.embed.export import export_model
    from reddino.model.seen import read_seen
    from reddino.model.shipped import as_folder

    encoder = load(model, image_size=image_size, channel_order=channel_order, device="cpu", precision="fp32")
    return export_model(
        encoder,
        Path(out),
        form=form,
        pooling=pooling,
        scores=scores,
        licence=licence,
        seen=read_seen(Path(as_folder(str(model)))),
        half=half,
    )


def push(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Send a folder that `export(form="hub")` made to the Hugging Face hub; gives the commit's address.

    Raises:
        RedDinoError: the folder is not ready, the hub is out of reach, or nobody is logged in.
    """
    from reddino.embed.push import push_folder

    return push_folder(Path(folder), repository, private=private)


def demo(out: str | Path = "demo", *, minutes: float | None = None, **options: Any) -> DemoReport | None:
    """Show the whole path on synthetic smears; the same call goes on where it was interrupted.

    Args:
        out: the demo folder.
        minutes: length of the pretraining on two cores, about; None: as the recipe has it.
        options: `say` and `watch` of `reddino.demo.run_demo`, which take what there is to see.

    Returns:
        None if the pretraining was asked to stop (Ctrl-C, SIGTERM).
    """
    from reddino.demo import DemoScale, run_demo

    scale = DemoScale() if minutes is None else DemoScale().lasting(minutes)
    return run_demo(Path(out), scale, **options)


def _side(
    manifest: Manifest,
    kind: ViewKind | None,
    side: float | None,
    unit: Literal["px", "diameters"] | None,
) -> Side:
    """Side and unit of a view, the default of its kind where neither is given."""
    if (side is None) != (unit is None):
        raise RedDinoError("the side of a view needs a number and a unit: give both --side and --unit")
    if side is not None and unit is not None:
        return side, unit
    return DEFAULT_SIDES[kind or ("cells" if manifest.is_cell().any() else "image")]


def _write_results(path: Path, found: Evaluation) -> None:
    """Results as JSON, and their tables beside it."""
    from reddino.evaluate.save import save_tables
    from reddino.provenance import hash_bytes, provenance

    data = list(dict.fromkeys(str(result.embedding.get("data", "")) for result in found))
    together = data[0] if len(data) == 1 else hash_bytes(*(one.encode() for one in data))
    seeds = sorted({int(result.question["seed"]) for result in found})
    origin = provenance(seed=seeds[0] if len(seeds) == 1 else seeds, data=together)
    save_tables(path, found, origin, found.grids)
