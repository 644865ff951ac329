"""Split Chula RBC-12 by groups of fields into a half for choosing settings and a half that is scored once.

    python benchmarks/chula_halves.py CHULA/manifest.csv --out halves

writes halves/chula_choosing.csv and halves/chula_final.csv. Which half a field is in depends on nothing but
the name of its group in same_field_groups.csv, or of its file where it is in none: the last bit of the name's
SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from reddino.smears.manifest import read_manifest, with_groups, write_manifest


def is_for_choosing(name: str) -> bool:
    """Whether the group or file of this name is in the half for choosing."""
    return hashlib.sha256(name.encode()).digest()[-1] % 2 == 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    cells = with_groups(read_manifest(given.manifest), given.manifest.parent / "same_field_groups.csv")
    names = [
        group or Path(path).name
        for group, path in zip(cells.strings("group"), cells.strings("path"), strict=True)
    ]
    choosing = np.array([is_for_choosing(name) for name in names])
    given.out.mkdir(parents=True, exist_ok=True)
    for half, rows in (("choosing", choosing), ("final", ~choosing)):
        part = cells.select(rows)
        write_manifest(part, given.out / f"chula_{half}.csv")
        print(f"chula_{half}.csv: {len(part)} cells, {len(set(part.strings('path')))} fields")


if __name__ == "__main__":
    main()
