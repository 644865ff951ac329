"""Turn the batch effect of drawn smears from none to strong, and draw what the measures make of it.

    python benchmarks/batch_effect.py --out docs/figures/batch-effect.png

The same cells are photographed in four laboratories, whose differences are multiplied by 0 to 1.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import reddino
from reddino.evaluation.batch_effect.measures import BatchReport
from reddino.evaluation.batch_effect.tables import markdown
from reddino.figures.batch_figure import strength_figure
from reddino.figures.canvas import save_figure

SOURCES = ("lilac", "greengrey", "night", "cream")
MODELS = ("efficientnet-lite0", "colour-histogram", "morphology")


def measured(folder: Path, strength: float, models: list[str], patients: int, size: int) -> list[BatchReport]:
    """A report a model, on the same cells under every source at one strength."""
    smears = reddino.synthesise(
        folder / "smears",
        sources=SOURCES,
        patients_per_source=patients,
        fields_per_patient=1,
        every_source=True,
        strength=strength,
        seed=3,
    )
    tables = []
    for model in models:
        tables.append(folder / model)
        reddino.embed(smears, model, tables[-1], image_size=size, name=model)
    # Shapes that few cells or patients have would only add noise to what is said of classes.
    labels = smears.strings("label")
    homes = set(zip(labels, smears.strings("patient"), strict=True))
    rare = [
        name
        for name in sorted(set(labels))
        if labels.count(name) < 15 * len(SOURCES) or sum(label == name for label, _ in homes) < 4
    ]
    return reddino.batch(tables, drop=rare, folds=4)


def main() -> None:
    """Measure at every strength, print the tables, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("batch-effect.png"))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--strengths", nargs="+", type=float, default=[0.0, 0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--size", type=int, default=64)
    chosen = parser.parse_args()
    reports = {}
    for strength in chosen.strengths:
        with tempfile.TemporaryDirectory() as folder:
            reports[strength] = measured(Path(folder), strength, chosen.models, chosen.patients, chosen.size)
        print(f"## strength {strength:g}\n\n{markdown(reports[strength])}", flush=True)
    title = f"The same cells in {len(SOURCES)} drawn laboratories, differences multiplied by 0 to 1"
    save_figure(strength_figure(reports, title), chosen.out)


if __name__ == "__main__":
    main()
