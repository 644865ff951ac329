"""torchrun itself: a killed rank is started again with the others; the weights are those of a quiet run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from micro_run import MICRO, draw_images
from ranks import Ranks
from torch.distributed import TCPStore

from reddino.networks.folder import read_card
from reddino.pretraining.distributed.processes import _store_of_this_attempt
from reddino.pretraining.run.checkpoint import list_checkpoints, step_of
from reddino.smears.manifest import write_manifest

STEPS = 40
LENGTH = (f"run.samples={4 * STEPS}", "runtime.checkpoint_every=5", "runtime.log_every=1")
#: Seconds in which the run must have written its first checkpoint, and have ended.
PATIENCE = 240.0


def torchrun(manifest: Path, out: Path) -> subprocess.Popen[str]:
    """Two processes on this machine, as a person starts them."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        # By default torchrun leaves a folder of logs in the temporary folder.
        *("--log-dir", str(out.with_name(f"{out.name}-logs"))),
        *("--max-restarts", "2", "-m", "reddino", "pretrain", "vit-tiny-scratch"),
        *("--data", str(manifest), "--out", str(out), "--set", *MICRO, *LENGTH),
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@contextmanager
def ended_with_its_workers(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def ranks_of(agent: int) -> dict[int, int]:
    """Process ids of torchrun's workers, by rank, from what it sets for them."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            lines = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        rank = [line for line in lines if line.startswith(b"LOCAL_RANK=")]
        if int(parent) == agent and rank:
            found[int(rank[0].split(b"=")[1])] = int(folder.name)
    return found


def wait_for_a_checkpoint(run: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE
    while not list_checkpoints(run / "checkpoints"):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "no checkpoint was written in time"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for torchrun's workers in /proc")
def test_torchrun__starts_a_killed_rank_again_and_the_weights_are_those_of_an_undisturbed_run(
    tmp_path: Path,
) -> None:
    manifest = tmp_path / "images" / "manifest.csv"
    write_manifest(draw_images(tmp_path / "images"), manifest)
    ranks = Ranks(manifest)
    try:
        ranks.run(2, tmp_path / "undisturbed", LENGTH)
    finally:
        ranks.server.kill()
        ranks.server.communicate()

    with ended_with_its_workers(torchrun(manifest, tmp_path / "disturbed")) as disturbed:
        wait_for_a_checkpoint(tmp_path / "disturbed", disturbed)
        os.kill(ranks_of(disturbed.pid)[1], signal.SIGKILL)
        said, _ = disturbed.communicate(timeout=PATIENCE)
    assert disturbed.returncode == 0, said
    assert "Signal 9" in said or "SIGKILL" in said or "exitcode: -9" in said, said
    one, other = (tmp_path / name for name in ("undisturbed", "disturbed"))
    assert step_of(list_checkpoints(other / "checkpoints")[-1]) == STEPS
    assert read_card(one / "model").weights_hash == read_card(other / "model").weights_hash


def test_store__of_a_restart_knows_no_address_of_the_attempt_before(monkeypatch: pytest.MonkeyPatch) -> None:
    lent = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    told = {
        **{"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(lent.port), "TORCHELASTIC_USE_AGENT_STORE": "True"},
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    stores = []
    for attempt in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
        stores.append(_store_of_this_attempt()["store"])
    stores[0].set("address", "of one that has died")
    assert stores[0].check(["address"]) and not stores[1].check(["address"])
    monkeypatch.setenv("WORLD_SIZE", "4")  # on two machines, which count their restarts for themselves
    assert _store_of_this_attempt() == {}
