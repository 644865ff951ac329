"""Classifiers of cells: fit makes one, predict applies it to new smears."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import reddino
from reddino.classification.held_out_words import REPORT
from reddino.classification.prediction_paths import counts_path
from reddino.classification.risk_warning import risk_warning
from reddino.cli.domain_table import show_domain
from reddino.cli.held_out_tables import answer, caveats, held_out_tables
from reddino.cli.options import Several, WithOrWithout, joined_sources, new_labels, priors_given, ray_given
from reddino.cli.prior_notes import shift_notes
from reddino.cli.program import app
from reddino.cli.summaries import prediction_table
from reddino.cli.terminal import complain, print_line, progress_bar, show_tables
from reddino.cli.trust_tables import class_trust_table
from reddino.foundations.counting import counted
from reddino.networks.choices import VectorPooling
from reddino.smears.choices import Subfolders
from reddino.views.choices import Border, Scale, Stain, Unit


@app.command
def fit(
    data: Path,
    /,
    *,
    out: Path,
    model: str | None = None,
    architecture: str | None = None,
    fine_tune: Annotated[bool, Parameter(negative="")] = False,
    label: str = "label",
    group_by: str | None = None,
    join_sources: Annotated[Sequence[str] | None, Several] = None,
    drop: Annotated[Sequence[str], Several] = (),
    rename: Annotated[Sequence[str], Several, Parameter(name="--map")] = (),
    side: float | None = None,
    unit: Unit | None = None,
    scale: Scale = "picture",
    keep_border: Annotated[bool, Parameter(negative="")] = False,
    pooling: VectorPooling = "cls",
    image_size: int | None = None,
    border: Border = "pad",
    stain: Stain = "none",
    device: str = "auto",
    folds: int = 5,
    seed: int = 0,
    epochs: int | None = None,
    lr: float | None = None,
    layer_decay: float | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
    subfolders: Subfolders = "auto",
) -> None:
    """Fit a classifier on labelled cells: a frozen probe, or a fine-tuned network.

    Args:
        data: an embedding table, or labelled smears: a manifest, or a folder of images.
        out: folder of the classifier.
        model: for smears: a model folder, or a name of `reddino models`; reddino-tiny, if not given.
        architecture: of timm, such as resnet50, where --model is the state dict of such a network.
        fine_tune: train the network too (smears only).
        label: column of the classes.
        group_by: column of what stays on one side of a split; rows of one image, group, slide or patient
            stay together, if not given.
        join_sources: patient, slide or group: names that mean the same under every source; all three, if
            none is named.
        drop: labels to leave out.
        rename: labels to rename, as old=new.
        side: side of a view in the image; 1.6 diameters for cells, if not given.
        unit: of the side: diameters of a red cell, pixels, or micrometres (um), which need um_per_px.
        scale: the diameter is that of each picture's own red cells, or one for all pictures of a source.
        keep_border: learn from cells that the border of their image cuts, too.
        pooling: class token, mean of the patch tokens, or both.
        image_size: pixels of the network's input; the model's own if not given.
        border: mirror the image where a view reaches past it, or leave such views out.
        stain: bring the colours of each picture to one Romanowsky stain first; `predict` then does so too.
        device: auto, cpu, cuda or cuda:N.
        folds: folds of whole groups for choice and calibration; fine-tuning holds one part of so many out.
        seed: of every random choice.
        epochs: fine-tuning: passes over the cells, at most (20).
        lr: fine-tuning: rate of the head and the last layer (0.0005).
        layer_decay: fine-tuning: factor on the rate from each layer to the one below (0.75).
        batch_size: fine-tuning: views a step (32).
        patience: fine-tuning: epochs without a better validation loss until it stops (4).
        subfolders: what those of a folder of images stand for; auto goes by their names, and prints it.
    """
    failures = reddino.Failures()
    tuning = {
        "epochs": epochs,
        "lr": lr,
        "layer_decay": layer_decay,
        "batch_size": batch_size,
        "patience": patience,
    }
    with progress_bar("steps" if fine_tune else "views") as progress:
        made = reddino.fit(
            data,
            out,
            model=model,
            architecture=architecture,
            fine_tune=fine_tune,
            label=label,
            group_by=group_by,
            join_sources=joined_sources(join_sources),
            drop=drop,
            rename=new_labels(rename),
            side=side,
            unit=unit,
            scale=scale,
            keep_border=keep_border,
            pooling=pooling,
            image_size=image_size,
            border=border,
            stain=stain,
            device=device,
            folds=folds,
            seed=seed,
            subfolders=subfolders,
            failures=failures,
            progress=progress,
            notice=complain,
            **{name: value for name, value in tuning.items() if value is not None},
        )
    if failures.count:
        complain(f"{failures.summary()}; all are listed in {out / 'failures.csv'}")
    print_line(f"{out}: a {made.kind} classifier of {len(made.classes)} classes. {answer(made)}.")
    show_tables(held_out_tables(made))
    for line in caveats(made.report):
        complain(f"{line}.")
    if cut := made.report.get("cells_at_the_border"):
        left = "was left out, since the border of its image cuts it"
        if cut > 1:
            left = "were left out, since the border of their image cuts them"
        complain(f"{counted(cut, 'cell')} {left} (--keep-border).")
    print_line(f"{out / REPORT}: all of this, and every note in full. Research use only.")


@app.command
def predict(
    classifier: Path,
    data: Annotated[list[str], Parameter(negative_iterable="")],
    /,
    *,
    out: Path,
    model: str | None = None,
    architecture: str | None = None,
    overlays: Path | None = None,
    most_overlays: int = 20,
    priors: Annotated[Sequence[str], Several] = (),
    adjust_priors: Annotated[bool, Parameter(negative="")] = False,
    keep_border: Annotated[bool, Parameter(negative="")] = False,
    risk: float | None = None,
    abstain_outside: Annotated[bool, Parameter(negative="")] = False,
    batch_size: int = 64,
    device: str = "auto",
    kinds: bool = True,
    subfolders: Subfolders = "auto",
    ray: Annotated[list[str] | None, WithOrWithout] = None,
    ray_workers: int = 0,
) -> None:
    """Classify new smears: a class with probabilities for every cell, and counts for every slide.

    Cells that no manifest marks are found by classical segmentation. Not for diagnosis.

    Args:
        classifier: a folder that `reddino fit` made.
        data: new smears: manifests, images or folders; or an embedding table.
        out: file for the cells, .parquet or .csv; the slides go next to it as NAME.slides.
        model: the classifier's network, where it has moved.
        architecture: of timm, such as resnet50, where --model is the state dict of such a network.
        overlays: folder for pictures of the fields with their cells marked by class.
        most_overlays: how many of them, at most.
        priors: how frequent each class is here, to adjust the probabilities to: class=number for each, or a
            YAML, JSON or CSV file of them; as in training, if not given.
        adjust_priors: estimate how frequent the classes are from the predictions (EM), for each source by
            itself, and adjust the probabilities to it.
        keep_border: let cells that the border of their image cuts count for their slide.
        risk: error rate among the answered, such as 0.1; cells too uncertain or too novel for it get none.
        abstain_outside: give no answer in slides (or images) that lie outside of what was learned from.
        batch_size: views that the network gets at once.
        device: auto, cpu, cuda or cuda:N.
        kinds: predict white cells, platelets, clumps and artefacts, which then count for no class where the
            cells were found.
        subfolders: what those of a folder of images stand for; auto goes by their names, and prints it.
        ray: find and embed the cells on a Ray cluster: that of the address which follows (auto, HOST:PORT,
            ray://HOST:PORT), or one that is started on this machine; DATA stand before it.
        ray_workers: processes that do so; one a GPU or one a group of four cores, if not given.
    """
    failures = reddino.Failures()
    with progress_bar("views") as progress:
        found = reddino.predict(
            classifier,
            data,
            out,
            model=model,
            architecture=architecture,
            overlays=overlays,
            most_overlays=most_overlays,
            priors=priors_given(priors),
            adjust_priors=adjust_priors,
            keep_border=keep_border,
            risk=risk,
            abstain_outside=abstain_outside,
            batch_size=batch_size,
            device=device,
            kinds=kinds,
            subfolders=subfolders,
            ray=ray_given(ray),
            ray_workers=ray_workers,
            failures=failures,
            progress=progress,
            notice=complain,
        )
    if failures.count:
        complain(f"{failures.summary()}; all are listed in {out.with_name(f'{out.stem}.failures.csv')}")
    show_domain(found.domain)
    by_class = class_trust_table(found)
    show_tables([*([by_class] if by_class else []), prediction_table(found)])
    _remarks(found)
    print_line(
        f"{out} and {counts_path(out)}: {counted(len(found), 'cell')}. Research use only, not a diagnosis."
    )


def _remarks(found: reddino.Predictions) -> None:
    """Print what the counts leave out, what was adjusted, and what a named risk is worth."""
    if found.dropped:
        complain(f"{counted(found.dropped, 'view')} left out: beyond the border of the image.")
    if found.found:
        complain("no cell is marked in these smears; they were found by segmentation.")
    for note in shift_notes(found):
        complain(note)
    if found.at_border and not found.keep_border:
        complain(
            f"{found.at_border} cells are cut by the border of their image, or lie under its scale bar: they "
            "have a class, but count for no slide (--keep-border)."
        )
    if found.borrowed:
        complain(f"{len(found.borrowed)} images show too few red cells to measure; they took others' scale.")
    if found.kinds is not None and (others := found.kinds.counts()):
        left = int((found.whole() & found.left_out()).sum())
        fate = f"{left:,} left out of the counts" if found.found else "counted all the same"
        complain(f"not every cell is a single red cell ({fate}): {others}.")
    if found.unanswered is not None:
        complain(
            f"{counted(int(found.unanswered.sum()), 'cell')} of smears outside of what the classifier "
            "learned from have no answer."
        )
    if found.rule is not None:
        complain(f"{found.rule.sentence()}.")
        if warning := risk_warning(found):
            complain(f"{warning}.")
        if found.unadjusted is not None:
            complain("this is about the classes before they were adjusted to other fractions.")
