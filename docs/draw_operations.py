"""Draw every pixel operation on one synthetic smear, and say by how many levels each changes it.

python docs/draw_operations.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reddino.pretraining.augmentation.operations import PIXEL_OPERATIONS
from reddino.smears.decode import decode_image
from reddino.synthetic.write import write_smears

Picture = NDArray[np.uint8]
SIDE, COLUMNS, LABEL = 224, 6, 22
SHOWN = 192  # pixels of a tile


def smear() -> Picture:
    """Return a square of 224 pixels of a synthetic smear."""
    with tempfile.TemporaryDirectory() as folder:
        made = write_smears(Path(folder) / "smear", patients_per_source=1, fields_per_patient=1, seed=3)
        picture = decode_image(made.paths()[0])
    return np.ascontiguousarray(picture[40 : 40 + SIDE, 40 : 40 + SIDE])


def typical(name: str, picture: Picture, draws: int = 15) -> tuple[Picture, float]:
    """Of some draws the one that changes the picture as much as the median one, and by how many levels."""
    changed = [PIXEL_OPERATIONS[name](picture, np.random.default_rng(seed)) for seed in range(draws)]
    change = [float(np.abs(one.astype(int) - picture).mean()) for one in changed]
    middle = int(np.argsort(change)[draws // 2])
    return changed[middle], change[middle]


def sheet(tiles: dict[str, Picture]) -> Image.Image:
    """Labelled tiles, row by row."""
    rows = -(-len(tiles) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (SHOWN + 6), rows * (SHOWN + LABEL)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for number, (name, tile) in enumerate(tiles.items()):
        x, y = number % COLUMNS * (SHOWN + 6), number // COLUMNS * (SHOWN + LABEL)
        small = cv2.resize(tile, (SHOWN, SHOWN), interpolation=cv2.INTER_AREA)
        page.paste(Image.fromarray(small), (x, y + LABEL))
        draw.text((x + 2, y + 3), name, fill="black", font=font)
    return page


def main() -> None:
    """Write the figure and print the changes, smallest first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    figure = Path(__file__).parent / "figures" / "operations.jpg"
    parser.add_argument("--out", type=Path, default=figure)
    options = parser.parse_args()
    picture = smear()
    drawn = {name: typical(name, picture) for name in PIXEL_OPERATIONS}
    tiles = {"(as it is)": picture, **{name: tile for name, (tile, _) in drawn.items()}}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(tiles).save(options.out, quality=80)
    for name, (_, change) in sorted(drawn.items(), key=lambda entry: entry[1][1]):
        print(f"{name:26s}{change:8.2f} levels")


if __name__ == "__main__":
    main()
