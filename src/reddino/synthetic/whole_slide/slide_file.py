"""A synthetic whole smear as a pyramidal tiled TIFF or as DICOM files, with its truth next to it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reddino.foundations.atomic import atomic_path, draft_folder, move_folder_into_place, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import writing
from reddino.foundations.locks import require_free
from reddino.foundations.version import __version__
from reddino.smears.slides.names import SLIDE_SUFFIXES, TIFF
from reddino.synthetic.cells import NORMAL_DIAMETER
from reddino.synthetic.choices import SlideFormat
from reddino.synthetic.patients import draw_patient
from reddino.synthetic.random_sources import named_source
from reddino.synthetic.whole_slide.bank import Bank, paint_bank
from reddino.synthetic.whole_slide.dicom_files import require_dicom, write_dicom
from reddino.synthetic.whole_slide.faults import FAULTS
from reddino.synthetic.whole_slide.layout import ZONES, Layout, draw_layout
from reddino.synthetic.whole_slide.pixels import SlidePixels
from reddino.synthetic.whole_slide.populate import Bodies, populate
from reddino.synthetic.whole_slide.settings import SlideSettings
from reddino.synthetic.whole_slide.tiff_file import write_tiff

#: Pixels of the slide to a pixel of the masks.
MASK_STEP = 32


def write_slide(path: Path, settings: SlideSettings) -> pa.Table:
    """Draw a whole smear and write it with its truth.

    The slide, which appears last, is `NAME.tif`, or the folder `NAME` of DICOM files. Next to it lie
    `NAME.truth.parquet`, with a row for each body, `NAME.masks.npz`, with `zones` (by number) and `faults`
    (by bit), masks of one pixel for `MASK_STEP` by `MASK_STEP` of the slide, and `NAME.json`, which explains
    them. None of them is a picture that a pass over the folder would take.

    Args:
        path: of the slide, .tif or .tiff, or of the folder; must not exist.
        settings: what it follows from.

    Returns:
        The truth: `x`, `y`, `w`, `h` (pixels of level 0), `cx`, `cy`, `label`, `zone`, `fault`,
        `diameter_um` and `whole` (the slide's border does not cut it).

    Raises:
        RedDinoError: a setting is out of range, the slide exists, or a library is missing.
    """
    _check(path, settings)
    source = replace(named_source(settings.source), cell_px=NORMAL_DIAMETER / settings.um_per_px)
    patient = draw_patient(settings.seed, settings.profile)
    size = (settings.width * settings.um_per_px, settings.height * settings.um_per_px)
    layout = draw_layout(*size, settings.seed, faults=settings.faults)
    bank = paint_bank(patient, source, settings.seed, settings.bank)
    bodies = populate(layout, bank, patient, settings.seed, px_per_um=source.px_per_um, crowd=settings.crowd)
    pixels = SlidePixels(layout, bank, bodies, source, settings.seed)
    name = _name(path, settings)
    truth = _truth(bodies, bank, settings)
    with atomic_path(path.with_name(f"{name}.truth.parquet")) as partial:
        pq.write_table(truth, partial)
    zones, faults = masks(layout, settings)
    with atomic_path(path.with_name(f"{name}.masks.npz")) as partial, partial.open("wb") as file:
        np.savez_compressed(file, zones=zones, faults=faults)
    about = {"version": __version__, **vars(settings), "mask_step": MASK_STEP}
    about |= {"zones": list(ZONES), "faults": list(FAULTS), "faults_drawn": settings.faults}
    write_text(path.with_name(f"{name}.json"), json.dumps(about, indent=2) + "\n")
    if settings.format == "tiff":
        with atomic_path(path) as partial:
            write_tiff(partial, pixels, settings)
    else:
        with writing(path), draft_folder(path.parent, path.name) as draft:
            partial = draft / path.name
            partial.mkdir()
            write_dicom(partial, pixels, settings)
            move_folder_into_place(partial, path)
    return truth


def _check(path: Path, settings: SlideSettings) -> None:
    if settings.format not in get_args(SlideFormat):
        raise RedDinoError(f"a synthetic slide is tiff or dicom, and not '{settings.format}'")
    if settings.format == "tiff" and path.suffix.lower() not in (".tif", ".tiff"):
        raise RedDinoError(f"a synthetic slide is a TIFF: {path.name}; give it a name that ends in .tif")
    if settings.format == "dicom":
        if path.name.lower().endswith((*TIFF, *SLIDE_SUFFIXES)):
            raise RedDinoError(
                f"a DICOM slide is a folder with a file for each level: {path.name}; give it a name without "
                f"{path.suffix}"
            )
        require_dicom(path)
    for name, least, most in (("width", 512, 200_000), ("height", 512, 200_000)):
        if not least <= getattr(settings, name) <= most:
            raise RedDinoError(
                f"the {name} of a slide lies between {least} and {most:,} pixels: {getattr(settings, name)}"
            )
    if settings.seed < 0:
        raise RedDinoError(f"the seed of a synthetic slide must not be negative, but is {settings.seed}")
    if not 0.05 <= settings.um_per_px <= 2.0:
        raise RedDinoError(f"a pixel of a slide measures 0.05 to 2 micrometres, not {settings.um_per_px}")
    if not 0.0 <= settings.crowd <= 1.5:
        raise RedDinoError(f"the crowd of a slide lies between 0 and 1.5, and is not {settings.crowd}")
    require_free(path, f"{path} exists; write the slide to a new file")
    _require_own_truth(path, settings)


def _name(path: Path, settings: SlideSettings) -> str:
    """Return what the names of the files of the truth begin with."""
    return path.stem if settings.format == "tiff" else path.name


def _require_own_truth(path: Path, settings: SlideSettings) -> None:
    """Refuse to replace the truth of another slide, which has the same name in another format.

    Raises:
        RedDinoError: names that slide.
    """
    name = _name(path, settings)
    there = [path.with_name(name + suffix) for suffix in TIFF] + [path.with_name(name) / "level-0.dcm"]
    other = next((one for one in there if one.exists()), None)
    try:
        about = json.loads(path.with_name(f"{name}.json").read_text("utf-8"))
    except (OSError, ValueError):
        about = None
    drawn = {key: value for key, value in vars(settings).items() if key not in ("format", "lossless")}
    if other is not None and not (isinstance(about, dict) and about.items() >= drawn.items()):
        raise RedDinoError(
            f"{other} is another slide, whose truth {name}.truth.parquet would be replaced; give this one "
            "another name"
        )


def masks(layout: Layout, settings: SlideSettings) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the zones by number and the faults by bit, each a pixel for `MASK_STEP` of the slide."""
    step = MASK_STEP * settings.um_per_px
    columns, rows = -(-settings.width // MASK_STEP), -(-settings.height // MASK_STEP)
    x, y = np.meshgrid((np.arange(columns) + 0.5) * step, (np.arange(rows) + 0.5) * step)
    zones = layout.zone(x.ravel(), y.ravel()).reshape(rows, columns)
    faults = np.zeros((rows, columns), np.uint8)
    for fault in layout.faults:
        faults[fault.depth(x, y) > 0] |= np.uint8(1 << FAULTS.index(fault.kind))
    return zones, faults


def _truth(bodies: Bodies, bank: Bank, settings: SlideSettings) -> pa.Table:
    """Return a row for each body whose centre lies on the slide; grains of precipitate have none."""
    box = np.array([stamp.box for stamp in bank.stamps])[bodies.stamp]
    x, y = bodies.left + box[:, 0], bodies.top + box[:, 1]
    w, h = box[:, 2], box[:, 3]
    middle = np.array([stamp.centre for stamp in bank.stamps])[bodies.stamp]
    cx, cy = bodies.left + middle[:, 0], bodies.top + middle[:, 1]
    label = np.array([stamp.label for stamp in bank.stamps], dtype=object)[bodies.stamp]
    inside = (cx >= 0) & (cy >= 0) & (cx < settings.width) & (cy < settings.height) & (label != "speck")
    whole = (x >= 0) & (y >= 0) & (x + w <= settings.width) & (y + h <= settings.height)
    diameter = np.array([stamp.diameter for stamp in bank.stamps])[bodies.stamp]
    columns = {name: pa.array(np.round(values[inside], 2)) for name, values in
               (("x", x), ("y", y), ("w", w), ("h", h), ("cx", cx), ("cy", cy))}  # fmt: skip
    columns["label"] = pa.array(label[inside].tolist(), pa.string())
    columns["zone"] = pa.array([ZONES[number] for number in bodies.zone[inside].tolist()], pa.string())
    columns["fault"] = pa.array(bodies.fault[inside].tolist(), pa.string())
    columns["diameter_um"] = pa.array(np.round(diameter[inside], 3))
    columns["whole"] = pa.array(whole[inside])
    return pa.table(columns)
