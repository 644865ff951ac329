"""Measure the known cases that `reddino batch` sets its verdict beside: what mixes, and what falls apart.

    REDDINO_SMEARS=/path/to/smears python benchmarks/batch_scale.py

Each case is two "sources" of red cells in the embedding of the model that comes along. The answer of each is
known: one laboratory dealt in two at random (nothing to find), two slides of one laboratory, two
laboratories, and the same synthetic cells photographed under two laboratories.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import reddino
from reddino.evaluation.batch_effect.verdict import mixing, probe_margin

RED = {"RBC", "normal", "red blood cell", "uninfected", "auto_round"}


def cells_of(file: Path, count: int, seed: int = 0) -> reddino.Manifest:
    """Return `count` red cells of a manifest, drawn over all of its pictures."""
    manifest = reddino.read_manifest(file)
    rows = np.flatnonzero([label in RED for label in manifest.strings("label")])
    drawn = np.random.default_rng(seed).permutation(rows)[:count]
    return manifest.select(np.sort(drawn))


def renamed(manifest: reddino.Manifest, names: list[str]) -> reddino.Manifest:
    """Return a manifest whose sources have these names, without slides and patients."""
    empty = [""] * len(manifest)
    for column in ("slide", "patient", "label"):
        manifest = manifest.with_column(column, empty)
    return manifest.with_column("source", names)


def real_cases(smears: Path, count: int) -> Iterator[tuple[str, reddino.Manifest]]:
    """Yield the cases of real smears, with their names."""
    chula = cells_of(smears / "chula_rbc12" / "manifest.csv", 2 * count)
    paths = sorted(set(chula.strings("path")))
    half = dict(zip(np.random.default_rng(1).permutation(paths).tolist(), range(len(paths)), strict=True))
    yield (
        "one laboratory, its fields dealt in two at random (Chula)",
        renamed(chula, [f"half {half[path] % 2}" for path in chula.strings("path")]),
    )
    iml = cells_of(smears / "iml_malaria" / "manifest.csv", 3 * count)
    known = [name in ("slideA", "slideC") for name in iml.strings("slide")]
    iml = iml.select(np.flatnonzero(known)[: 2 * count])
    yield "two slides of one laboratory (IML, A and C)", renamed(iml, iml.strings("slide"))
    bccd = cells_of(smears / "bccd" / "manifest.csv", count)
    pbc = cells_of(smears / "txl_pbc" / "manifest.csv", 3 * count)
    pbc = pbc.select([name == "pbc_barcelona" for name in pbc.strings("source")])
    pair = reddino.join_manifests([bccd, pbc.select(np.arange(len(pbc)) < count)])
    yield "two laboratories (BCCD and Barcelona)", renamed(pair, pair.strings("source"))
    uganda = cells_of(smears / "uganda_sickle" / "weak_boxes.csv", count)
    pair = reddino.join_manifests([chula.select(np.arange(len(chula)) < count), uganda])
    yield "a microscope's camera and a phone (Chula and Uganda)", renamed(pair, pair.strings("source"))


def synthetic_case(folder: Path, strength: float) -> tuple[str, reddino.Manifest]:
    """Return the same cells under two synthetic laboratories."""
    made = reddino.synthesise(
        folder / f"s{strength:g}",
        sources=("lilac", "greengrey"),
        patients_per_source=12,
        fields_per_patient=1,
        every_source=True,
        strength=strength,
        seed=3,
    )
    return f"the same synthetic cells under two laboratories, strength {strength:g}", made


def main() -> None:
    """Embed every case, measure it, and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smears", type=Path, default=Path(os.environ.get("REDDINO_SMEARS", "smears")))
    parser.add_argument("--cells", type=int, default=400, help="of each source")
    parser.add_argument("--model", default="reddino-tiny")
    chosen = parser.parse_args()
    print(f"{chosen.model}, up to {chosen.cells} cells a source\n")
    print(f"| {'case':62s} | probe | mixed | source told | iLISI | by chance | variance |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = [synthetic_case(folder, strength) for strength in (0.0, 0.1, 0.25, 1.0)]
        for number, (case, manifest) in enumerate([*real_cases(chosen.smears, chosen.cells), *drawn]):
            table = folder / f"t{number}"
            reddino.embed(manifest, chosen.model, table)
            (report,) = reddino.batch(table)
            found = {one.name: one for one in report.measures}
            lisi = found["iLISI"]
            print(
                f"| {case:62s} | {probe_margin(report):.2f} | {mixing(report):.2f} "
                f"| {found['source told'].value:.3f} | {lisi.value:.3f} | {lisi.without:.3f} "
                f"| {found['variance by source'].value:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
