"""From a collection of images to a manifest of cells: manifest, check, synthesise, cells."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import pyarrow as pa

from reddino.api.arguments import Advance
from reddino.api.ray_drivers import ray_pictures
from reddino.api.sole_writer import sole_writer
from reddino.checks.inspection import inspect_pictures, inspect_rows, unusable
from reddino.foundations.errors import RedDinoError
from reddino.regions.slide_cells import find_all_cells
from reddino.smears.choices import Subfolders
from reddino.smears.failures import Failures
from reddino.smears.findings import Finding, write_findings
from reddino.smears.manifest import Manifest, read_manifest, with_groups, write_manifest
from reddino.smears.manifest_file import FORMATS
from reddino.smears.opening import Data, open_data
from reddino.smears.readers import READERS
from reddino.smears.readers.subfolders import with_subfolders
from reddino.smears.share import Share
from reddino.smears.slides.expanding import with_slides
from reddino.smears.slides.identity import require_distinct_slides
from reddino.smears.windows import WINDOW, with_windows
from reddino.synthetic.cohort_files import write_cohort
from reddino.synthetic.whole_slide.settings import SlideSettings
from reddino.synthetic.whole_slide.slide_file import write_slide
from reddino.synthetic.write import write_smears


@sole_writer(files=("out",))
def manifest(
    layout: str,
    folder: str | Path,
    out: str | Path,
    *,
    groups: str | Path | None = None,
    subfolders: Subfolders | None = None,
    window: tuple[float, float] | None = None,
    failures: Failures | None = None,
    **options: Any,
) -> Manifest:
    """Turn a collection in a known layout into a manifest file.

    Args:
        layout: a name of `reddino.smears.readers.READERS`.
        folder: the collection.
        out: the manifest to write, .csv or .parquet.
        groups: CSV with the columns `group` and `path`, to fill the column `group` from.
        subfolders: for the layout `folder`: what its subfolders stand for; None: what their names look like,
            or nothing where `source`, `slide` or `patient` is given.
        window: percentiles of the samples of each source that become black and white, such as (0.1, 99.9),
            for pictures of more than 8 bits (`reddino.smears.windows`); None: all values of their depth.
        failures: collects annotations that make no sense and are left out; without it they raise.
        options: what the layout's reader takes, such as `source`, `slide` or `patient`; None is not given.

    Returns:
        The manifest, with what is odd about its rows as its `findings`.

    Raises:
        RedDinoError: no such layout, an option that it does not take, or a collection of another layout.
    """
    if layout not in READERS:
        raise RedDinoError(f"no layout is called '{layout}'; known are: {', '.join(READERS)}")
    reader = READERS[layout]
    given = {name: value for name, value in options.items() if value is not None}
    taken = [name for name in inspect.signature(reader).parameters if name not in ("folder", "failures")]
    for name in given:
        if name not in taken:
            raise RedDinoError(f"layout '{layout}' takes no option '{name}'; it takes: {', '.join(taken)}")
    if subfolders is not None and layout != "folder":
        raise RedDinoError(f"layout '{layout}' takes no option 'subfolders'; the layout 'folder' does")
    result = reader(folder, failures=failures, **given)
    if layout == "folder":
        how = subfolders or ("none" if given else "auto")
        result = with_subfolders(result, Path(folder), how)
    if groups is not None:
        result = with_groups(result, groups)
    measured: tuple[Finding, ...] = ()
    if window is not None:
        result = with_windows(with_slides(result, failures), *window)
        measured = tuple(one for one in result.findings if one.kind == WINDOW)
    write_manifest(result, out)
    return replace(result, findings=(*measured, *inspect_rows(result)))


def check(
    data: Data | Sequence[Data],
    out: str | Path | None = None,
    *,
    pictures: bool = True,
    subfolders: Subfolders = "auto",
    failures: Failures | None = None,
    progress: Advance | None = None,
) -> Manifest:
    """Inspect a collection before anything is computed from it.

    Args:
        data: manifests, folders, image files or tar shards.
        out: file for the findings, .csv or .json.
        pictures: decode every picture too; without it, only rows and headers are read.
        subfolders: what those of a folder of images stand for; `auto`: what their names look like.
        failures: takes what cannot be used.
        progress: called with pictures seen and pictures in all.

    Returns:
        The manifest, with all that was found as its `findings`.

    Raises:
        RedDinoError: names file, row and column of the first value that cannot be read, or the
            first image that is missing.
    """
    failures = Failures() if failures is None else failures
    if isinstance(data, str | Path) and str(data).endswith(FORMATS):
        manifest = open_data(read_manifest(data, check_files=True))
    else:
        manifest = open_data(data, failures, subfolders=subfolders)
    found = inspect_rows(manifest)
    if pictures:
        found = (*found, *inspect_pictures(manifest, failures, progress))
    checked = replace(manifest, findings=(*found, *unusable(failures)))
    if out is not None:
        write_findings(checked.findings, Path(out))
    return checked


@sole_writer(folders=("out",))
def synthesise(out: str | Path, **options: Any) -> Manifest:
    """Draw synthetic smears; options as `reddino.synthetic.write.write_smears`."""
    return write_smears(Path(out), **options)


@sole_writer(folders=("out",))
def synthesise_cohort(out: str | Path, **options: Any) -> Manifest:
    """Draw a cohort with blood counts; options as `reddino.synthetic.cohort_files.write_cohort`."""
    return write_cohort(Path(out), **options)


@sole_writer(files=("out",))
def synthesise_slide(out: str | Path, **settings: Any) -> pa.Table:
    """Draw a whole smear with its truth.

    Args:
        out: the slide, .tif, or a folder for its DICOM files.
        settings: as of `reddino.synthetic.whole_slide.settings.SlideSettings`.
    """
    return write_slide(Path(out), SlideSettings(**settings))


@sole_writer(files=("out",))
def cells(
    data: Data,
    out: str | Path,
    *,
    subfolders: Subfolders = "auto",
    share: str | None = None,
    ray: bool | str = False,
    ray_workers: int = 0,
    failures: Failures | None = None,
    progress: Advance | None = None,
) -> Manifest:
    """Find the red cells in every image and write a manifest with one row per cell.

    Args:
        data: a manifest, its file, a folder of images, or whole slides.
        out: the manifest to write, .csv or .parquet.
        subfolders: what those of a folder of images stand for; `auto`: what their names look like.
        share: in which part of the data cells are found, such as '3/8' (`reddino.smears.share`); None: all.
        ray: search the pictures on a Ray cluster, as `embed` takes it.
        ray_workers: processes that do so; 0: one a group of four cores.
        failures: takes the images that cannot be read or show no red cell.
        progress: called with images done and images in all.

    Raises:
        RedDinoError: not one red cell was found.
    """
    deal = ray_pictures(ray, ray_workers)
    failures = Failures() if failures is None else failures
    opened = open_data(data, failures, subfolders=subfolders)
    if share is not None:
        # Here, since two names of one slide may be of two shares.
        require_distinct_slides(opened)
        opened = Share.parse(share).select(opened)
        _require_own_pictures(Path(out), opened)
    # Next to the manifest until that is written: the same command continues a survey that was stopped.
    folder = Path(out).with_name(f".{Path(out).name}.survey")
    found = find_all_cells(opened, folder=folder, failures=failures, progress=progress, deal=deal)
    if len(found) == 0:
        raise RedDinoError(f"no red cells were found; {failures.summary()}")
    write_manifest(found, out)
    rmtree(folder, ignore_errors=True)
    return found


def _require_own_pictures(out: Path, share: Manifest) -> None:
    """Refuse to write the cells of a share over those of other pictures, which an array would lose."""
    if not out.is_file():
        return
    mine = {str((share.root / name).resolve()) for name in share.images()[0]}
    there = read_manifest(out)
    other = next((name for name in there.images()[0] if str((there.root / name).resolve()) not in mine), None)
    if other is not None:
        raise RedDinoError(
            f"{out} has cells of pictures outside of this share, such as '{other}': give each share a file "
            "of its own"
        )
