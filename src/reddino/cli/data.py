"""From a collection of images to a manifest of cells: manifest, check, synthesise, cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import reddino
from reddino.cli.domain_table import show_domain
from reddino.cli.options import Several, WithOrWithout, ray_given
from reddino.cli.program import app
from reddino.cli.summaries import findings_table, label_table, source_table
from reddino.cli.terminal import OUT, complain, print_line, progress_bar, show_tables
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.smears.choices import Drawn, Layout, Subfolders
from reddino.synthetic.choices import Adds, Parasites, SlideFormat


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
    label: str | None = None,
    boxes_on: Drawn | None = None,
    sources: Path | None = None,
    groups: Path | None = None,
    subfolders: Subfolders | None = None,
    window: tuple[float, float] | None = None,
) -> None:
    """Turn a collection of smear images into a manifest.

    Annotations that make no sense are left out and listed in OUT's failures file; what is odd about the rest
    is shown as in `check`. The layout slides lists whole slides and microscope files of any mix of
    formats, with the size of a pixel, objective, scanner, size and levels of each.

    Args:
        layout: how the collection is laid out.
        folder: the collection.
        out: the manifest to write, .csv or .parquet.
        source: laboratory, camera or stain; the folder's name if not given.
        slide: regular expression with a group (?P<slide>...), searched for in each path.
        patient: the same with (?P<patient>...).
        names: class names in the order of their numbers (yolo).
        label: regular expression with a group (?P<label>...) (class-folders).
        boxes_on: the pixels that boxes were drawn on, where pictures have an EXIF orientation and it is not
            known: those stored in the file, or those of the picture turned upright (chula, voc, yolo, coco).
        sources: CSV with the columns slide and source (elsafty).
        groups: CSV with the columns group and path: images that show the same place.
        subfolders: what those of a folder stand for (folder); by their names, if not given.
        window: two percentiles of the samples of each source that become black and white, such as 0.1 99.9,
            for pictures of more than 8 bits; all values of their depth, if not given.
    """
    failures = reddino.Failures()
    options = {"source": source, "slide": slide, "patient": patient, "names": names, "sources": sources}
    options |= {"label": label, "boxes_on": boxes_on}
    made = reddino.manifest(
        layout,
        folder,
        out,
        groups=groups,
        subfolders=subfolders,
        window=window,
        failures=failures,
        **options,
    )
    if made.findings:
        show_tables([findings_table(made.findings, OUT.width)])
    _report_failures(failures, out)
    print_line(f"{out}: {counted(len(made), 'row')}, {counted(len(made.images()[0]), 'image')}")


@app.command
def check(
    data: Annotated[list[str], Parameter(negative_iterable="")],
    /,
    *,
    pictures: bool = True,
    strict: Annotated[bool, Parameter(negative=())] = False,
    model: str | None = None,
    out: Path | None = None,
    subfolders: Subfolders = "auto",
) -> None:
    """Inspect a collection before anything is computed: its rows, its pictures, and what it holds.

    Args:
        data: manifests, images, folders or tar shards.
        pictures: decode every picture too; --no-pictures reads rows and headers alone.
        strict: exit with 1 where something was found that may be misread.
        model: a classifier's folder or a model: compare a sample of the cells with those it learned from.
        out: file for the findings too, .csv or .json; it holds none where nothing was found.
        subfolders: what those of a folder of images stand for; auto goes by their names, and prints it.
    """
    named = data[0] if len(data) == 1 else data
    with progress_bar("pictures") as progress:
        checked = reddino.check(named, out, pictures=pictures, subfolders=subfolders, progress=progress)
    findings = checked.findings
    tables = [source_table(checked)]
    if any(checked.strings("label")):
        tables.append(label_table(checked))
    if findings:
        tables.append(findings_table(findings, OUT.width))
    show_tables(tables)
    if model is not None:
        with progress_bar("views") as progress:
            compared = reddino.compare(named, model, subfolders=subfolders, progress=progress)
        show_domain(compared, "cells that it learned from")
    name = ", ".join(data)
    serious = [finding for finding in findings if not finding.harmless]
    if strict and serious:
        kinds = ", ".join(f"{finding.kind} ({finding.count})" for finding in serious)
        raise RedDinoError(f"{name}: --strict allows no finding, and there are: {kinds}")
    count = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
    state = count if findings else "every row is valid and every image is there"
    print_line(f"{name}: {state} (fingerprint {checked.fingerprint()})")


synthesise_app = App(
    name="synthesise", help="Draw synthetic smears with known truth.", help_format="plaintext"
)
app.command(synthesise_app)


@synthesise_app.default
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
    parasites: Parasites = "usual",
) -> None:
    """Draw synthetic smears with known truth.

    Args:
        out: a new folder for pictures and manifest.csv.
        sources: laboratories; all that have a name if not given. random:12 draws twelve from a random model
            of stain, light, camera and scale.
        patients: patients of each laboratory (in all, with --every-source).
        fields: pictures of each patient.
        seed: what every picture follows from.
        every_source: photograph the same cells in every laboratory.
        strength: how much the laboratories differ, from 0 (not at all) to 1.
        parasites: usual draws rings in the cells of a few patients; hard draws several stages in every
            patient's, and stain, dirt, platelets and bubbles on cells that are not infected.
    """
    chosen = {} if sources is None else {"sources": sources}
    made = reddino.synthesise(
        out,
        patients_per_source=patients,
        fields_per_patient=fields,
        seed=seed,
        every_source=every_source,
        strength=strength,
        parasites=parasites,
        **chosen,
    )
    print_line(
        f"{out / 'manifest.csv'}: {counted(len(made), 'cell')} in {counted(len(made.images()[0]), 'image')}"
    )


@synthesise_app.command
def cohort(
    out: Path,
    /,
    *,
    patients: int = 100,
    fields: int = 1,
    adds: Adds = "something",
    laboratories: int = 3,
    confounded: Annotated[bool, Parameter(negative=())] = False,
    missing: float = 0.08,
    seed: int = 0,
) -> None:
    """Draw a cohort: smears of patients with a disease or without, and their blood counts.

    Args:
        out: a new folder for pictures, manifest.csv, clinical.csv and truth.csv.
        patients: in all; some four in ten have the disease.
        fields: pictures of each patient.
        adds: what the picture adds to the blood counts.
        laboratories: that patients come from.
        confounded: the disease goes together with the laboratory.
        missing: fraction of the values of each clinical column that are missing.
        seed: what everything follows from.
    """
    made = reddino.synthesise_cohort(
        out,
        patients=patients,
        fields=fields,
        adds=adds,
        laboratories=laboratories,
        confounded=confounded,
        missing=missing,
        seed=seed,
    )
    print_line(
        f"{out / 'manifest.csv'}: {counted(len(made), 'cell')} of {counted(patients, 'patient')}, with "
        "clinical.csv and truth.csv next to it"
    )


@synthesise_app.command
def slide(
    out: Path,
    /,
    *,
    width: int = 40_000,
    height: int = 20_000,
    um_per_px: float = 0.25,
    source: str = "lilac",
    profile: str = "thalassaemia",
    crowd: float = 1.0,
    faults: bool = True,
    seed: int = 0,
    format: SlideFormat = "tiff",
    lossless: bool = False,
) -> None:
    """Draw a whole smear: thick part, monolayer, feathered edge and faults, as a pyramid that viewers open.

    Args:
        out: a new file that ends in .tif, or a new folder for DICOM files; the truth (.truth.parquet,
            .masks.npz and .json) lies next to it.
        width: in pixels.
        height: in pixels.
        um_per_px: micrometres of a pixel.
        source: a laboratory.
        profile: the disease of the patient.
        crowd: multiplies how densely red cells lie.
        faults: draw areas out of focus, precipitate, air bubbles, a fold and a pen mark.
        seed: what the slide follows from.
        format: a pyramidal TIFF, or a folder of DICOM files, one for each level.
        lossless: keep pixels as they were drawn, in a file several times as large; if not given, as JPEG.
    """
    truth = reddino.synthesise_slide(
        out,
        width=width,
        height=height,
        um_per_px=um_per_px,
        source=source,
        profile=profile,
        crowd=crowd,
        faults=faults,
        seed=seed,
        format=format,
        lossless=lossless,
    )
    print_line(f"{out}: {width:,} x {height:,} pixels, {truth.num_rows:,} bodies")


@app.command
def cells(
    data: Path,
    /,
    *,
    out: Path = Path("cells.csv"),
    subfolders: Subfolders = "auto",
    share: str | None = None,
    ray: Annotated[list[str] | None, WithOrWithout] = None,
    ray_workers: int = 0,
) -> None:
    """Find the red cells in every image, by classical segmentation.

    Images that cannot be read, or show no red cell, are listed in OUT's failures file.

    Args:
        data: a manifest, or a folder of images.
        out: the manifest to write, with one row per cell and its image's cell diameter.
        subfolders: what those of a folder of images stand for; auto goes by their names, and prints it.
        share: in which part of the data cells are found, such as 3/8: the third of eight runs of whole slides
            or of pictures; for the jobs of an array. Several manifests can be embedded together.
        ray: search on a Ray cluster: that of the address which follows (auto, HOST:PORT, ray://HOST:PORT), or
            one that is started on this machine; DATA stand before it.
        ray_workers: processes that search there; one a group of four cores, if not given.
    """
    failures = reddino.Failures()
    with progress_bar("images") as progress:
        found = reddino.cells(
            data,
            out,
            subfolders=subfolders,
            share=share,
            ray=ray_given(ray),
            ray_workers=ray_workers,
            failures=failures,
            progress=progress,
        )
    show_tables([source_table(found)])
    _report_failures(failures, out)
    print_line(f"{out}: {counted(len(found), 'cell')} in {counted(len(found.images()[0]), 'image')}")


def _report_failures(failures: reddino.Failures, manifest: Path) -> None:
    """Write what was left out to a file next to a manifest, and print where."""
    file = manifest.with_name(f"{manifest.stem}.failures.csv")
    failures.leave_at(file)
    if failures.count:
        complain(f"{failures.summary()}; all are listed in {file}")
