"""Leave each laboratory out: do novelty, the verdict 'outside' and abstention go with wrong answers?

    python experiments/left_out_laboratories.py --data chula=C.csv bccd=B.csv draaslan=D.csv txl_pbc=T.csv \\
      uganda=U.csv uganda_round=W.csv --out left-out.json --figure left-out.png

Three questions: red cell, white cell or platelet, with each of four laboratories left out; elongated or
round, from Chula to Uganda and back; shapes of synthetic cells, with each drawn laboratory left out. A
classifier learns from the others, and what it keeps of its training cells judges the one that is left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

import reddino
from reddino.classification.abstention import answer_rule
from reddino.classification.calibrated_probe import fit_probe
from reddino.classification.compare_smears import Learner, open_learner
from reddino.classification.domain import UnitVerdict, judge
from reddino.classification.looks import look_at, nanmedian
from reddino.classification.novelty import FAR
from reddino.classification.planned_views import embedded, plan
from reddino.classification.softmax import softmax
from reddino.classification.training_cells import TrainingCells, keep_training_cells
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.leaks import groups_of
from reddino.figures.canvas import blank_figure, save_figure
from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.scales import view_diameters

KINDS = {"RBC": "red", "WBC": "white", "Platelets": "platelet"}
LONG = {
    "ovalocyte": "long",
    "elliptocyte": "long",
    "sickle": "long",
    "normal": "round",
    "auto_round": "round",
}
RISK = 0.1
BINS = np.array([0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0 + 1e-9])
Floats = npt.NDArray[np.float64]


def sample(manifest: Manifest, classes: Mapping[str, str], most: int) -> Manifest:
    """Return at most `most` labelled cells, drawn at random, under their new labels."""
    labels = [classes.get(label, "") for label in manifest.strings("label")]
    rows = np.flatnonzero(np.array(labels, dtype=object) != "")
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    return manifest.with_column("label", labels).select(rows)


def embed(manifest: Manifest, learner: Learner) -> Embeddings:
    """Embed marked cells as `reddino embed` would."""
    failures = Failures()
    planned = plan(manifest, learner.view, view_diameters(manifest, learner.view), failures)
    return embedded(planned, learner.encoder, learner.pooling, failures=failures)


def joined(tables: list[Embeddings]) -> Embeddings:
    """Return the rows of several tables under one another, with absolute paths."""
    import pyarrow as pa

    vectors = np.concatenate([table.vectors for table in tables])
    return Embeddings(
        vectors, pa.concat_tables([t.table for t in tables], promote_options="permissive"), tables[0].meta
    )


def left_out(name: str, train: Embeddings, test: Embeddings, view: Any) -> dict[str, Any]:
    """Fit on some laboratories and judge another."""
    labels, truth = train.strings("label"), np.array(test.strings("label"))
    groups = groups_of(train)
    fitted = fit_probe(train.vectors, labels, groups)
    classes = np.unique(labels)
    probabilities, number = fitted.probabilities, fitted.truth
    kept = keep_training_cells(
        train, labels, groups, root=Path("/"), probabilities=probabilities, truth=number
    )
    assert kept.novelty is not None and kept.held_out is not None
    given = softmax(fitted.head.logits(test.vectors) / fitted.temperature)
    wrong, novelty = classes[given.argmax(axis=1)] != truth, kept.novelty.score(test.vectors)
    far, sure = novelty > FAR, given.max(axis=1)
    verdict = judged(name, test, novelty, kept, view)
    return {
        "left_out": name,
        "cells": len(test),
        "held_out_error": float((~kept.held_out.correct).mean()),
        "error": float(wrong.mean()),
        "far": float(far.mean()),
        "error_near": mean(wrong[~far]),
        "error_far": mean(wrong[far]),
        "auroc_novelty": auroc(wrong, novelty),
        "auroc_probability": auroc(wrong, -sure),
        "verdict": verdict.verdict,
        "sentence": verdict.sentence,
        "abstention": abstention(kept, sure, novelty, wrong),
        "by_novelty": [
            [float((novelty < high).mean()), mean(wrong[(novelty >= low) & (novelty < high)])]
            for low, high in pairwise(BINS)
        ],
        "by_abstention": curves(sure, novelty, wrong),
    }


def judged(name: str, test: Embeddings, novelty: Floats, kept: TrainingCells, view: Any) -> UnitVerdict:
    """Return the verdict on a laboratory."""
    looks = look_at(test.table, Path("/"), view, test.strings("source"), pictures=24, cells=10)
    return judge(name, "", novelty, nanmedian(looks.measures), kept.appearance, cells=len(test))


def abstention(kept: TrainingCells, sure: Floats, novelty: Floats, wrong: Any) -> dict[str, Any]:
    """Return what a risk of 0.1 is worth where the laboratory is another; and by probability alone."""
    assert kept.held_out is not None
    try:
        rule = answer_rule(kept.held_out, RISK)
    except RedDinoError as error:
        return {"refused": str(error)}
    answered, alone = ~rule.abstained(sure, novelty), sure >= rule.probability
    return {
        "answered": float(answered.mean()),
        "error": mean(wrong[answered]),
        "answered_by_probability_alone": float(alone.mean()),
        "error_by_probability_alone": mean(wrong[alone]),
    }


def curves(sure: Floats, novelty: Floats, wrong: Any) -> dict[str, list[Any]]:
    """Return the error among the answered (20 steps) by order of probability, of novelty, and of both."""
    order = {
        "probability": np.argsort(-sure),
        "novelty": np.argsort(novelty, kind="stable"),
        "both": np.lexsort((-sure, novelty > FAR)),
    }
    places = np.linspace(0.05, 1, 20)
    return {
        name: [float(wrong[rows[: max(1, round(place * len(rows)))]].mean()) for place in places]
        for name, rows in order.items()
    }


def mean(values: Any) -> float | None:
    """Return the mean; None of nothing."""
    return float(values.mean()) if len(values) else None


def auroc(wrong: Any, score: Floats) -> float | None:
    """Return how well a score ranks the wrong answers first; None where none, or all, are wrong."""
    return float(roc_auc_score(wrong, score)) if 0 < wrong.sum() < len(wrong) else None


def questions(data: Mapping[str, Manifest], drawn: Manifest, most: int) -> dict[str, dict[str, Manifest]]:
    """Return the labelled cells of each laboratory, by question."""
    txl = data["txl_pbc"]
    source = np.array(txl.strings("source"))
    kinds = {name: data[name] for name in ("bccd", "draaslan")}
    kinds |= {name: txl.select(source == name) for name in np.unique(source).tolist()}
    uganda = data["uganda"]
    uganda = reddino.join_manifests([uganda.select(uganda.is_cell()), data["uganda_round"]])
    shapes = {label: label for label in set(drawn.strings("label")) - {"", "sickle"}}
    labs = np.array(drawn.strings("source"))
    return {
        "kind of cell": {name: sample(one, KINDS, most) for name, one in kinds.items()},
        "elongated": {
            "chula": sample(data["chula"], LONG, 2 * most),
            "uganda": sample(uganda, LONG, 2 * most),
        },
        "synthetic shapes": {
            lab: sample(drawn.select(labs == lab), shapes, most // 2) for lab in np.unique(labs).tolist()
        },
    }


def absolute(manifest: Manifest) -> Manifest:
    """Return the manifest with paths from the root of the file system."""
    paths = [str((manifest.root / path).resolve())[1:] for path in manifest.strings("path")]
    return Manifest(manifest.with_column("path", paths).table, Path("/"))


def draw(results: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw error against novelty, and against the fraction of the cells that are answered."""
    figure = blank_figure(11, 3.4 * len(results))
    for row, (name, found) in zip(
        figure.subplots(len(results), 2, squeeze=False), results.items(), strict=True
    ):
        for one in found:
            middle = np.arange(len(BINS) - 1)
            row[0].plot(middle, [v if v is not None else np.nan for _, v in one["by_novelty"]], "o-", ms=3,
                        label=one["left_out"])  # fmt: skip
            (line,) = row[1].plot(np.linspace(0.05, 1, 20), one["by_abstention"]["both"])
            row[1].plot(
                np.linspace(0.05, 1, 20), one["by_abstention"]["probability"], ":", color=line.get_color()
            )
        row[0].set_xticks(middle, [f"{a:g}-{min(b, 1):g}" for a, b in pairwise(BINS)])
        row[0].set(title=f"{name}: error by novelty", ylabel="error rate")
        row[0].legend(fontsize=7, frameon=False)
        row[1].set(title="error among the answered (dotted: by probability alone)", xlabel="answered")
    save_figure(figure, path)


def main() -> None:
    """Run all questions, print a row for each laboratory, and write figures and numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--model", default="reddino-tiny")
    parser.add_argument("--cells", type=int, default=500, help="of a laboratory")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True)
    given = parser.parse_args()
    data = {
        pair.split("=", 1)[0]: absolute(reddino.read_manifest(pair.split("=", 1)[1])) for pair in given.data
    }
    learner = open_learner(given.model)
    results: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        drawn = absolute(reddino.synthesise(Path(folder) / "drawn", patients_per_source=8, seed=7))
        for question, labs in questions(data, drawn, given.cells).items():
            tables = {name: embed(one, learner) for name, one in labs.items()}
            results[question] = []
            for name, test in tables.items():
                train = joined([table for other, table in tables.items() if other != name])
                one = left_out(name, train, test, learner.view)
                results[question].append(one)
                print(
                    question,
                    json.dumps({k: v for k, v in one.items() if not k.startswith("by_")}),
                    flush=True,
                )
    given.out.write_text(json.dumps(results, indent=1) + "\n")
    draw(results, given.figure)


if __name__ == "__main__":
    main()
