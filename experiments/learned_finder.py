"""A learned finder of red cells beside the classical one: teach it, measure both on laboratories left out.

    python experiments/learned_finder.py SMEARS --out finder [--only all ...] [--half even] [--look 60]

SMEARS holds the collections by name (bccd/manifest.csv, txl_pbc/manifest.csv ...). A network of 183,409
numbers learns from the boxes and points of open collections and from synthetic smears. Each laboratory is
measured by a network that never saw it; iml_malaria, uganda_sickle and the named synthetic sources are never
learned from. Pictures and networks stay in `--out`, where a second call begins; several calls with `--only`
teach side by side.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

import finder
from cell_finding import SETS, SYNTHETIC, Field, real_fields, synthetic_fields
from finder.finders import Learned, Parted
from finder.looking import doubtful, sheet, tile
from finder.network import StarNetwork
from finder.pictures import LEARNED, Lesson, kept, real_lessons, synthetic_lessons
from finder.scoring import Finder, Score, differences, of_cells, rates, score
from finder.training import Course, teach
from reddino.foundations.atomic import atomic_path
from reddino.rbc.finding import find_cells

__all__ = ["finder"]

#: Networks: which laboratories each of them never sees; and which one measures each set.
NETWORKS = {
    "without-ankara-bangkok": ("draaslan_ankara", "chula_bangkok"),
    "without-bccd-txl": ("bccd", "pbc_barcelona", "raabin_iran"),
    "all": (),
}
MEASURED_BY = {
    "bccd": "without-bccd-txl",
    "txl_pbc/pbc": "without-bccd-txl",
    "txl_pbc/raabin": "without-bccd-txl",
    "draaslan_bcd": "without-ankara-bangkok",
    "chula_rbc12": "without-ankara-bangkok",
    "iml_malaria": "all",
    "uganda_sickle": "all",
    SYNTHETIC: "all",
}
#: Random laboratories that are drawn, and fields of each.
DRAWN_LABS, DRAWN_FIELDS = 80, 3


def lessons(smears: Path, out: Path, seed: int) -> list[Lesson]:
    """Return everything that may be learned from."""
    found = kept(out / "synthetic.pickle", synthetic_lessons(seed, DRAWN_LABS, DRAWN_FIELDS))
    for collection in LEARNED:
        found += kept(out / f"{collection}.pickle", real_lessons(smears, collection, seed))
    return found


def taught(name: str, smears: Path, out: Path, course: Course) -> StarNetwork:
    """Return a network of `NETWORKS`; from its file, where it is there."""
    torch.manual_seed(course.seed)
    network, file = StarNetwork(), out / f"{name}.pt"
    if not file.is_file():
        known = [lesson for lesson in lessons(smears, out, course.seed) if lesson.lab not in NETWORKS[name]]
        logging.info("%s learns from %d pictures", name, len(known))
        teach(network, known, course)
        with atomic_path(file) as partial:
            torch.save(network.state_dict(), partial)
    network.load_state_dict(torch.load(file, weights_only=True))
    return network.eval().to(memory_format=torch.channels_last)


def fields(smears: Path, name: str, half: str, limit: int) -> Iterator[Field]:
    """Yield the fields of a set as `benchmarks/cell_finding.py` takes them."""
    return synthetic_fields(patients=4) if name == SYNTHETIC else real_fields(smears, name, half, limit)


def measured(pictures: Iterator[Field], finders: dict[str, Finder]) -> dict[str, list[Score]]:
    """Run all finders on each picture in turn."""
    scores: dict[str, list[Score]] = {name: [] for name in finders}
    for field in pictures:
        for name, find in finders.items():
            scores[name].append(score(field, find))
    return scores


def row(set_name: str, finder_name: str, scores: Sequence[Score], classical: Sequence[Score]) -> str:
    """Return a line of the table; differences are from the classical finder, on the same pictures.

    What needs complete labels is left empty where they are not.
    """
    complete = set_name == SYNTHETIC or SETS[set_name].complete
    counts = np.stack([one.counts for one in scores])
    by = {name: f"{value:.3f}" for name, value in rates(counts.sum(axis=0)).items()}
    excess = 100 * (counts[:, 1] / counts[:, 0] - 1)
    by["count"] = f"{np.median(excess):+.0f} / {np.abs(excess).mean():.0f}"
    for name, values in differences(classical, scores).items():
        by[f"more {name}"] = "" if scores is classical else "{:+.3f} ({:+.3f} to {:+.3f})".format(*values)
    shown = [by[name] if complete or "recall" in name.split() else "" for name in COLUMNS]
    cells = [
        set_name,
        finder_name,
        *shown,
        f"{np.nanmedian(np.abs([one.error for one in scores])):.1f}",
        f"{1000 * np.median([one.seconds for one in scores]):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


#: Columns of the table and what they are called.
COLUMNS = {
    "count": "count error %: median / mean abs",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "close_recall": "overlapping: recall",
    "close_f1": "overlapping: F1",
    "more recall": "more recall",
    "more f1": "more F1",
    "more close_f1": "more overlapping F1",
}
HEAD = f"| set | finder | {' | '.join(COLUMNS.values())} | diameter error % | CPU ms |\n|{'---|' * 13}"


def look(pictures: Iterator[Field], network: StarNetwork, most: int, file: Path) -> None:
    """Write a sheet of cells that were parted against the labels; print how many there are."""
    part, parted, tiles = Parted(network), 0, []
    for field in pictures:
        before, after = of_cells(find_cells(field.image)), part(field.image)
        stayed = {tuple(box) for box in after.boxes.tolist()}
        parted += sum(tuple(box) not in stayed for box in before.boxes.tolist())
        tiles += [tile(field, parts) for parts in doubtful(field, before, after)]
    print(f"{parted} cells parted, {len(tiles)} of them with a part that has no label")
    if tiles:
        cv2.imwrite(str(file), cv2.cvtColor(sheet(tiles, most), cv2.COLOR_RGB2BGR))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("smears", type=Path, help="folder of the collections")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures and networks")
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), help="teach these, and measure nothing")
    parser.add_argument("--half", choices=["even", "odd"], default="odd", help="images by index")
    parser.add_argument("--limit", type=int, default=60, help="at most so many images a set")
    parser.add_argument("--sets", nargs="*", default=list(MEASURED_BY), choices=list(MEASURED_BY))
    parser.add_argument("--look", type=int, help="measure nothing; draw so many cells parted against labels")
    parser.add_argument("--steps", type=int, default=2000, help="of each network")
    parser.add_argument("--seed", type=int, default=18, help="of every random choice")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    course = Course(given.steps, seed=given.seed)
    if given.only is not None:
        for name in given.only:
            taught(name, given.smears, given.out, course)
        return
    if given.look:
        for name in given.sets:
            pictures = fields(given.smears, name, given.half, given.limit)
            network = taught(MEASURED_BY[name], given.smears, given.out, course)
            look(pictures, network, given.look, given.out / f"{name.replace('/', '-')}.png")
        return
    print(HEAD)
    for name in given.sets:
        network = taught(MEASURED_BY[name], given.smears, given.out, course)
        finders: dict[str, Finder] = {
            "classical": lambda image: of_cells(find_cells(image)),
            "learned": Learned(network),
            "classical, parted": Parted(network),
        }
        scores = measured(fields(given.smears, name, given.half, given.limit), finders)
        for finder_name, own in scores.items():
            print(row(name, finder_name, own, scores["classical"]), flush=True)


if __name__ == "__main__":
    main()
