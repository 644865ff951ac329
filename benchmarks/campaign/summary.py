"""The summary of a campaign as Markdown (docs/experiments/gpu-campaign.md), of what its stages have left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from campaign.record import read_json, replace_file

ON_A_CPU = (
    "**Computed on a CPU with networks cut down, to try the campaign out: no figure here is one of a GPU or "
    "of a recipe.**"
)
TRAINING = (
    "Training steps on crops of noise that lie in memory, at the fastest batch of those tried (the recipe's "
    "own, then doubled); the plan assumes 30 % of the data sheet's peak:"
)


def write_summary(out: Path) -> None:
    """Write `summary.md` from the stages' JSON files."""
    replace_file(out / "summary.md", summarise(out).encode())


def summarise(out: Path) -> str:
    """The text of the summary."""
    stages = {name: read_json(out / f"{name}.json") for name in ("cuda_tests", "throughput", "pretraining")}
    about: dict[str, Any] = next(
        (stage["machine"] for stage in stages.values() if stage and "machine" in stage), {}
    )
    parts = [f"### {about.get('card', 'Unknown machine')}", _machine(about)]
    if about.get("device") == "cpu":
        parts.append(ON_A_CPU)
    for (name, stage), write in zip(stages.items(), (_tests, _throughput, _pretraining), strict=True):
        parts.append(f"**{name}**: nothing came of it." if stage is None else _ended(name, stage))
        parts += [part for part in write(stage or {}) if part]
    return "\n\n".join(part for part in parts if part) + "\n"


def _machine(about: dict[str, Any]) -> str:
    names = {
        "memory_gb": "GB of memory",
        "capability": "compute capability",
        "driver": "driver",
        "cuda": "CUDA",
        "torch": "torch",
        "timm": "timm",
        "python": "Python",
        "cores": "CPU cores",
        "reddino": "reddino",
    }
    return ", ".join(f"{word} {about[name]}" for name, word in names.items() if name in about)


def _ended(name: str, stage: dict[str, Any]) -> str:
    how = stage.get("ended", "was cut off")
    return f"**{name}**: {how}" + (f", {stage['took_s']} s" if "took_s" in stage else "") + "."


def _tests(stage: dict[str, Any]) -> list[str]:
    if "tests" not in stage:
        return []
    counts = ", ".join(f"{stage[how]} {how}" for how in ("passed", "failed", "skipped"))
    cut = "" if stage.get("all_ran") else " (not all of them were reached)"
    failed = [
        f"- failed: `{test['test']}`: {' '.join(test.get('said', '').split())[:200]}"
        for test in stage["tests"]
        if test["outcome"] == "failed"
    ]
    rows = [
        [
            f"`{test['test'].partition('::')[2]}`",
            *(f"{name} {_number(value)}" for name, value in pair.items()),
        ]
        for test in stage["tests"]
        if (pair := test.get("measured")) and test["outcome"] == "passed"
    ]
    measured = _table(("test", "measured"), [[row[0], ", ".join(row[1:])] for row in rows]) if rows else ""
    return [counts + cut + ".", "\n".join(failed), measured]


def _throughput(stage: dict[str, Any]) -> list[str]:
    training, embedding = stage.get("training") or [], stage.get("embedding") or []
    columns = {
        "recipe": "recipe",
        "crops": "crops",
        "precision": "precision",
        "batch": "batch",
        "samples_per_s": "samples/s",
        "planned_samples_per_s": "plan's",
        "peak_gb": "peak GB",
        "planned_gb": "plan's GB",
        "gflop": "GFLOP a sample",
        "utilisation": "of the peak",
    }
    rows = [[_cell(_used(row), name) for name in columns] for row in training if "samples_per_s" in row]
    missing = [f"- {row['recipe']} {row['crops']}: {row['said']}" for row in training if "said" in row]
    of_models = {"model": "model", "input": "px", "precision": "precision", "batch": "batch"}
    of_models |= {"images_per_s": "images/s", "peak_gb": "peak GB"}
    images = [[_cell(row, name) for name in of_models] for row in embedding if "images_per_s" in row]
    missing += [f"- {row['model']}: {row['said']}" for row in embedding if "said" in row]
    return [
        TRAINING if rows else "",
        _table(tuple(columns.values()), rows) if rows else "",
        "Embedding squares that lie in memory:" if images else "",
        _table(tuple(of_models.values()), images) if images else "",
        "\n".join(missing),
    ]


def _used(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the fraction of the device's peak that its operations reach."""
    if not row.get("gflop") or not row.get("peak_tflops"):
        return row
    fraction = row["samples_per_s"] * row["gflop"] / 1e3 / row["peak_tflops"]
    return {**row, "utilisation": f"{fraction:.1%}"}


def _pretraining(stage: dict[str, Any]) -> list[str]:
    if "recipe" not in stage:
        return []
    recipe, last = stage["recipe"], stage.get("last", {})
    samples = stage.get("steps", stage.get("done_steps", 0)) * recipe["run"]["batch"]
    losses = ", ".join(f"{name} {_number(value)}" for name, value in last.items() if name.endswith("loss"))
    signs = f", rank {_number(last['rank'])}" if "rank" in last else ""
    sentence = (
        f"{recipe['model']['backbone']} from {recipe['model']['start']}, batch {recipe['run']['batch']}: "
        f"{samples:,} samples of {stage['planned_samples']:,} planned, loading and pixel operations included "
        f"({_number(stage['trial_samples_per_s'])} samples/s in the trial, of the loader alone "
        f"{_number(stage['loader_samples_per_s'])}, "
        f"{_number(last.get('samples_per_s', 0))} in the last record). Last record: {losses}{signs}."
    )
    weights = stage.get("weights")
    saved = f"Weights after step {stage['saved_steps']}: `cat {weights[0][:-1]}* | tar x`." if weights else ""
    return [sentence, saved]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else _number(value)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
