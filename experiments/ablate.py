"""Ablations as one command: pretrain, score and compare every arm of a plan.

    python experiments/ablate.py experiments/paper-claims.yaml --out campaign --data bccd=B.csv ...

The same command continues a campaign that was stopped; with --table it only writes the table again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablation.campaign import Campaign
from ablation.plan import read_plan
from ablation.table import write_table
from reddino.evaluation.task_file import named_paths
from reddino.foundations.errors import RedDinoError
from reddino.foundations.signals import stopped_by_signals


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="YAML file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the campaign")
    parser.add_argument("--data", nargs="+", default=[], metavar="NAME=CSV", help="manifests of the plan")
    parser.add_argument("--only", nargs="+", default=[], metavar="ARM", help="these arms or networks")
    parser.add_argument("--folds", nargs="+", default=[], metavar="FOLD", help="these folds")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="in place of the plan's")
    parser.add_argument("--samples", type=int, metavar="N", help="of every run, in place of the recipe's")
    parser.add_argument("--cells", type=int, metavar="N", help="scored of each table, in place of the plan's")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="overrides for every arm")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once (default 1)")
    parser.add_argument("--keep-tables", action="store_true", help="keep the embedding tables")
    parser.add_argument("--table", action="store_true", help="only write the table of what is finished")
    return parser


def main() -> int:
    """Run the command; returns the exit code."""
    given = arguments().parse_args()
    samples = [] if given.samples is None else [f"run.samples={given.samples}"]
    try:
        if given.jobs < 1:
            raise RedDinoError(f"--jobs {given.jobs}: give at least 1")
        plan = read_plan(
            given.plan,
            overrides=(*given.set, *samples),
            seeds=None if given.seeds is None else tuple(given.seeds),
            cells=given.cells,
        )
        campaign = Campaign(
            plan,
            given.out.resolve(),
            {name: path.resolve() for name, path in named_paths(given.data).items()},
            only=given.only,
            folds=given.folds,
            keep_tables=given.keep_tables,
            say=lambda line: print(line, flush=True),
        )
        faults = [] if given.table else _computed(campaign, given.jobs)
        print(write_table(plan, campaign.out), flush=True)
    except RedDinoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if faults is None:
        print("stopped; the same command continues", file=sys.stderr)
        return 130
    for fault in faults:
        print(f"failed: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _computed(campaign: Campaign, jobs: int) -> list[str] | None:
    """Compute what is missing; a sentence for each run that failed, None where the user stopped it."""
    try:
        with stopped_by_signals():
            return campaign.compute(jobs)
    except KeyboardInterrupt:
        return None


if __name__ == "__main__":
    sys.exit(main())
