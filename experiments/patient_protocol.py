"""Measure whether the patient-level protocol finds what is true, on cohorts whose truth is known.

    python experiments/patient_protocol.py BANK --out FOLDER [--cohorts 20] [--patients 300]

BANK is the embedding table of synthetic smears (`reddino synthesise`, `reddino embed`). Cells of patients are
drawn from it by shape and laboratory, so that vectors are a real network's and thousands of patients cost
seconds. The true difference of a setting is what models of other cohorts of that size reach on new patients.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.table import read_embeddings
from reddino.evaluation.metrics import auroc
from reddino.foundations.provenance import provenance
from reddino.patients.clinical_columns import ClinicalColumn, read_column
from reddino.patients.features import ClinicalFeatures, PictureFeatures
from reddino.patients.models import BOTH, CLINICAL, predict_fold
from reddino.patients.protocol import PatientQuestion, run_protocol
from reddino.patients.scores import score_models
from reddino.smears.row_places import RowPlace
from reddino.synthetic.choices import Adds
from reddino.synthetic.cohorts import CLINICAL_COLUMNS, CohortPatient, draw_cohort
from reddino.synthetic.morphologies import MORPHOLOGIES

Real = NDArray[np.float64]
LABORATORIES = 3


@dataclass(frozen=True)
class Bank:
    """Vectors of synthetic cells, by laboratory and shape."""

    vectors: NDArray[np.float32]
    rows: dict[tuple[int, str], NDArray[np.int64]]

    @classmethod
    def read(cls, table: Path) -> Bank:
        """Read the table; of each shape and laboratory there must be cells."""
        emb = read_embeddings(table)
        sources, labels = np.array(emb.strings("source")), np.array(emb.strings("label"))
        names = sorted(set(sources.tolist()))[:LABORATORIES]
        rows = {
            (lab, shape): np.flatnonzero((sources == name) & (labels == shape))
            for lab, name in enumerate(names)
            for shape in MORPHOLOGIES
        }
        lacking = [key for key, found in rows.items() if len(found) == 0]
        if len(names) < LABORATORIES or lacking:
            raise SystemExit(f"the bank lacks laboratories or cells of {lacking[:5]}: draw more patients")
        return cls(emb.vectors, rows)

    def pictures(self, patients: list[CohortPatient], cells: int, seed: int) -> Real:
        """Return the mean vector of each patient's cells (n, d), drawn from the bank with replacement."""
        rng = np.random.default_rng([seed, 21])
        found = np.empty((len(patients), self.vectors.shape[1]))
        for number, one in enumerate(patients):
            counts = rng.multinomial(cells, one.mix())
            chosen = [
                rng.choice(self.rows[one.laboratory, shape], count)
                for shape, count in zip(MORPHOLOGIES, counts.tolist(), strict=True)
            ]
            found[number] = self.vectors[np.concatenate(chosen)].mean(axis=0)
        return found


def columns_of(patients: list[CohortPatient]) -> tuple[ClinicalColumn, ...]:
    """Return the clinical columns, as read from a file."""
    place = RowPlace("cohort")
    texts = [["" if value is None else str(value) for value in one.clinical] for one in patients]
    return tuple(
        read_column(name, [row[number] for row in texts], place)
        for number, name in enumerate(CLINICAL_COLUMNS)
    )


def cohort_question(bank: Bank, patients: list[CohortPatient], cells: int, seed: int) -> PatientQuestion:
    """Return a cohort as the protocol takes it."""
    truth = np.array([one.diseased for one in patients]).astype(np.int64)
    return PatientQuestion(
        truth,
        ("control", "disease"),
        ClinicalFeatures(columns_of(patients)),
        {"": PictureFeatures(bank.pictures(patients, cells, seed))},
        None,
        tuple(f"laboratory {one.laboratory}" for one in patients),
    )


def true_difference(bank: Bank, adds: Adds, arguments: argparse.Namespace) -> list[float]:
    """Return AUROC of both less that of clinical, on new patients, by models of other cohorts.

    They train on four fifths of a cohort, as the folds do.
    """
    patients, test, cells = arguments.patients * 4 // 5, arguments.test, arguments.cells
    found = []
    for number in range(arguments.rounds):
        seed = 50_000 + number
        members = draw_cohort(patients + test, adds=adds, laboratories=LABORATORIES, seed=seed)
        question = cohort_question(bank, members, cells, seed)
        train, new = np.arange(patients), np.arange(patients, patients + test)
        likely = predict_fold(question.clinical, question.pictures, question.truth, train, new, seed=seed)
        positive = question.truth[new] == 1
        both, clinical = (auroc(positive, likely[name][:, 1]) for name in (BOTH, CLINICAL))
        assert both is not None and clinical is not None
        found.append(both - clinical)
    return found


def run_setting(
    bank: Bank, adds: Adds, arguments: argparse.Namespace, *, confounded: bool = False
) -> list[dict[str, float]]:
    """Return the difference of each cohort, with its intervals."""
    found = []
    for number in range(arguments.cohorts):
        seed = 1000 + number
        members = draw_cohort(
            arguments.patients, adds=adds, laboratories=LABORATORIES, confounded=confounded, seed=seed
        )
        question = cohort_question(bank, members, arguments.cells, seed)
        repeats = run_protocol(question, repeats=arguments.repeats, seed=seed)
        rows = {(row.model, row.metric): row for row in score_models(question.truth, 2, repeats, seed)}
        record: dict[str, float] = {}
        for metric in ("auroc", "auroc_bootstrap"):
            row = rows[f"{BOTH} - {CLINICAL}", metric]
            assert row.low is not None and row.high is not None
            record |= {metric: row.value, f"{metric} low": row.low, f"{metric} high": row.high}
        record |= {f"{name} alone": rows[name, "auroc"].value for name in (CLINICAL, "picture", BOTH)}
        if confounded:
            left = run_protocol(question, protocol="leave-one-source-out", seed=seed)
            apart = {(row.model, row.metric): row for row in score_models(question.truth, 2, left, seed)}
            record |= {f"{name} left out": apart[name, "auroc"].value for name in (CLINICAL, "picture", BOTH)}
        found.append(record)
        print(
            adds,
            "confounded" if confounded else "",
            number,
            {k: round(v, 3) for k, v in record.items()},
            flush=True,
        )
    return found


def main() -> None:
    """Run all settings and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bank", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cohorts", type=int, default=20)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--rounds", type=int, default=10, help="cohorts that the true difference is the mean of"
    )
    parser.add_argument("--test", type=int, default=3000)
    arguments = parser.parse_args()
    bank = Bank.read(arguments.bank)
    settings: tuple[Adds, ...] = ("nothing", "something", "everything")
    summary: dict[str, object] = {}
    for adds in settings:
        truths = true_difference(bank, adds, arguments)
        truth = float(np.mean(truths))
        records = run_setting(bank, adds, arguments)
        lines = {"true difference": truth, "its sd over cohorts": float(np.std(truths, ddof=1))}
        for metric in ("auroc", "auroc_bootstrap"):
            low = np.array([one[f"{metric} low"] for one in records])
            high = np.array([one[f"{metric} high"] for one in records])
            lines[f"{metric}: intervals that cover it"] = float(((low <= truth) & (truth <= high)).mean())
            lines[f"{metric}: intervals that leave out zero"] = float(((low > 0) | (high < 0)).mean())
            lines[f"{metric}: mean width"] = float((high - low).mean())
        lines["mean difference"] = float(np.mean([one["auroc"] for one in records]))
        summary[adds] = {**lines, "cohorts": records}
        print(adds, lines, flush=True)
    records = run_setting(bank, "nothing", arguments, confounded=True)
    means = {key: float(np.mean([one[key] for one in records])) for key in records[0]}
    print("laboratory confounded", means, flush=True)
    summary["laboratory confounded, picture adds nothing"] = {**means, "cohorts": records}
    arguments.out.mkdir(parents=True, exist_ok=True)
    told = {"provenance": provenance(seed=1000), **summary}
    (arguments.out / "patient_protocol.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
