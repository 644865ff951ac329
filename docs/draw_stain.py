"""Draw the same synthetic cells as two laboratories photograph them, before and after stain normalisation.

python docs/draw_stain.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reddino.smears.decode import decode_image
from reddino.synthetic.write import write_smears
from reddino.views.choices import Stain
from reddino.views.stain_normaliser import StainNormaliser

Picture = NDArray[np.uint8]
LABORATORIES = ("greengrey", "olive")
SIDE, LABEL, GAP = 260, 20, 6


def fields() -> dict[str, Picture]:
    """Return a picture of each laboratory, all of the same cells."""
    with tempfile.TemporaryDirectory() as folder:
        made = write_smears(
            Path(folder) / "smears",
            sources=LABORATORIES,
            patients_per_source=1,
            fields_per_patient=1,
            every_source=True,
            bystanders=True,
            seed=5,
        )
        rows = dict(zip(made.strings("source"), made.paths(), strict=True))
        return {source.removeprefix("synth-"): decode_image(path) for source, path in rows.items()}


def main() -> None:
    """Write the figure and print by how many levels the laboratories' pictures differ in the mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    figure = Path(__file__).parent / "figures" / "stain.jpg"
    parser.add_argument("--out", type=Path, default=figure)
    options = parser.parse_args()
    pictures, stains = fields(), get_args(Stain)
    across = SIDE + GAP
    page = Image.new("RGB", (len(stains) * across, len(pictures) * (SIDE + LABEL)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for column, stain in enumerate(stains):
        colours, normaliser = [], StainNormaliser(stain)
        for row, (laboratory, picture) in enumerate(pictures.items()):
            shown = normaliser.of(laboratory, picture)
            colours.append(shown.mean(axis=(0, 1)))
            x, y = column * across, row * (SIDE + LABEL)
            tile = Image.fromarray(shown).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            page.paste(tile, (x, y + LABEL))
            draw.text(
                (x + 2, y + 3), f"{laboratory}: {normaliser.left.get(laboratory, stain)}", "black", font
            )
        apart = np.abs(np.subtract(*colours)).mean()
        print(f"{stain}: mean colours {apart:.1f} levels apart")
    page.save(options.out, quality=82, optimize=True)


if __name__ == "__main__":
    main()
