"""Chula RBC-12 (Naruenatthanaset et al., arXiv 2012.01321): fields with a text file each, a line a cell."""

from __future__ import annotations

from pathlib import Path

from reddino.errors import RedDinoError
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest, with_groups
from reddino.smears.readers.rows import Cell, Rows, find_images, number, require_annotated

CLASSES = (
    "normal",
    "macrocyte",
    "microcyte",
    "spherocyte",
    "target",
    "stomatocyte",
    "ovalocyte",
    "teardrop",
    "burr",
    "schistocyte",
    "uncategorised",
    "hypochromia",
    "elliptocyte",
)


def read_chula(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Images in `Dataset/` or `images/`, cells in `Label/<n>.txt` or `labels/<n>.txt` as lines `x y class`.

    x and y are a point near the cell's centre. An image without labels gives one row without label. Where
    `same_field_groups.csv` is there, `group` is filled from it. Other arguments as `read_folder`.

    Raises:
        RedDinoError: a folder is missing, or a line is not `x y class` (with `failures`, it is noted and left
            out).
    """
    folder = Path(folder)
    image_folder = _one_of(folder, ("Dataset", "images"))
    label_folder = _one_of(folder, ("Label", "labels"))
    rows = Rows(folder, source, failures)
    annotated = 0
    for image in find_images(image_folder):
        cells = _read_cells(label_folder / f"{image.stem}.txt", rows)
        annotated += bool(cells)
        rows.add_cells(image, cells)
    require_annotated(annotated, folder, f"cells in {label_folder.name}/")
    manifest = rows.manifest(slide=slide, patient=patient)
    groups = folder / "same_field_groups.csv"
    return with_groups(manifest, groups) if groups.exists() else manifest


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    if not folder.is_dir():
        raise RedDinoError(f"{folder}: there is no such folder.")
    wanted = {name.lower() for name in names}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name.lower() in wanted:
            return entry
    raise RedDinoError(f"{folder} has no folder {' or '.join(f'{name}/' for name in names)}.")


def _read_cells(file: Path, rows: Rows) -> list[Cell]:
    if not file.exists():
        return []
    cells: list[Cell] = []
    for line_number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            x, y, kind = line.split()
            index = int(kind)
            if not 0 <= index < len(CLASSES):
                raise ValueError(kind)
            cells.append(((number(x), number(y)), CLASSES[index]))
        except ValueError:
            rows.report(
                file, f"line {line_number}: '{line.strip()}' is not 'x y class' with a class from 0 to 12"
            )
    return cells
