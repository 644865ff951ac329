"""The head that tells red cells from what is none: cut views, measure on left-out laboratories, fit, save.

    python experiments/cell_kinds.py SMEARS --out kinds [--save src/reddino/weights]

SMEARS holds the collections by name (bccd/manifest.csv, txl_pbc/manifest.csv ...). What a view shows is taken
from their boxes, from the exact truth of synthetic smears, and from bars, letters, pointers and dirt drawn
into both. The vectors stay in `--out`, where a second call begins. iml_malaria and uganda_sickle are measured
and never learned from.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from kinds.fields import RED, real_fields, synthetic_fields
from kinds.inclusions import INCLUSIONS, altered_views
from kinds.views import View, abnormal_views, field_views, long_pieces
from reddino.embedding.kinds import KINDS, UNKNOWN, KindHead, save_kind_head
from reddino.foundations.atomic import atomic_path
from reddino.networks.encoder import Encoder, open_model
from reddino.networks.shipped import DEFAULT_MODEL

Real = NDArray[np.float64]
Integers = NDArray[np.int64]
#: Pictures of each collection, at most.
LEARNED = {"bccd": 180, "draaslan_bcd": 100, "txl_pbc": 300, "bangkok_wbc_fields": 26, "chula_rbc12": 200}
#: Pictures in whose red cells something is drawn.
ALTERED = {"bccd": 60, "draaslan_bcd": 50, "txl_pbc": 110, "chula_rbc12": 90}
#: Pictures whose long pieces are measured.
CLUMPS = {"draaslan_bcd": 50, "txl_pbc": 170, "bccd": 40, "chula_rbc12": 70}
#: Those that are measured alone: their label tables, and the labels that are usual.
MEASURED = {"iml_malaria": ("manifest.csv",), "uganda_sickle": ("manifest.csv", "weak_boxes.csv")}
USUAL = frozenset(("red blood cell", "auto_round", "normal", "RBC"))
#: Views of one kind of one laboratory weigh as so many, at most: else the largest collection decides.
MOST_RED, MOST_OTHER = 600, 150
#: Inverse strength of the regularisation; 0.003 and 0.02 lost more red cells of left-out laboratories.
STRENGTH = 0.0005
#: Fraction of the red cells of any shape of a left-out laboratory that may be taken for something else, and
#: the number of cells from which on a shape counts.
WRONG, FEW = 0.02, 30
#: Probability of no red cell that the saved head asks for at the least: at 0.9 it took sickle cells and
#: gametocytes of laboratories that were never learned from, whose probabilities were up to 0.92.
LEAST_OTHER = 0.93
#: Probability of a red cell from which a view is called one.
SURELY_RED = 0.5


@dataclass(frozen=True)
class Vectors:
    """Vectors of n views (n, 1280), their kinds, laboratories, pictures and labels (n,), and sides (n, 2)."""

    vectors: NDArray[np.float32]
    kinds: Integers
    labs: NDArray[np.str_]
    pictures: NDArray[np.str_]
    labels: NDArray[np.str_]
    sides: Real

    def with_(self, more: Vectors) -> Vectors:
        pairs = zip(vars(self).values(), vars(more).values(), strict=True)
        return Vectors(*(np.concatenate(pair) for pair in pairs))

    def of(self, rows: NDArray[np.bool_]) -> Vectors:
        return Vectors(*(values[rows] for values in vars(self).values()))


def learned_views(smears: Path, seed: int) -> Iterator[View]:
    """Yield the views that the head learns from."""
    for collection, limit in LEARNED.items():
        for field in real_fields(smears, collection, limit):
            yield from field_views(field, seed)
    for field in synthetic_fields(seed, random=32, patients=2):
        yield from field_views(field, seed)


def altered_red_cells(smears: Path, seed: int) -> Iterator[View]:
    """Yield red cells with inclusions, from which the head learns too."""
    for collection, limit in ALTERED.items():
        for field in real_fields(smears, collection, limit):
            yield from altered_views(field, seed)


def measured_views(smears: Path) -> Iterator[View]:
    """Yield red cells of the collections that the head never learns from: all abnormal ones, some others."""
    for collection, tables in MEASURED.items():
        for field in real_fields(smears, collection, tables=tables):
            yield from abnormal_views(field, 4, USUAL)


def embedded(views: Iterable[View], encoder: Encoder, file: Path) -> Vectors:
    """Return the vectors of views; from the file, where it holds them already."""
    if not file.is_file():
        pixels: list[NDArray[np.uint8]] = []
        vectors, rows = [], []
        small = []
        for view in views:
            pixels.append(view.pixels)
            small.append(cv2.resize(view.pixels, (56, 56), interpolation=cv2.INTER_AREA))
            rows.append((view.kind, view.lab, view.picture, view.label, view.sides))
            if len(pixels) == 64:
                vectors.append(encoder.embed(np.stack(pixels)))
                pixels = []
        if pixels:
            vectors.append(encoder.embed(np.stack(pixels)))
        names = ("kinds", "labs", "pictures", "labels", "sides")
        columns = {
            name: np.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
        }
        columns |= {"vectors": np.concatenate(vectors), "small": np.stack(small)}
        with atomic_path(file) as partial, partial.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **columns)
    with np.load(file) as held:
        return Vectors(*(held[name] for name in Vectors.__dataclass_fields__))


def clump_views(smears: Path) -> Iterator[View]:
    """Yield long pieces of the collections with boxes or points."""
    for collection, limit in CLUMPS.items():
        for field in real_fields(smears, collection, limit):
            yield from long_pieces(field)


def clump_table(data: Vectors, pieces: Vectors, network: Encoder, other: float) -> str:
    """Return how many long pieces of each laboratory a head that never saw it calls clumps, as Markdown."""
    lines = [
        "| laboratory | long pieces of several cells | called clumps | of one by labels | called clumps |"
    ]
    lines.append("|" + "---|" * 5)
    for lab in np.unique(pieces.labs):
        mine = pieces.of(pieces.labs == lab)
        said = np.array(
            fitted(data.of(data.labs != lab), network, other).read(mine.vectors, mine.sides).names
        )
        several = mine.kinds == KINDS.index("clump")
        hits = [int((said[flags] == "clump").sum()) for flags in (several, ~several)]
        lines.append(f"| {lab} | {int(several.sum())} | {hits[0]} | {int((~several).sum())} | {hits[1]} |")
    return "\n".join(lines)


def weights(data: Vectors) -> Real:
    """Return the weight of each view (n,)."""
    found = np.zeros(len(data.kinds))
    for lab in np.unique(data.labs):
        for kind in range(len(KINDS)):
            mine = (data.labs == lab) & (data.kinds == kind)
            most = MOST_RED if kind == RED else MOST_OTHER
            found[mine] = min(1.0, most / max(1, mine.sum()))
    return np.asarray(found * len(found) / found.sum())


def fitted(data: Vectors, network: Encoder, other: float) -> KindHead:
    """Fit the linear layer."""
    mean, scale = data.vectors.mean(axis=0, dtype=np.float64), data.vectors.std(axis=0, dtype=np.float64)
    scale = scale + 1e-3
    model = LogisticRegression(C=STRENGTH, max_iter=1000, tol=1e-3)
    model.fit((data.vectors - mean) / scale, data.kinds, sample_weight=weights(data))
    arrays = {"mean": mean, "scale": scale, "weights": model.coef_, "bias": model.intercept_}
    rounded = {name: values.astype(np.float32).astype(np.float64) for name, values in arrays.items()}
    return KindHead(network.weights_hash, **rounded, red=SURELY_RED, other=other)


def left_out(data: Vectors, network: Encoder) -> Real:
    """Return the probabilities (n, 5) of each laboratory by a head that never saw it."""
    found = np.zeros((len(data.kinds), len(KINDS)))
    for lab in np.unique(data.labs):
        # the two kinds of synthetic laboratories are drawn by one program: they are left out together
        mine = np.char.startswith(data.labs, "synthetic") if "synthetic" in lab else data.labs == lab
        found[mine] = fitted(data.of(~mine), network, 0.5).probabilities(data.vectors[mine])
    return found


def operating_point(kinds: Integers, probabilities: Real, groups: NDArray[np.str_]) -> float:
    """Return the least probability of no red cell at which no group loses more than `WRONG` of its red cells.

    Args:
        kinds: (n,).
        probabilities: (n, 5) by heads that did not see the laboratory of the view.
        groups: (n,) laboratory and shape; "" counts for none, and neither do groups of fewer than `FEW`.
    """
    points = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995]
    red = kinds == RED
    large = [name for name in np.unique(groups[red]) if name and (red & (groups == name)).sum() >= FEW]
    for point in points:
        lost = [float((1 - probabilities[red & (groups == name), 0] >= point).mean()) for name in large]
        if max(lost) <= WRONG:
            return point
    return points[-1]


def interval(hits: NDArray[np.bool_], pictures: NDArray[np.str_], seed: int = 0) -> str:
    """Return a percentage and its 95 % interval, by drawing whole pictures again 2000 times."""
    names, codes = np.unique(pictures, return_inverse=True)
    of, total = np.bincount(codes, hits), np.bincount(codes).astype(float)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(names), (2000, len(names)))
    low, high = np.percentile(of[draws].sum(axis=1) / total[draws].sum(axis=1), [2.5, 97.5])
    return f"{100 * hits.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"


def table(data: Vectors, probabilities: Real, head: KindHead, by: NDArray[np.str_]) -> str:
    """Return the confusion matrix of each group of views as Markdown: what they are, and what is said."""
    said = np.array(head.decide(probabilities).names)
    lines = [
        f"| laboratory | what it is | views | {' | '.join((*KINDS, UNKNOWN))} | left out, % |",
        "|" + "---|" * (len(KINDS) + 5),
    ]
    for group in np.unique(by):
        for kind, name in enumerate(KINDS):
            mine = (by == group) & (data.kinds == kind)
            if mine.any():
                counts = " | ".join(str(int((said[mine] == other).sum())) for other in (*KINDS, UNKNOWN))
                gone = ~np.isin(said[mine], (KINDS[RED], UNKNOWN))
                lost = interval(gone, data.pictures[mine])
                lines.append(f"| {group} | {name} | {int(mine.sum())} | {counts} | {lost} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("smears", type=Path, help="folder of the collections")
    parser.add_argument("--out", type=Path, required=True, help="folder of the vectors")
    parser.add_argument("--save", type=Path, help="folder in which the head is written")
    parser.add_argument("--seed", type=int, default=0, help="of every random choice")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    network = open_model(DEFAULT_MODEL)
    data = embedded(learned_views(given.smears, given.seed), network, given.out / "learned.npz").with_(
        embedded(altered_red_cells(given.smears, given.seed), network, given.out / "altered.npz")
    )
    held = left_out(data, network)
    real = ~np.char.startswith(data.labs, "synthetic")
    groups = np.where(real, np.char.add(np.char.add(data.labs, ": "), data.labels), "")
    head = fitted(data, network, operating_point(data.kinds, held, groups))
    print(f"{len(data.kinds)} views; other than a red cell from {head.other:g} on\n")
    print("Each laboratory by a head that never saw it:\n")
    altered = np.where(data.labels == INCLUSIONS, np.char.add(data.labs, f": {INCLUSIONS}"), data.labs)
    print(table(data, held, head, altered))
    new = embedded(measured_views(given.smears), network, given.out / "measured.npz")
    print("\nRed cells of laboratories that were never learned from, by their label:\n")
    print(
        table(
            new, head.probabilities(new.vectors), head, np.char.add(np.char.add(new.labs, ": "), new.labels)
        )
    )
    shapes = np.where((data.labs == "chula_bangkok") & (data.kinds == RED), data.labels, "")
    print("\nRed cells of chula_bangkok, left out, by their shape:\n")
    chula = shapes != ""
    print(table(data.of(chula), held[chula], head, shapes[chula]))
    pieces = embedded(clump_views(given.smears), network, given.out / "clumps.npz")
    print(
        "\nPieces longer than 1.2 diameters, with their size, each laboratory by a head that never saw it:\n"
    )
    print(clump_table(data, pieces, network, head.other))
    if given.save:
        saved = replace(head, other=max(head.other, LEAST_OTHER))
        save_kind_head(given.save, saved, f"experiments/cell_kinds.py --seed {given.seed}")
        print(f"\n{given.save}: {saved.fingerprint()}")


if __name__ == "__main__":
    main()
