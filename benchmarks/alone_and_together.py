"""Whether the same cells get the same class when their pictures are classified alone or among others.

    python benchmarks/alone_and_together.py CLASSIFIER bccd=bccd/images txl=txl/images --pictures 20

Cells are found by segmentation. Each collection is classified by itself, and then all of them from one flat
folder, in which they are one source, and from one folder with a subfolder each.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import reddino
from reddino.classification.predict import Predictions
from reddino.smears.suffixes import PLAIN_SUFFIXES

#: A cell: the name of its picture, and its centre in pixels.
Cell = tuple[str, float, float]


def sample(folder: Path, pictures: int) -> list[Path]:
    """Return pictures of a folder, spread over it."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PLAIN_SUFFIXES)
    return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, pictures).astype(int)).tolist()]


def classes(found: Predictions) -> dict[Cell, str]:
    """Return the class of each cell."""
    names = [Path(path).name for path in found.strings("path")]
    x, y = (found.table.column(name).to_numpy().tolist() for name in ("view_x", "view_y"))
    predicted = [found.classes[number] for number in found.numbers().tolist()]
    return dict(zip(zip(names, x, y, strict=True), predicted, strict=True))


def copy_sets(sets: Mapping[str, list[Path]], work: Path) -> None:
    """Copy pictures to folders alone/SET, flat and split/SET, under names that tell their set."""
    for name, pictures in sets.items():
        for folder in (work / "alone" / name, work / "flat", work / "split" / name):
            folder.mkdir(parents=True, exist_ok=True)
            for picture in pictures:
                shutil.copyfile(picture, folder / f"{name}-{picture.name}")


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("classifier", type=Path)
    parser.add_argument("sets", nargs="+", help="name=folder")
    parser.add_argument("--pictures", type=int, default=20)
    options = parser.parse_args()
    folders = dict(entry.split("=", 1) for entry in options.sets)
    sets = {name: sample(Path(folder), options.pictures) for name, folder in folders.items()}
    with tempfile.TemporaryDirectory() as place:
        copy_sets(sets, Path(place))
        alone = {
            name: classes(reddino.predict(options.classifier, Path(place, "alone", name))) for name in sets
        }
        for layout in ("flat", "split"):
            among = classes(reddino.predict(options.classifier, Path(place, layout)))
            print(f"| {layout} | cells | the same cell found | of these the same class |\n|---|---|---|---|")
            rows = {**alone, "all": {cell: kind for own in alone.values() for cell, kind in own.items()}}
            for name, own in rows.items():
                both = [cell for cell in own if cell in among]
                kept = np.mean([own[cell] == among[cell] for cell in both])
                print(f"| {name} | {len(own)} | {len(both) / len(own):.1%} | {kept:.1%} |", flush=True)


if __name__ == "__main__":
    main()
