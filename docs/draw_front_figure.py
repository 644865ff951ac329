"""Draw the first figure of the documentation: the same synthetic cells as two networks see them.

python docs/draw_front_figure.py

An untrained network and reddino-tiny embed cells of three synthetic laboratories; colours are laboratories.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import reddino
from reddino.figures.canvas import blank_figure, legend, save_figure
from reddino.figures.maps import same_label_fraction
from reddino.figures.palette import PALETTE, Groups
from reddino.figures.projection import Points, layout

SOURCES = ("lilac", "greengrey", "night")
NETWORKS = {"untrained:reddino-tiny": "an untrained network", "reddino-tiny": "reddino-tiny"}
#: Of 10 neighbours on the map.
NEIGHBOURS = 10


def alike_neighbours(xy: Points, groups: Groups) -> float:
    """Return which fraction of the nearest neighbours on a map has the same label, over all points."""
    fractions, _ = same_label_fraction(xy, groups, NEIGHBOURS)
    return float((fractions * groups.counts).sum() / groups.counts.sum())


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "figures" / "two-networks.png")
    options = parser.parse_args()
    figure = blank_figure(8.2, 4.4)
    axes = figure.subplots(1, 2)
    with tempfile.TemporaryDirectory() as folder:
        smears = Path(folder) / "smears"
        reddino.synthesise(smears, sources=SOURCES, patients_per_source=6, fields_per_patient=1, seed=0)
        for number, (model, name) in enumerate(NETWORKS.items()):
            table = Path(folder) / f"table{number}"
            reddino.embed(smears / "manifest.csv", model=model, out=table)
            cells = reddino.read_embeddings(table)
            xy = layout(cells.vectors, "umap").xy
            by_source, by_class = (Groups.of(cells.strings(column)) for column in ("source", "label"))
            points = []
            for place, source in enumerate(by_source.names):
                own = xy[by_source.index == place]
                points += axes[number].plot(
                    own[:, 0], own[:, 1], "o", color=PALETTE[place], markersize=4, alpha=0.7
                )
                points[-1].set_label(source)
            alike = [
                f"{100 * alike_neighbours(xy, groups):.0f} % of neighbours share the {what}"
                for groups, what in ((by_source, "laboratory"), (by_class, "shape"))
            ]
            axes[number].set_title(name, fontsize=13)
            axes[number].set_xlabel("\n".join(alike), fontsize=11)
            axes[number].set_xticks([])
            axes[number].set_yticks([])
            print(name, *alike, sep=": ")
    names = [f"laboratory {place + 1}" for place in range(len(SOURCES))]
    legend(axes[0], points, names, fontsize=11, markerscale=1.5)
    save_figure(figure, options.out, dpi=180)
    print(options.out, np.round(figure.get_size_inches() * 180).astype(int))


if __name__ == "__main__":
    main()
