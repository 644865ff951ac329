"""CUDA tests, throughput and a pretraining run on a GPU that is lent for minutes, in one call.

    python benchmarks/gpu_campaign.py prepare --data bccd/manifest.csv chula/manifest.csv
    python benchmarks/gpu_campaign.py run --minutes 12 --out results
    python benchmarks/gpu_campaign.py run --minutes 3 --out /tmp/rehearsal --device cpu    # to try it out

`prepare` fills a folder (.campaign) on a machine with the images and without hurry; `run` needs that folder,
the checkout and no network. docs/experiments/gpu-campaign.md says more.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parent / "src"), os.getenv("PYTHONPATH"))))

import reddino  # noqa: E402, F401


def main() -> int:
    """Prepare a campaign, run it, or, started by it, one of its stages."""
    options = _options()
    options.campaign = options.campaign.absolute()
    if options.verb == "prepare":
        from campaign.prepare import prepare
        from campaign.pretraining import recipe_for

        recipe = recipe_for(options.recipe, options.set, "cuda")
        print(prepare(options.data, options.campaign, recipe, options.megabytes, not options.no_plans))
        return 0
    if options.verb == "stage":
        return _stage(options)
    from campaign.budget import STAGES, Budget
    from campaign.stages import python, run_stages

    options.out = options.out.absolute()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as work:
        shared = ["--out", str(options.out), "--work", work, "--campaign", str(options.campaign)]
        shared += ["--device", options.device]
        shared += ["--kind", options.kind] if options.kind else []
        shared += ["--recipe", options.recipe] if options.recipe else []
        shared += ["--set", *options.set] if options.set else []
        well = run_stages(
            Budget(60 * options.minutes),
            lambda stage, seconds: python(
                Path(__file__), "stage", stage.name, "--seconds", f"{seconds:.1f}", *shared
            ),
            options.out,
            Path(work),
            [stage for stage in STAGES if stage.name in options.stages],
        )
    print((options.out / "summary.md").read_text("utf-8"))
    return 0 if well else 1


def _stage(options: argparse.Namespace) -> int:
    from importlib import import_module

    from campaign.machine import device_kind, machine
    from campaign.record import Record

    kind = options.kind
    if kind is None and options.device == "cuda":
        kind = device_kind(machine("cuda")["card"])
    import_module(f"campaign.{options.name}").run(
        Record(options.out, options.name),
        options.seconds,
        device=options.device,
        campaign=options.campaign,
        out=options.out,
        work=options.work,
        kind=kind,
        recipe=options.recipe,
        overrides=options.set,
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--campaign", type=Path, default=Path(".campaign"), help="what `prepare` makes")
    shared.add_argument(
        "--recipe", help="of the pretraining run; default: benchmarks/campaign/vit_small.yaml"
    )
    shared.add_argument("--set", nargs="*", default=[], help="overrides of it, such as optim.lr=1e-3")
    on_device = argparse.ArgumentParser(add_help=False, parents=[shared])
    on_device.add_argument("--out", type=Path, required=True, help="folder of what comes back")
    on_device.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    on_device.add_argument(
        "--kind", help="of the card, as `reddino plan --device-kind`; default: by its name"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    preparing = verbs.add_parser("prepare", parents=[shared])
    preparing.add_argument("--data", nargs="+", required=True, help="manifests or folders of images")
    preparing.add_argument("--megabytes", type=float, default=36.0, help="of the images at most")
    preparing.add_argument("--no-plans", action="store_true", help="count no plans, which takes minutes")
    running = verbs.add_parser("run", parents=[on_device])
    running.add_argument("--minutes", type=float, default=12.0, help="of everything together")
    parts = ("cuda_tests", "throughput", "pretraining")
    running.add_argument("--stages", nargs="+", choices=parts, default=parts, help="only these")
    stage = verbs.add_parser("stage", parents=[on_device])
    stage.add_argument("name")
    stage.add_argument("--seconds", type=float, required=True)
    stage.add_argument("--work", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
