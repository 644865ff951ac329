"""A learned finder of red cells beside the classical one: teach it, measure both on laboratories left out.

    python experiments/learned_finder.py SMEARS --out finder [--only all ...] [--half even]

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
from cell_finding import SYNTHETIC, Field, real_fields, synthetic_fields
from finder.finders import Learned, Parted
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
    """Return a line of the table; differences are from the classical finder, on the same pictures."""
    counts = np.stack([one.counts for one in scores])
    by = rates(counts.sum(axis=0))
    excess = 100 * (counts[:, 1] / counts[:, 0] - 1)
    apart = differences(classical, scores)
    cells = [
        set_name,
        finder_name,
        f"{np.median(excess):+.0f} / {np.abs(excess).mean():.0f}",
        *(f"{by[name]:.3f}" for name in ("precision", "recall", "f1", "close_recall", "close_f1")),
        f"{np.nanmedian(np.abs([one.error for one in scores])):.1f}",
        f"{1000 * np.median([one.seconds for one in scores]):.0f}",
    ]
    for name in ("f1", "close_f1", "recall"):
        cells.append("" if scores is classical else "{:+.3f} ({:+.3f} to {:+.3f})".format(*apart[name]))
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| set | finder | count error %: median / mean abs | precision | recall | F1 | overlapping: recall "
    "| overlapping: F1 | diameter error % | CPU ms | F1 against classical | overlapping F1 against classical "
    "| recall against classical |\n" + "|" + "---|" * 13
)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("smears", type=Path, help="folder of the collections")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures and networks")
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), help="teach these, and measure nothing")
    parser.add_argument("--half", choices=["even", "odd"], default="odd", help="images by index")
    parser.add_argument("--limit", type=int, default=60, help="at most so many images a set")
    parser.add_argument("--sets", nargs="*", default=list(MEASURED_BY), choices=list(MEASURED_BY))
    parser.add_argument("--steps", type=int, default=600, help="of each network")
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
