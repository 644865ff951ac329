"""Sentences on held-out cells; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The file of a classifier's folder with all that is known of its scores.
REPORT = "report.md"


def calibration_note(report: Mapping[str, Any]) -> str:
    """Return which calibration was kept, and why."""
    chosen, known = report["calibration"]["chosen"], report["calibration"]["tried"]
    tried = ", ".join(f"{name} {value:.4f}" for name, value in known.items())
    kept = {
        "none": "none was kept, since none makes the likelihood of other groups better",
        "offset": "the offset that undoes class weights, and no temperature",
    }.get(chosen, f"{chosen} ({report['calibration']['temperature']:.2f})")
    if len(known) < 2:
        kept = "none, since there is no second held-out group to judge one on"
    return f"Calibration: {kept}. Negative log-likelihood on groups that each was not fitted on: {tried}."
