"""Pretraining, and what goes before it: pretrain, data pack, plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import reddino
from reddino.cli.options import Several
from reddino.cli.program import app
from reddino.cli.terminal import INTERRUPTED, complain, is_main_process, print_line, progress_bar, show_log
from reddino.foundations.counting import counted
from reddino.views.choices import Unit


@app.command
def pretrain(
    recipe: str,
    /,
    *,
    data: Annotated[list[Path], Several],
    out: Path,
    overrides: Annotated[Sequence[str], Several, Parameter(name="--set")] = (),
    start: str | None = None,
    online_data: Annotated[Path | None, Parameter(name=("--online-data", "--labelled"))] = None,
    online_view: Annotated[
        tuple[float, Unit], Parameter(name=("--online-view", "--label-view"), negative_iterable="")
    ] = (1.6, "diameters"),
) -> int:
    """Pretrain a network; the same command continues a run that was interrupted.

    On several GPUs: `torchrun --nproc-per-node N -m reddino pretrain ...`; see the guide "Pretrain on several
    devices".

    Args:
        recipe: reddino-tiny, vit-tiny-scratch, vit-tiny-distilled, small, base, large, demo, or a YAML file.
        data: manifests, or folders of images; several are joined.
        out: the run folder: recipe, metrics, checkpoints, and the trained model in OUT/model.
        overrides: values in place of the recipe's, such as optim.lr=1e-4 run.samples=50000.
        start: where the weights start: scratch, a model folder, or a name of `reddino models`.
        online_data: manifest of labelled cells on which the run is scored (online 20-NN) while it trains;
            --labelled is the former name.
        online_view: side of the squares around these cells, and its unit; --label-view is the former name.
    """
    show_log()
    starting = [f"model.start={start}"] if start is not None else []
    with progress_bar("steps") as progress:
        outcome = reddino.pretrain(
            recipe,
            data,
            out,
            overrides=[*overrides, *starting],
            online_data=online_data,
            online_view=online_view,
            progress=progress,
        )
    if not outcome.finished:
        if is_main_process():
            complain(
                f"stopped after step {outcome.steps:,} of {outcome.planned:,}; the same command continues."
            )
        return INTERRUPTED
    if is_main_process():
        print_line(f"{outcome.model}: all {outcome.steps:,} steps are done")
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
    """Decode images once into a folder for any number of pretraining runs (--data OUT).

    What cannot be read is listed in OUT/failures.csv.

    Args:
        data: manifests or folders of images; or tar shards, files or URLs (http, s3), {000..012} for a range.
        out: a new folder.
        recipe: the recipe that the images are for, to measure and shrink cells; as they are, if not given.
    """
    failures = reddino.Failures()
    with progress_bar("images") as progress:
        packed = reddino.pack(data, out, recipe=recipe, failures=failures, progress=progress)
    if failures.count:
        complain(f"{failures.summary()}; all are listed in {out / 'failures.csv'}")
    print_line(f"{out}: {counted(len(packed), 'image')} (fingerprint {packed.fingerprint()})")


plan_app = App(
    name="plan",
    help="Estimate what a pretraining run, or an embedding pass, takes.",
    help_format="plaintext",
)
app.command(plan_app)


@plan_app.default
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
    """Estimate what a pretraining run takes: operations, memory, samples a second, hours.

    Args:
        recipe: reddino-tiny, vit-tiny-scratch, vit-tiny-distilled, small, base, large, demo, or a YAML file.
        devices: number of devices.
        device_kind: this (a probe is measured here); a100, h100, ...; or peak TFLOP/s and GB, such as 300/80.
        samples: length of the run, in place of the recipe's.
        overrides: values in place of the recipe's, such as crops.local_count=4.
        check: images that a short real run is made on, to compare the plan with.
    """
    made = reddino.plan(
        recipe,
        overrides=overrides,
        devices=devices,
        device_kind=device_kind,
        samples=samples,
        check=check,
    )
    for line in made.text().splitlines():
        print_line(line)
