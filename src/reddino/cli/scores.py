"""The value of embeddings: evaluate scores models, batch measures the source in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import reddino
from reddino.cli.options import Several, joined_sources, new_labels
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line, progress_bar, show_tables
from reddino.evaluation.choices import PUBLISHED, OptionalClassifier, Protocol
from reddino.networks.choices import VectorPooling
from reddino.views.choices import Scale, Stain, Unit, ViewKind


@app.command
def evaluate(
    what: Annotated[list[Path] | None, Parameter(negative_iterable="")] = None,
    /,
    *,
    models: Annotated[Sequence[str], Several] = (),
    architecture: str | None = None,
    data: Annotated[Sequence[str], Several] = (),
    tables: Path = Path("tables"),
    join: bool = False,
    label: str = "label",
    protocol: Protocol = "grouped-kfold",
    group_by: str | None = None,
    join_sources: Annotated[Sequence[str] | None, Several] = None,
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
    also: Annotated[Sequence[OptionalClassifier], Several] = (),
    resamples: int = 1000,
    keep_border: Annotated[bool, Parameter(negative="")] = False,
    view: ViewKind | None = None,
    side: float | None = None,
    unit: Unit | None = None,
    scale: Scale = "picture",
    stain: Stain = "none",
    pooling: VectorPooling = "cls",
    image_size: int | None = None,
    device: str = "auto",
    family: str | None = None,
    rows: int | None = None,
    out: Path | None = None,
    figures: Path | None = None,
) -> None:
    """Score models side by side: linear probe, 1-NN and 20-NN, with intervals.

    Args:
        what: folders of embedding tables, of the same cells by different models; or a task file (.yaml), or
            one that comes with RedDino: paper, chula, blood-cells, malaria, elongated.
        models: models to embed with, for a task file or --data, as MODEL or name=MODEL.
        architecture: of timm, such as resnet50, where some of --models are state dicts of such a network.
        data: manifests as FILE or name=FILE: the data of a task file, or a task each.
        tables: folder of the tables that --models make; those that are there are taken.
        join: make one task of all --data.
        label: column of the classes.
        protocol: kfold and cross-source (the paper's), grouped-kfold, leave-one-source-out,
            fixed (a column names what tests), or few-shot.
        group_by: column of the groups, such as patient; rows of one image, group, slide or patient, if not
            given.
        join_sources: patient, slide or group: names that mean the same under every source; all three, if
            none is named.
        source_column: column of the sources that train and test each other, such as slide.
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
        keep_border: score cells that the border of their image cuts, too.
        view: what is cut for --models, as in embed.
        side: of a view, as in embed.
        unit: of the side.
        scale: of a unit in diameters, as in embed.
        stain: to which colours are brought, as in embed.
        pooling: class token, mean of the patch tokens, or both.
        image_size: pixels of the network's input; the model's own if not given.
        device: auto, cpu, cuda or cuda:N.
        family: what the names of your models hold (reddino, or as the task file has it, if not given); the
            improvements are those of the best of them.
        rows: labelled cells to score, at most; of more, a sample is drawn by the seed, and the results state
            it. All whose vectors take 4 GB in memory, or 200,000 of more, if not given.
        out: JSON file for the results; the tables go next to it as .md, .tex and .csv.
        figures: folder for confusion matrices and scores by source.
    """
    found = reddino.evaluate(
        what or (),
        models=models,
        architecture=architecture,
        data=data,
        tables=tables,
        join=join,
        label=label,
        protocol=protocol,
        group_by=group_by,
        join_sources=joined_sources(join_sources),
        source_column=source_column,
        split_column=split_column,
        test_values=test,
        folds=folds,
        shots=shots,
        repeats=repeats,
        seed=seed,
        classes=classes,
        drop=drop,
        rename=new_labels(rename),
        classifiers=(*PUBLISHED, *also),
        resamples=resamples,
        keep_border=keep_border,
        embedding={
            "view": view,
            "side": side,
            "unit": unit,
            "scale": scale,
            "stain": stain,
            "pooling": pooling,
            "image_size": image_size,
        },
        device=device,
        family=family,
        rows=rows,
        out=out,
        figures=figures,
        watch=progress_bar,
        notice=complain,
    )
    show_tables(found.tables())
    if out is not None:
        print_line(f"{out}, with .md, .tex and .csv next to it: the results and where they come from")


@app.command
def batch(
    tables: Annotated[list[Path], Parameter(negative_iterable="")],
    /,
    *,
    label: str = "label",
    source: str = "source",
    group_by: str | None = None,
    join_sources: Annotated[Sequence[str] | None, Several] = None,
    dimensions: int | None = None,
    folds: int = 5,
    rows: int = 5000,
    seed: int = 0,
    drop: Annotated[Sequence[str], Several] = (),
    rename: Annotated[Sequence[str], Several, Parameter(name="--map")] = (),
    out: Path | None = None,
) -> None:
    """Measure how much of an embedding is the laboratory, compared with how much is the class.

    Args:
        tables: folders of embedding tables, of the same views by different models.
        label: column of the classes.
        source: column of the laboratories, or of another cause of differences.
        group_by: column of what stays on one side of a split; rows of one image, group, slide or patient
            stay together, if not given.
        join_sources: patient, slide or group: names that mean the same under every source; all three, if
            none is named.
        dimensions: principal components measured; the smallest embedding's, at most 64, if not given.
        folds: number of folds of the probes.
        rows: cells that are drawn at random to be measured, at most.
        seed: of the sample, the folds and the draws.
        drop: labels to leave out.
        rename: labels to rename, as old=new.
        out: JSON file for the results; the table goes next to it as .md.
    """
    reports = reddino.batch(
        tables,
        label=label,
        source=source,
        group_by=group_by,
        join_sources=joined_sources(join_sources),
        dimensions=dimensions,
        folds=folds,
        rows=rows,
        seed=seed,
        drop=drop,
        rename=new_labels(rename),
        out=out,
    )
    show_tables([reports.table(), reports.scale()])
    for sentence in reports.verdicts():
        print_line(sentence)
    if out is not None:
        print_line(f"{out} and {out.with_suffix('.md')}: the measures with where they come from")
