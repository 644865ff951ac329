"""The fastest installed runtime that gives the vectors of float32 torch, found by measuring."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from reddino.embed.runtimes.check import FAITHFUL, Agreement, agreement
from reddino.embed.runtimes.extras import is_installed
from reddino.embed.runtimes.onnx_engine import OnnxEngine
from reddino.embed.runtimes.onnx_graph import OnnxSource
from reddino.embed.runtimes.openvino_engine import Hint, OpenVinoEngine, computes_bf16
from reddino.errors import RedDinoError
from reddino.model.backbone import ViTBackbone
from reddino.model.encoder import Encoder
from reddino.model.engine import Engine, TorchEngine
from reddino.runtime import bf16_is_fast

log = logging.getLogger(__name__)

RuntimeName = Literal["auto", "torch", "openvino", "onnx"]
RUNTIMES = ("auto", "torch", "openvino", "onnx")
PRECISIONS = ("auto", "fp32", "bf16")
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
class Candidate:
    """One way to compute the vectors."""

    runtime: str
    precision: Literal["fp32", "bf16"]
    detail: str
    make: Callable[[], Engine]

    def __str__(self) -> str:
        return " ".join(part for part in (self.runtime, self.precision, self.detail) if part)


@dataclass(frozen=True)
class Measured:
    """What a candidate did on the check batch.

    Attributes:
        candidate: runtime, precision and detail, in words.
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
        said = f", {self.note}" if self.note else ""
        return (
            f"{self.candidate}: {self.images_per_second:.1f} images/s, "
            f"centred cosine {self.cosine:.6f} (least {self.least_cosine:.6f}){said}"
        )


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        engine: to compute with.
        chosen: it, in words.
        reason: one sentence.
        measured: every candidate that was looked at; empty where there was nothing to compare.
    """

    engine: Engine
    chosen: str
    reason: str
    measured: tuple[Measured, ...] = ()

    def record(self) -> dict[str, Any]:
        """For the metadata of a table."""
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
        precision: `fp32`, `bf16`, or `auto`, which also looks at bf16 where the hardware computes it.
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
    candidates = list(_candidates(encoder, "torch" if compiled else runtime, precision, compiled))
    again = next((one for one in candidates if begun and str(one) == begun.get("chosen")), None)
    if again is not None:
        choice = Choice(again.make(), str(again), "as this table began")
    elif len(candidates) == 1:
        only = candidates[0]
        choice = Choice(only.make(), str(only), "as asked for, or nothing else is installed")
    else:
        choice = _race(encoder, candidates, sample, pooling, views)
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


def _candidates(encoder: Encoder, runtime: str, precision: str, compiled: bool) -> Iterator[Candidate]:
    """What may compete, float32 torch first."""
    on_cpu = encoder.runtime.device.type == "cpu"
    if runtime in ("auto", "torch"):
        yield from _torch_candidates(encoder, precision, compiled)
    source = OnnxSource(encoder.backbone, encoder.card)
    threads = encoder.runtime.threads
    if runtime == "openvino" or (runtime == "auto" and on_cpu and is_installed("openvino")):
        yield from _openvino_candidates(source, threads, precision, forced=runtime == "openvino")
    wanted = runtime == "onnx" or (runtime == "auto" and on_cpu and is_installed("onnx"))
    if wanted and precision != "bf16":
        yield Candidate("onnx", "fp32", "", partial(OnnxEngine, source, threads))


def _torch_candidates(encoder: Encoder, precision: str, compiled: bool) -> Iterator[Candidate]:
    """Explicit products can beat the fused kernel on a CPU, by its kind and the batch."""
    own = encoder.runtime
    several = own.device.type == "cpu" and isinstance(encoder.backbone, ViTBackbone) and not compiled
    for level in _precisions(precision, bf16_is_fast(own.device)):
        for fused in (True, False) if several else (True,):
            make = partial(
                TorchEngine,
                encoder.backbone,
                encoder.card,
                replace(own, precision=level),
                fused_attention=fused,
                compiled=compiled,
            )
            yield Candidate("torch", level, _torch_detail(fused, compiled), make)


def _torch_detail(fused: bool, compiled: bool) -> str:
    return "compiled" if compiled else ("" if fused else "explicit attention")


def _openvino_candidates(
    source: OnnxSource, threads: int, precision: str, forced: bool
) -> Iterator[Candidate]:
    try:
        fast = is_installed("openvino") and computes_bf16()
    except RedDinoError:
        if forced:
            raise
        return  # an installation that does not start is none
    hints: tuple[Hint, ...] = ("LATENCY", "THROUGHPUT") if threads > 1 else ("LATENCY",)
    for level in _precisions(precision, fast):
        if level == "bf16" and not (fast or forced):
            continue
        for hint in hints:
            yield Candidate(
                "openvino", level, hint.lower(), partial(OpenVinoEngine, source, threads, level, hint)
            )


def _precisions(asked: str, hardware: bool) -> tuple[Literal["fp32", "bf16"], ...]:
    if asked == "bf16":
        return ("bf16",)
    return ("fp32", "bf16") if asked == "auto" and hardware else ("fp32",)


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
    reason = f"the fastest of {len(runners)} that keep a centred cosine of {FAITHFUL} to float32 torch"
    measured = tuple(runner.measured(len(batch)) for runner in runners)
    return Choice(winner.engine, str(winner.candidate), reason, (*measured, *out))


def _pace(candidate: Candidate, sample: NDArray[np.uint8], pooling: str) -> tuple[float, Engine]:
    """Seconds an image, of a second small run, and the engine that ran."""
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
    """Those that give the reference's vectors, each warmed up and timed once, and those that are out."""
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
        if agrees.faithful:
            runners.append(runner)
        else:
            out.append(replace(runner.measured(len(batch)), note=f"out, since below {FAITHFUL}"))
    return runners, out


def _reference(encoder: Encoder, batch: NDArray[np.uint8], pooling: str) -> NDArray[np.float32]:
    """Vectors of float32 torch with exact products."""
    with _exact_products():
        runtime = replace(encoder.runtime, precision="fp32")
        return TorchEngine(encoder.backbone, encoder.card, runtime).vectors(batch, pooling)


@contextmanager
def _exact_products() -> Iterator[None]:
    """float32 products without the bf16 or TF32 that "medium" and "high" permit."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
