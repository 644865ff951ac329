"""Faults by the hundred: `python tests/faults/rounds.py kills --rounds 200`, or `... disk` (as root).

`kills` kills a command, drawn at random, at a moment drawn at random, gives it again, and compares what it
leaves with what an undisturbed one leaves. `disk` gives every command on file systems of eight sizes, most of
them too small, and again where there is room. Prints a line for each round; ends with 1 if one went wrong.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from commands import COMMANDS, Command
from stage import KILLED, Stage
from verb_server import Fault

#: Of the file systems, in kB; a file system takes some for itself.
SIZES = (4, 8, 16, 32, 64, 512, 2048, 16384)


def kill_once(stage: Stage, command: Command, draw: np.random.Generator) -> str:
    """Kill a command once or twice, and give it again; how it ended."""
    _, calls = stage.undisturbed(command)
    ended = 0
    for _ in range(int(draw.integers(1, 3))):
        if draw.random() < 0.7:
            fault = Fault(call=int(draw.integers(1, calls + 1)))
        else:
            fault = Fault(size=int(10 ** draw.uniform(1, 6)), deadly=True)
        ended = stage.run(command, fault).code
        if ended not in KILLED:
            break
    if ended == 0:
        return "came to its end before it was killed"
    if ended not in KILLED:
        return f"WRONG: exit code {ended}"
    try:
        stage.require_the_same(command)
    except AssertionError as error:
        return f"WRONG: {fault}: {error}"
    return "continued"


def fill_once(stage: Stage, command: Command, kilobytes: int) -> str:
    """Give a command on a small file system, and again where there is room; how it ended."""
    stage.undisturbed(command)
    stage.out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(stage.out)], check=True)
    try:
        ended = stage.run(command)
        if ended.code not in (0, 1) or "Traceback" in ended.output or (ended.code and stage.leftovers()):
            return f"WRONG: exit code {ended.code}, {stage.leftovers()}: {ended.output}"
        if ended.code == 0:
            return "had room"
        subprocess.run(["mount", "-o", "remount,size=1g", str(stage.out)], check=True)
        stage.require_the_same(command)
    except AssertionError as error:
        return f"WRONG: {error}"
    finally:
        subprocess.run(["umount", str(stage.out)], check=True)
    return "refused in a sentence, then continued"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("kills", "disk"))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", nargs="*", default=[], help="names of commands; all of them, if not given")
    given = parser.parse_args()
    commands = [command for command in COMMANDS if not given.only or command.name in given.only]
    draw = np.random.default_rng(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    stage = Stage(folder)
    counts: Counter[str] = Counter()
    try:
        if given.what == "kills":
            rounds = [(commands[int(draw.integers(len(commands)))], 0) for _ in range(given.rounds)]
        else:
            rounds = [(command, size) for command in commands for size in SIZES]
        for command, size in rounds:
            started = time.monotonic()
            found = fill_once(stage, command, size) if size else kill_once(stage, command, draw)
            counts[found.partition(":")[0]] += 1
            print(
                f"{command.name} {f'{size} kB ' if size else ''}{time.monotonic() - started:.1f} s: {found}"
            )
    finally:
        stage.verbs.close()
        shutil.rmtree(folder)
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    return int(counts["WRONG"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
