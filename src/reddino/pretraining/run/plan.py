"""What a pretraining run would take: operations, memory, samples per second and hours, added up."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.run.step_cost import (
    STEPS,
    Counts,
    at_full_depth,
    count_step,
    noise_images,
    probe,
    samples_per_second,
)
from reddino.smears.manifest import Manifest

#: Peak dense bf16 (or fp16) TFLOP/s and GB of memory, from the vendors' data sheets.
DEVICES = {
    "t4": (65.0, 16.0),
    "l4": (121.0, 24.0),
    "rtx4090": (165.0, 24.0),
    "v100": (125.0, 32.0),
    "a100": (312.0, 80.0),
    "h100": (989.0, 80.0),
    "h200": (989.0, 141.0),
}
THIS = "this"
UTILISATION = 0.3  # of the peak, assumed for devices that are not here
BYTES_A_PARAMETER = {"weights": 4, "gradients": 4, "Adam": 8, "EMA teacher": 4}

_PRECOMPUTED = 512  # rows of a checked recipe whose teacher's features are computed first
_TURNS = 3  # of probe and real run, where they are compared


@dataclass(frozen=True)
class PretrainingPlan:
    """A run's needs; `text` lists them with what they rest on."""

    recipe: Recipe
    counts: Counts
    samples: int
    devices: int
    device_kind: str
    samples_per_second: float
    origin: str
    memory_limit: float | None
    measured: float | None = None

    @property
    def hours(self) -> float:
        """Of the whole run on all devices."""
        return self.samples / (self.samples_per_second * self.devices) / 3600

    @property
    def samples_a_device(self) -> int:
        """Samples that a device holds at once."""
        run = self.recipe.run
        return -(-run.batch // (run.accumulate * self.devices))

    @property
    def memory(self) -> dict[str, float]:
        """GB per device, by use."""
        parts = {name: size * self.counts.parameters for name, size in BYTES_A_PARAMETER.items()}
        if self.counts.frozen:
            parts["distillation teacher"] = BYTES_A_PARAMETER["weights"] * self.counts.frozen
        parts["activations"] = self.counts.activations * self.samples_a_device
        return {name: size / 1e9 for name, size in parts.items()}

    def text(self) -> str:
        """Return everything, for the user."""
        run, memory = self.recipe.run, self.memory
        split = ", ".join(f"{name} {size:.2f}" for name, size in memory.items())
        total = sum(memory.values())
        lines = [
            f"network       {self.recipe.model.backbone}, {self.counts.parameters / 1e6:.1f} M parameters "
            "with heads (student; the teacher has as many)",
            f"operations    {self.counts.flops / 1e9:.1f} GFLOP a sample ({', '.join(self._computed())})",
            f"memory        {total:.2f} GB a device at {self.samples_a_device} samples: {split}",
            f"speed         {self.samples_per_second:.1f} samples/s a device ({self.origin})",
            f"length        {self.samples:,} samples in batches of {run.batch}: {self.hours:.2f} hours on "
            f"{self.devices} device(s)",
        ]
        if self.memory_limit is not None and total > self.memory_limit:
            lines.append(
                f"does not fit  {total:.0f} GB of {self.memory_limit:.0f} GB: raise run.accumulate or devices"
            )
        if self.measured is not None:
            error = 100 * (self.samples_per_second / self.measured - 1)
            lines.append(
                f"check         {self.measured:.1f} samples/s in a real run on the images given: "
                f"the plan is {error:+.1f} % off"
            )
        return "\n".join([*lines, *self._assumptions()])

    def _computed(self) -> list[str]:
        """Return what the operations of a step are of."""
        teacher = ["teacher"] if self.recipe.has_prototypes else []
        distillation = ["distillation teacher"] if self.recipe.uses_clean_crops else []
        return ["forward", "backward", *teacher, *distillation, "heads"]

    def _assumptions(self) -> list[str]:
        once = self.recipe.distill is not None and self.recipe.distill.once
        beforehand = "; computing distill.teacher's features of all cells beforehand comes on top"
        return [
            "assumed       float32 weights, gradients, moments and teacher, all on every device; activations "
            "as this machine's precision and attention keep them (fused attention in bf16 keeps fewer); "
            "loading keeps up; devices add up without loss; no scoring and no checkpoints"
            + (beforehand if once else ""),
        ]


def make_plan(
    recipe: Recipe,
    *,
    devices: int = 1,
    device_kind: str = THIS,
    samples: int | None = None,
    check: Manifest | None = None,
    cell_diameters: dict[str, float] | None = None,
) -> PretrainingPlan:
    """Count, measure and add up; see `reddino.api.plan`.

    `cell_diameters` are those of the images of `check`, by source. Probe and real run take turns, so that a
    machine whose speed drifts does not look like a wrong plan.

    Raises:
        RedDinoError: an unknown kind of device, or a number of devices or samples below 1.
    """
    if devices < 1 or (samples is not None and samples < 1):
        raise RedDinoError("a plan needs at least one device and one sample")
    peak = None if device_kind == THIS else peak_of(device_kind)
    if check is not None and peak is not None:
        raise RedDinoError("a plan can be checked on this machine only; leave the kind of device out")
    if check is not None and recipe.distill is not None and recipe.distill.once:
        # The teacher's features of all of them would be computed first, which takes longer than the steps.
        check = check.select(np.linspace(0, len(check) - 1, min(len(check), _PRECOMPUTED)).astype(np.int64))
    with tempfile.TemporaryDirectory(prefix="reddino-plan-") as folder:
        images = noise_images(Path(folder))
        with stage("counting operations"):
            counts = at_full_depth(recipe, lambda shallow: count_step(shallow, images))
        real: list[float] = []
        if peak is None:
            rates = []
            for _ in range(1 if check is None else _TURNS):
                with stage("timing steps"):
                    rate, origin = probe(recipe, images, counts.flops)
                rates.append(rate)
                if check is not None:
                    with stage("timing steps on these images"):
                        real.append(samples_per_second(recipe, check, STEPS, cell_diameters))
            rate = median(rates)
        else:
            rate = UTILISATION * peak[0] * 1e12 / counts.flops
            origin = f"assumed: {UTILISATION:.0%} of {peak[0]:g} TFLOP/s"
    return PretrainingPlan(
        recipe,
        counts,
        samples or recipe.run.samples,
        devices,
        device_kind,
        rate,
        origin,
        peak[1] if peak is not None else None,
        median(real) if real else None,
    )


def peak_of(kind: str) -> tuple[float, float]:
    """Return TFLOP/s and GB of a kind of device, by name or as `300/80`."""
    if kind.lower() in DEVICES:
        return DEVICES[kind.lower()]
    try:
        speed, memory = (float(number) for number in kind.split("/"))
    except ValueError:
        speed = memory = 0.0
    if not (speed > 0 and memory > 0):
        known = ", ".join([THIS, *DEVICES])
        raise RedDinoError(
            f"kind of device '{kind}' is not known ({known}); give TFLOP/s and GB as in 300/80"
        )
    return speed, memory
