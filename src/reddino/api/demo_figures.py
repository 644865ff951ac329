"""The figures of the demo: its smears, the course of its training, and maps of the test cells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reddino.embedding.embeddings import Embeddings
from reddino.figures.canvas import contact_sheet, save_figure
from reddino.figures.maps import paired_map_figure
from reddino.figures.projection import pca_2d
from reddino.figures.training import training_figure
from reddino.pretraining.run.folder import read_metrics
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.write import SOURCE_PREFIX
from reddino.views.cutting import cut_square


def draw_figures(
    folder: Path, smears: Manifest, maps: Mapping[str, str], tables: Mapping[str, Embeddings]
) -> list[Path]:
    """Draw the smears, the course of the training, and maps of the test cells before and after it.

    Args:
        folder: of the demo, with its run.
        smears: of training and test.
        maps: file of the map of each network that has one, by the network's name.
        tables: of the test cells, by the network's name.

    Returns:
        The files.
    """
    drawn = {
        "smears.png": _smears_figure(smears),
        "training.png": training_figure(read_metrics(folder / "run"), "pretraining"),
    }
    for name, file in maps.items():
        table = tables[name]
        drawn[file] = paired_map_figure(
            pca_2d(table.vectors), table.strings("label"), table.strings("source"), f"{name} (PCA)"
        )
    paths = []
    for file, figure in drawn.items():
        paths.append(folder / "figures" / file)
        save_figure(figure, paths[-1])
    return paths


def _smears_figure(smears: Manifest, diameters: float = 8.0) -> Figure:
    """Draw the middle of two fields of each source, `diameters` cells wide."""
    names, codes = smears.images()
    first = np.unique(codes, return_index=True)[1]
    sources = [smears.strings("source")[row] for row in first]
    images, titles = [], []
    for source in sorted(set(sources)):
        for number in [i for i, other in enumerate(sources) if other == source][:2]:
            picture = decode_image(smears.root / names[number])
            height, width = picture.shape[:2]
            side = diameters * SOURCES[source.removeprefix(SOURCE_PREFIX)].cell_px
            images.append(cut_square(picture, width / 2, height / 2, side, 320))
            titles.append(source.removeprefix(SOURCE_PREFIX))
    return contact_sheet(images, titles, columns=4, inches=2.4)
