"""A process that feeds one target with mutated inputs until its time is up; `fuzz.py` starts and watches it.

Atheris chooses inputs by the lines of RedDino that they reach; where it is not installed, they are drawn.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz_bundle import Bundle, packed, unpacked, write_bundle

try:
    import atheris
except ImportError:  # no wheels for this machine
    atheris = None


class Session:
    """What one process did: counts, findings, and the input that it is at."""

    def __init__(self, crashes: Path, work: Path) -> None:
        self._crashes = crashes
        self._current, self._state = work / "current", work / "state.json"
        self.counts: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self._saved = 0.0

    def begin(self, bundle: Bundle) -> None:
        """Note an input before it runs: should the process die, this one did it."""
        self._current.write_bytes(packed(bundle))

    def end(self, bundle: Bundle, outcome: Any) -> None:
        """Count an outcome, and keep the first input of each finding."""
        self.counts[outcome.kind] += 1
        if outcome.is_finding:
            self.keys[outcome.key] += 1
            if self.keys[outcome.key] == 1:
                keep(self._crashes, bundle, outcome.kind, outcome.key, outcome.report)
        if time.monotonic() - self._saved > 1 or outcome.is_finding:
            self.save()

    def save(self) -> None:
        """Write the counts for the parent."""
        self._saved = time.monotonic()
        self._state.write_text(json.dumps({"counts": self.counts, "keys": self.keys}))


def keep(crashes: Path, bundle: Bundle, kind: str, key: str, report: str) -> None:
    """Put an input and what it did into a folder named after the place, unless that is there already."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    folder = crashes / f"{kind}-{digest}"
    if not folder.exists():
        write_bundle(bundle, folder / "input")
        (folder / "report.txt").write_text(f"{key}\n\n{report}\n", "utf-8", "backslashreplace")


def feed(
    names: Sequence[str], crashes: Path, work: Path, *, seconds: float, seed: int, limit: int | None
) -> Counter[str]:
    """Run targets on their seeds and on mutations of them.

    Args:
        names: of the targets; several only with a limit.
        crashes: folder for the inputs of findings.
        work: an empty folder.
        seconds: to run for.
        seed: what the inputs are drawn from.
        limit: inputs of each target, drawn alike on every machine; None for as many as the time allows.

    Returns:
        How many inputs ended in what.
    """
    guided = atheris is not None and limit is None
    with atheris.instrument_imports(include=["reddino"]) if guided else contextlib.nullcontext():
        from fuzz_guard import Guard
        from fuzz_mutators import mutate
        from fuzz_targets import TARGETS

        session, guard = Session(crashes, work), Guard(work / "sandbox")
        prepared = {name: (TARGETS[name].seeds(), TARGETS[name].prepare()) for name in names}
        guard.limit_memory()  # once everything is imported
        for name, (seeds, read) in prepared.items():

            def one(bundle: Bundle, read: Any = read) -> None:
                session.begin(bundle)
                session.end(bundle, guard.run(read, bundle))

            for bundle in seeds:
                one(bundle)
            if guided:
                _guided(seeds, one, seconds, seed, work)
            rng = random.Random(f"{name} {seed}")
            ends = time.monotonic() + seconds
            for number in range(limit if limit is not None else sys.maxsize):
                if limit is None and time.monotonic() > ends:
                    break
                one(mutate(seeds[number % len(seeds)], rng))
        session.save()
        return session.counts


def _guided(seeds: list[Bundle], one: Any, seconds: float, seed: int, work: Path) -> None:
    """Hand over to libFuzzer, which ends the process."""
    from fuzz_mutators import MOST_BYTES, mutate

    corpus = work / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, bundle in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(packed(bundle))

    def mutated(data: bytes, most: int, drawn: int) -> bytes:
        rng = random.Random(drawn)
        result = packed(mutate(unpacked(data) or rng.choice(seeds), rng))
        return result if len(result) <= most else data

    arguments = [
        f"-max_total_time={max(1, round(seconds))}", f"-seed={seed + 1}", f"-max_len={2 * MOST_BYTES}",
        "-timeout=1000000", "-rss_limit_mb=0", "-malloc_limit_mb=0", "-handle_segv=0", "-handle_abrt=0",
        "-print_final_stats=0",
        "-verbosity=0", "-len_control=0", f"-artifact_prefix={work}/", str(corpus),
    ]  # fmt: skip
    atheris.Setup(["fuzz", *arguments], lambda data: one(unpacked(data)), custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    chosen, kept, working, for_seconds, with_seed, *most = sys.argv[1:]
    feed(
        chosen.split(","),
        Path(kept),
        Path(working),
        seconds=float(for_seconds),
        seed=int(with_seed),
        limit=int(most[0]) if most else None,
    )
