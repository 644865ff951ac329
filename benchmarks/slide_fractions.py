"""Fractions on slides of known composition: plain counts, adjusted ones and EM, and how often intervals hold.

    reddino synthesise drawn/learn --sources lilac olive beige phone --patients 12 --fields 3 --seed 1
    reddino synthesise drawn/seen --sources lilac olive beige phone --patients 12 --fields 6 --seed 2
    reddino synthesise drawn/unseen --sources mint night --patients 12 --fields 6 --seed 3
    for one in learn seen unseen; do reddino embed drawn/$one/manifest.csv --out tables/$one; done
    python benchmarks/slide_fractions.py tables/learn drawn/seen=tables/seen drawn/unseen=tables/unseen

Of drawn slides the truth is the mix that their cells were drawn with. With
--held-out in place of test tables, the fields of a real table are dealt into two halves of whole groups: one
teaches, and of the other a slide is a draw of fields, whose listed cells are the truth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import reddino
from reddino.classification.classifier import Classifier
from reddino.classification.fit import fit_on_table
from reddino.classification.predict import predict_embeddings
from reddino.classification.priors import estimated, learned_priors
from reddino.embedding.border import whole_cells
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.class_map import labelled_rows
from reddino.evaluation.splits import folds_of_groups
from reddino.figures.fractions import fraction_interval
from reddino.slide_reports.errors_of import errors_of
from reddino.slide_reports.quantification import Errors, estimate, unfolded
from reddino.synthetic.morphologies import MORPHOLOGIES
from reddino.synthetic.write import Settings, slide_patients

Real = npt.NDArray[np.float64]
#: Principal components of the vectors that a classifier learns on, so that this takes minutes.
COMPONENTS = 128
#: The column of the fields of a real table, which hold several pictures of one place.
FIELD = "field of the table"
#: Methods that are tried without an interval.
ALONE = ("EM of probabilities", "adjusted to the end")


@dataclass(frozen=True)
class Slide:
    """The cells of a slide: class probabilities, fields, and the true fractions of the classes.

    `truth` is that of the slide, of which the cells are a sample; `counted` that of these cells themselves.
    """

    name: str
    probabilities: Real
    fields: npt.NDArray[np.int64]
    truth: Real
    counted: Real


def shares(labels: list[str], classes: tuple[str, ...]) -> Real:
    """Return the fractions of the classes among labels."""
    counts = np.array([labels.count(name) for name in classes], dtype=np.float64)
    return np.asarray(counts / counts.sum())


def drawn_truth(folder: Path, classes: tuple[str, ...]) -> dict[str, Real]:
    """Return the fractions that the cells of each slide were drawn with, by the slide's name."""
    noted = json.loads((folder / "synthetic.json").read_text())
    noted.pop("version")
    settings = Settings(**{**noted, "sources": tuple(noted["sources"])})
    found = {}
    for (name, _), patient in slide_patients(settings).items():
        mix = dict(zip(MORPHOLOGIES, patient.mix, strict=True))
        parts = np.array([mix.get(one, 0.0) for one in classes])
        found[name] = parts / parts.sum()
    return found


def drawn_slides(classifier: Classifier, table: Embeddings, folder: Path) -> Iterator[Slide]:
    """The slides of drawn smears."""
    table, _ = labelled_rows(whole_cells(table)[0], "label")
    known = np.isin(np.array(table.strings("label")), classifier.classes)
    table = table.select(np.flatnonzero(known))
    probabilities = predict_embeddings(classifier, table).probabilities
    truth = drawn_truth(folder, classifier.classes)
    labels = table.strings("label")
    slides, paths = np.array(table.strings("slide")), np.array(table.strings("path"))
    for name in sorted(set(slides)):
        rows = np.flatnonzero(slides == name)
        fields = np.unique(paths[rows], return_inverse=True)[1]
        own = shares([labels[row] for row in rows.tolist()], classifier.classes)
        yield Slide(str(name), probabilities[rows], fields, truth[str(name)], own)


def dealt_slides(
    classifier: Classifier, table: Embeddings, groups: list[str], *, fields: int, count: int, seed: int
) -> Iterator[Slide]:
    labels = np.array(table.strings("label"))
    truth = np.array([classifier.classes.index(label) for label in labels])
    probabilities = predict_embeddings(classifier, table).probabilities
    names, group = np.unique(np.array(groups), return_inverse=True)
    by_group = np.zeros((len(names), len(classifier.classes)))
    np.add.at(by_group, (group, truth), 1)
    rng = np.random.default_rng(seed)
    for number in range(count):
        # Slides differ as diseases do: fields are drawn by how common one class is on them.
        favoured = rng.integers(len(classifier.classes))
        weight = 0.02 + by_group[:, favoured] / by_group.sum(axis=1)
        chosen = rng.choice(len(names), min(fields, len(names)), replace=False, p=weight / weight.sum())
        rows = np.flatnonzero(np.isin(group, chosen))
        # The slide is all groups in these weights: what the fields are a sample of.
        mix = (weight / weight.sum()) @ by_group
        yield Slide(
            str(number),
            probabilities[rows],
            np.unique(group[rows], return_inverse=True)[1],
            mix / mix.sum(),
            shares(labels[rows].tolist(), classifier.classes),
        )


@dataclass(frozen=True)
class Components:
    """The principal components of the vectors of a table."""

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]

    @classmethod
    def of(cls, table: Embeddings) -> Components:
        mean = table.vectors.mean(axis=0)
        axes = np.linalg.svd(table.vectors[:: max(1, len(table) // 3000)] - mean, full_matrices=False)[2]
        return cls(mean, axes[:COMPONENTS].T)

    def __call__(self, table: Embeddings) -> Embeddings:
        return replace(table, vectors=np.ascontiguousarray((table.vectors - self.mean) @ self.axes))


@dataclass
class Tally:
    """Errors and held intervals of one method over slides and classes."""

    errors: list[Real]
    beside: list[Real]
    held: list[npt.NDArray[np.bool_]]
    widths: list[Real]

    def add(self, slide: Slide, fraction: Real, low: Real, high: Real) -> None:
        self.errors.append(np.abs(fraction - slide.truth))
        self.beside.append(np.abs(fraction - slide.counted))
        self.held.append((low <= slide.truth) & (slide.truth <= high))
        self.widths.append(high - low)


def judged(classifier: Classifier, errors: Errors, slides: Iterator[Slide]) -> dict[str, Tally]:
    """Errors and coverage by method."""
    found = {name: Tally([], [], [], []) for name in ("plain", "adjusted", *ALONE)}
    classes = len(classifier.classes)
    unknown = np.full(classes, np.nan)
    for slide in slides:
        answer = slide.probabilities.argmax(axis=1)
        by_field = np.zeros((slide.fields.max() + 1, classes))
        np.add.at(by_field, (slide.fields, answer), 1)
        plain = np.array([fraction_interval(by_field[:, i], by_field.sum(axis=1)) for i in range(classes)]).T
        found["plain"].add(slide, plain[0], plain[1], plain[2])
        made = estimate(by_field, errors)
        found["adjusted"].add(slide, made.fraction, made.low, made.high)
        em = estimated(slide.probabilities, learned_priors(classifier))[0]
        found["EM of probabilities"].add(slide, em, unknown, unknown)
        answers = by_field.sum(axis=0) / by_field.sum()
        likeliest = unfolded(answers, np.full(classes, 1 / classes), errors.matrix(), steps=500)
        found["adjusted to the end"].add(slide, likeliest, unknown, unknown)
    return found


def show(title: str, found: dict[str, Tally], classes: tuple[str, ...], every: bool) -> None:
    """Print a row for each method."""
    for name, tally in found.items():
        error, held, width = np.array(tally.errors), np.array(tally.held), np.array(tally.widths)
        covered = "-" if np.isnan(width).all() else f"{100 * held.mean():.1f} %"
        wide = "-" if np.isnan(width).all() else f"{100 * width.mean():.2f}"
        beside = f"{100 * np.mean(tally.beside):.2f}"
        print(
            f"| {title} | {len(error)} | {name} | {100 * error.mean():.2f}, {beside} | {covered} | {wide} |"
        )
        if every and name not in ALONE:
            parts = (f"{one} {100 * held[:, i].mean():.0f}" for i, one in enumerate(classes))
            print(f"  by class, %: {', '.join(parts)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("learn", type=Path)
    parser.add_argument("tests", nargs="*", help="DRAWN=TABLE")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--drop", nargs="*", default=())
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--slides", type=int, default=100)
    parser.add_argument("--every-class", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dropped = dict.fromkeys(options.drop)
    table, _ = labelled_rows(whole_cells(reddino.read_embeddings(options.learn))[0], "label", dropped)
    learn = np.arange(len(table))
    if options.held_out:
        groups = np.array(table.strings("group"))
        groups = np.where(groups == "", np.array(table.strings("path")), groups)
        table = replace(table, table=table.table.append_column(FIELD, pa.array(groups.tolist())))
        learn, test = folds_of_groups(groups.tolist(), 2, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        table = (shorter := Components.of(table.select(learn)))(table)
        column = FIELD if options.held_out else None
        made = fit_on_table(table.select(learn), Path(folder) / "c", group_column=column, seed=options.seed)
    errors = errors_of(made)
    if errors is None:
        raise SystemExit("the classifier keeps no held-out cells")
    print(f"{len(learn)} cells teach {len(made.classes)} classes, alike within a group: {errors.alike:.3f}")
    print("| slides | number | method | mean error to slide, to cells | intervals that hold | width |")
    print("|---|---|---|---|---|---|")
    if options.held_out:
        known = [row for row in test.tolist() if table.strings("label")[row] in made.classes]
        own = table.select(np.array(known))
        slides = dealt_slides(
            made,
            own,
            groups[known].tolist(),
            fields=options.fields,
            count=options.slides,
            seed=options.seed,
        )
        show(options.learn.name, judged(made, errors, slides), made.classes, options.every_class)
    for pair in options.tests:
        folder, _, place = pair.partition("=")
        slides = drawn_slides(made, shorter(reddino.read_embeddings(place)), Path(folder))
        show(Path(folder).name, judged(made, errors, slides), made.classes, options.every_class)


if __name__ == "__main__":
    main()
