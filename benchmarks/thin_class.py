"""Make a class of a manifest rare: keep it in a given fraction of the cells, drawn at random.

python benchmarks/thin_class.py drawn/manifest.csv drawn/thin.csv "ring-stage parasite" 0.005
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path


def main() -> None:
    """Write the manifest next to the given one, since its paths are relative; print what is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("label")
    parser.add_argument("fraction", type=float, help="cells of the class to those of all others")
    options = parser.parse_args()
    with options.manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    own = [place for place, row in enumerate(rows) if row["label"] == options.label]
    kept = round(options.fraction * (len(rows) - len(own)))
    random.Random(0).shuffle(own)
    left_out = set(own[kept:])
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row for place, row in enumerate(rows) if place not in left_out)
    print(f"{len(rows) - len(left_out):,} cells, of which {min(kept, len(own)):,} are '{options.label}'")


if __name__ == "__main__":
    main()
