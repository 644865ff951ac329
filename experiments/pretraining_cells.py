"""Keep beside a model's weights how its pretraining cells look, and a sample of their vectors.

    python experiments/pretraining_cells.py src/reddino/weights/reddino-tiny bccd=bccd/manifest.csv chula=...

Give the manifests of the openly licensed collections that the model was pretrained on; with --synthetic, the
laboratories of `reddino synthesise` are drawn and added. No picture is kept: 9 numbers for each sampled
picture, and --vectors vectors of each source, in float16.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import reddino
from reddino.classification.compare_smears import open_learner
from reddino.classification.looks import sampled
from reddino.classification.novelty import fit_novelty
from reddino.classification.planned_views import embedded, plan
from reddino.classification.training_cells import TrainingCells, appearance_of, save_training_cells
from reddino.embedding.embeddings import Embeddings
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.scales import view_diameters

#: Pictures of each source, and cells of each, that are embedded.
PICTURES, CELLS = 60, 8


def cells_of(manifest: Manifest, model: str) -> Embeddings:
    """Embed some cells of each source, as `reddino embed` would."""
    marked = manifest.select(manifest.is_cell())
    rows = sampled(marked.strings("source"), marked.strings("path"), PICTURES, CELLS, 0)
    sample, learner, failures = marked.select(rows), open_learner(model), Failures()
    planned = plan(sample, learner.view, view_diameters(sample, learner.view), failures)
    return embedded(planned, learner.encoder, learner.pooling, failures=failures)


def kept_of(emb: Embeddings, root: Path, vectors: int) -> TrainingCells:
    """Return the looks of the pictures, and `vectors` vectors of each source with the scale of all."""
    sources = emb.strings("source")
    groups = [f"{source}/{path}" for source, path in zip(sources, emb.strings("path"), strict=True)]
    fitted = fit_novelty(emb.vectors, sources, groups, kept=vectors * len(set(sources)))
    assert fitted is not None
    return TrainingCells(fitted[0], None, appearance_of(emb, root)[0])


def main() -> None:
    """Read the collections, and write `training-cells.safetensors`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", nargs="*", help="name=manifest")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--vectors", type=int, default=64)
    given = parser.parse_args()
    manifests = [reddino.read_manifest(pair.split("=", 1)[-1]) for pair in given.data]
    with tempfile.TemporaryDirectory() as folder:
        if given.synthetic:
            manifests.append(reddino.synthesise(Path(folder) / "drawn", fields_per_patient=4, seed=1))
        joined = reddino.join_manifests(manifests)
        emb = cells_of(joined, str(given.model))
        # The names that a manifest had for the drawn laboratories are those of its card.
        kept = kept_of(emb, joined.root, given.vectors)
    card = reddino.load(str(given.model))
    save_training_cells(given.model, replace(kept, strip=None), card.weights_hash)
    size = (given.model / "training-cells.safetensors").stat().st_size
    names = sorted(set(emb.strings("source")))
    print(f"{len(emb)} cells of {len(names)} sources ({', '.join(names)}): {np.round(size / 1e6, 2)} MB")


if __name__ == "__main__":
    main()
