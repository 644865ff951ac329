"""The job files of the documentation: what they start is a command of today, with the share it should be."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from reddino import cli

JOBS = Path(__file__).resolve().parents[1] / "docs" / "jobs"
#: Stands for the programs of Slurm: srun prints what it was to start, one word a line.
SRUN = '#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do shift; done\nprintf "%s\\n" "$@"\n'
SCONTROL = "#!/usr/bin/env bash\necho node-1\necho node-2\n"


def _started(tmp_path: Path, script: str, *arguments: str, **environment: str) -> list[str]:
    """Run a job file as Slurm does, and return the command that it starts."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", str(JOBS / script), *arguments],
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()


def _understood(tokens: list[str]) -> dict[str, object]:
    """Return the arguments of a command of RedDino, which must all be known."""
    assert tokens[0] == "reddino"
    _, bound, _ = cli.app.parse_args(tokens[1:], exit_on_error=False, print_error=False)
    return dict(bound.arguments)


def test_slurm_embed__embeds_the_share_of_its_number_with_further_options(tmp_path: Path) -> None:
    arguments = ("8", "my cells.csv", "tables/a", "--batch-size", "32")
    started = _started(
        tmp_path, "slurm-embed.sh", *arguments, SLURM_ARRAY_TASK_ID="3", SLURM_CPUS_PER_TASK="4"
    )
    found = _understood(started)
    assert found["data"] == ["my cells.csv"]
    assert (found["share"], found["batch_size"]) == ("3/8", 32)
    assert found["out"] == Path("tables/a.shares/0003")


def test_slurm_merge__joins_all_shares_in_their_order(tmp_path: Path) -> None:
    found = _understood(_started(tmp_path, "slurm-merge.sh", "11", "tables/a"))
    assert found["tables"] == [Path(f"tables/a.shares/{number:04d}") for number in range(1, 12)]
    assert found["out"] == Path("tables/a")


def test_slurm_pretrain__starts_torchrun_on_the_first_node_with_all_arguments(tmp_path: Path) -> None:
    options = ("base", "--data", "packs/smears", "--out", "runs/base", "--set", "run.batch=6272")
    names = {"SLURM_JOB_NODELIST": "node-[1-2]", "SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "2"}
    started = _started(tmp_path, "slurm-pretrain.sh", *options, SLURM_GPUS_ON_NODE="8", **names)
    place = started.index("-m")
    assert started[0] == "torchrun"
    launched = dict(zip(started[1:place:2], started[2:place:2], strict=True))
    assert (launched["--nnodes"], launched["--nproc-per-node"]) == ("2", "8")
    assert launched["--rdzv-endpoint"] == "node-1:20077"
    assert _understood(started[place + 1 :])["out"] == Path("runs/base")


def test_kuberay__starts_a_command_of_today_on_the_running_cluster() -> None:
    job = yaml.safe_load((JOBS / "kuberay-embed.yaml").read_text())
    found = _understood(shlex.split(job["spec"]["entrypoint"]))
    assert found["ray"] == ["auto"]
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["template"] == cluster["workerGroupSpecs"][0]["template"]


@pytest.mark.parametrize("script", sorted(JOBS.glob("*.sh")), ids=lambda one: one.name)
def test_scripts__are_of_bash_and_may_be_requeued(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "#SBATCH --requeue" in text
    assert "set -euo pipefail" in text
