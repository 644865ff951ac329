"""The fastest installed runtime that gives the vectors of float32 torch, found by measuring."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from reddino.embedding.choices import RuntimeName
from reddino.embedding.runtimes.candidates import Candidate, every_candidate
from reddino.embedding.runtimes.check import FAITHFUL, Agreement, agreement
from reddino.foundations.choices import Precision
from reddino.foundations.errors import RedDinoError
from reddino.networks.encoder import Encoder
from reddino.networks.engine import Engine, TorchEngine

log = logging.getLogger(__name__)

RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
#: Runtimes are compared where the pass takes so many times longer than comparing them.
WORTH_COMPARING = 10
#: Seconds to bring a network to another runtime, about.
_CONVERSION = 8.0
#: Seconds that one timed run aims at, and timed runs of each candidate that is still in the race.
_RUN_SECONDS, _ROUNDS = 0.8, 3
_FEWEST, _MOST = 8, 32
#: A candidate that is so many times slower than the best after its first run is not run again.
_HOPELESS = 1.5


@dataclass(frozen=True)
class Measured:
    """What a candidate did on the check batch.

    Attributes:
        candidate: runtime, precision and detail.
        images_per_second: median of its runs; 0 where it could not run.
        cosine, least_cosine: centred, against float32 torch; mean and least of the batch.
        note: why it is out, if it is.
    """

    candidate: str
    images_per_second: float
    cosine: float
    least_cosine: float
    note: str = ""

    def __str__(self) -> str:
        note = f", {self.note}" if self.note else ""
        return (
            f"{self.candidate}: {self.images_per_second:.1f} images/s, "
            f"centred cosine {self.cosine:.6f} (least {self.least_cosine:.6f}){note}"
        )


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        engine: to compute with.
        chosen: runtime, precision and detail.
        reason: one sentence.
        measured: every candidate that was tried; empty where there was nothing to compare.
    """

    engine: Engine
    chosen: str
    reason: str
    measured: tuple[Measured, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the choice for the metadata of a table."""
        return {
            "chosen": self.chosen,
            "reason": self.reason,
            "measured": [asdict(one) for one in self.measured],
        }


def use_runtime(
    encoder: Encoder,
    runtime: str = "auto",
    precision: str = "auto",
    *,
    compiled: bool = False,
    sample: NDArray[np.uint8],
    pooling: str = "cls",
    views: int | None = None,
    begun: Mapping[str, Any] | None = None,
) -> Choice:
    """Choose a runtime, put the encoder into it, and log what was chosen and measured.

    Args:
        encoder: a network; its engine is replaced.
        runtime: `torch`, `openvino`, `onnx`, or `auto`: the fastest installed one whose vectors keep a mean
            centred cosine of 0.999 or more against float32 torch on the sample.
        precision: `fp32`, `bf16`, or `auto`, which also tries bf16 where the hardware computes it. What is
            named is taken even where the vectors do not keep, with a warning.
        compiled: torch.compile, for torch alone.
        sample: squares (n, s, s, 3) of the data that is to be embedded.
        pooling: of the pass to come.
        views: of that pass; a short one is not worth comparing for. None compares anyway.
        begun: the record of an earlier choice, by which a pass began: where what it chose can be had, that is
            taken again, and nothing is measured.

    Raises:
        RedDinoError: an unknown name, a runtime that is not installed, or options that exclude one another.
    """
    _require_known(encoder, runtime, precision, compiled)
    candidates = list(every_candidate(encoder, "torch" if compiled else runtime, precision, compiled))
    again = next((one for one in candidates if begun and str(one) == begun.get("chosen")), None)
    if again is not None:
        choice = Choice(again.make(), str(again), "as this table began")
    elif len(candidates) == 1:
        only = candidates[0]
        choice = Choice(only.make(), str(only), "as requested, or nothing else is installed")
    else:
        choice = _race(encoder, candidates, sample, pooling, views)
    if again is None and choice.engine.precision != "fp32":
        choice = _checked(encoder, choice, sample, pooling)
    encoder.engine, encoder.choice = choice.engine, dict(begun) if begun and again else choice.record()
    for one in choice.measured:
        log.info("runtime %s", one)
    # What nobody had to choose is in the table, and not worth a line.
    log.log(
        logging.INFO if choice.measured else logging.DEBUG,
        "runtime chosen: %s (%s)",
        choice.chosen,
        choice.reason,
    )
    return choice


def use_bf16_where_it_keeps(encoder: Encoder, sample: NDArray[np.uint8], pooling: str = "cls") -> None:
    """Put an encoder of float32 torch into bfloat16 if that keeps its vectors on the sample.

    Nothing is timed, so that the same processor decides alike each time.
    """
    engine = TorchEngine(encoder.backbone, encoder.card, replace(encoder.runtime, precision="bf16"))
    batch = sample[:_MOST]
    if agreement(engine.vectors(batch, pooling), _reference(encoder, batch, pooling)).faithful:
        encoder.engine = engine


def _require_known(encoder: Encoder, runtime: str, precision: str, compiled: bool) -> None:
    if runtime not in RUNTIMES:
        raise RedDinoError(f"runtime '{runtime}' is not known; give {', '.join(RUNTIMES)}")
    if precision not in PRECISIONS:
        raise RedDinoError(f"precision '{precision}' is not known; give {', '.join(PRECISIONS)}")
    if compiled and runtime not in ("auto", "torch"):
        raise RedDinoError(f"--compile is for torch, not for the runtime {runtime}; leave one out")
    if runtime in ("openvino", "onnx") and encoder.runtime.device.type != "cpu":
        raise RedDinoError(f"the runtime {runtime} computes on the CPU here; give --device cpu, or torch")
    if runtime == "onnx" and precision == "bf16":
        raise RedDinoError("the runtime onnx computes in fp32 here; give the precision fp32 or auto")


def _checked(encoder: Encoder, choice: Choice, sample: NDArray[np.uint8], pooling: str) -> Choice:
    """Return the same choice with its agreement with float32 torch; warn where that is low."""
    own = next((one for one in choice.measured if one.candidate == choice.chosen), None)
    if own is None:
        batch = sample[:_FEWEST]
        started = time.perf_counter()
        found = choice.engine.vectors(batch, pooling)
        pace = len(batch) / max(time.perf_counter() - started, 1e-9)
        agrees = agreement(found, _reference(encoder, batch, pooling))
        own = Measured(choice.chosen, pace, agrees.mean, agrees.least)
        choice = replace(choice, measured=(*choice.measured, own))
    if own.cosine < FAITHFUL:
        log.warning(
            "%s gives other vectors than float32 torch: their centred cosine on views of this data is %.4f, "
            "below %s; give --precision fp32, or auto",
            choice.chosen,
            own.cosine,
            FAITHFUL,
        )
    return choice


def _race(
    encoder: Encoder, candidates: list[Candidate], sample: NDArray[np.uint8], pooling: str, views: int | None
) -> Choice:
    first = candidates[0]
    pace, engine = _pace(first, sample, pooling)
    batch = sample[: int(np.clip(_RUN_SECONDS / pace, _FEWEST, _MOST))]
    cost = _CONVERSION + len(candidates) * _ROUNDS * len(batch) * pace
    if views is not None and views * pace < WORTH_COMPARING * cost:
        reason = f"{views} views take about {views * pace:.0f} s: too few to compare runtimes for"
        return Choice(engine, str(first), reason)
    reference = _reference(encoder, batch, pooling)
    runners, out = _prepare(candidates, {str(first): engine}, batch, pooling, reference)
    if not runners:
        raise RedDinoError(
            f"no runtime here gives the vectors of float32 torch: {'; '.join(str(one) for one in out)}"
        )
    for _ in range(_ROUNDS - 1):
        best = min(runner.seconds for runner in runners)
        for runner in runners:
            if runner.seconds <= _HOPELESS * best:
                runner.run(batch, pooling)
    runners.sort(key=lambda runner: runner.seconds)
    winner = runners[0]
    kept = (
        "in the requested precision"
        if _all_lossy(candidates)
        else f"that keep a centred cosine of {FAITHFUL} to float32 torch"
    )
    reason = f"the fastest of {len(runners)} {kept}"
    measured = tuple(runner.measured(len(batch)) for runner in runners)
    return Choice(winner.engine, str(winner.candidate), reason, (*measured, *out))


def _all_lossy(candidates: Sequence[Candidate]) -> bool:
    """Return whether no candidate is in float32: the user has named a precision."""
    return all(one.precision != "fp32" for one in candidates)


def _pace(candidate: Candidate, sample: NDArray[np.uint8], pooling: str) -> tuple[float, Engine]:
    """Return the seconds per image of a second small run, and the engine that ran."""
    engine = candidate.make()
    engine.vectors(sample[:2], pooling)
    started = time.perf_counter()
    engine.vectors(sample[:2], pooling)
    return (time.perf_counter() - started) / len(sample[:2]), engine


class _Runner:
    """A candidate that is in the race, with the seconds of its runs."""

    def __init__(self, candidate: Candidate, engine: Engine, agrees: Agreement) -> None:
        self.candidate, self.engine, self.agrees = candidate, engine, agrees
        self._times: list[float] = []

    @property
    def seconds(self) -> float:
        return median(self._times)

    def run(self, batch: NDArray[np.uint8], pooling: str) -> None:
        started = time.perf_counter()
        self.engine.vectors(batch, pooling)
        self._times.append(time.perf_counter() - started)

    def measured(self, images: int) -> Measured:
        return Measured(str(self.candidate), images / self.seconds, self.agrees.mean, self.agrees.least)


def _prepare(
    candidates: list[Candidate],
    made: dict[str, Engine],
    batch: NDArray[np.uint8],
    pooling: str,
    reference: NDArray[np.float32],
) -> tuple[list[_Runner], list[Measured]]:
    """Return the candidates that compute the reference's vectors, warmed up and timed once, and the others.

    Where a precision was named, other vectors put nobody out.
    """
    named = _all_lossy(candidates)
    runners, out = [], []
    for candidate in candidates:
        try:
            engine = made.get(str(candidate)) or candidate.make()
            agrees = agreement(engine.vectors(batch, pooling), reference)
        except RedDinoError as error:
            if len(candidates) == 1:
                raise
            out.append(Measured(str(candidate), 0.0, float("nan"), float("nan"), str(error)))
            continue
        runner = _Runner(candidate, engine, agrees)
        runner.run(batch, pooling)
        if agrees.faithful or named:
            runners.append(runner)
        else:
            out.append(replace(runner.measured(len(batch)), note=f"out, since below {FAITHFUL}"))
    return runners, out


def _reference(encoder: Encoder, batch: NDArray[np.uint8], pooling: str) -> NDArray[np.float32]:
    """Return the vectors of float32 torch with exact products."""
    with _exact_products():
        runtime = replace(encoder.runtime, precision="fp32")
        return TorchEngine(encoder.backbone, encoder.card, runtime).vectors(batch, pooling)


@contextmanager
def _exact_products() -> Iterator[None]:
    """Compute float32 products without the bf16 or TF32 that "medium" and "high" permit."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
