"""What was adjusted to other fractions of the classes, in sentences for the terminal."""

from __future__ import annotations

import reddino
from reddino.foundations.counting import counted

#: With fewer cells an estimate is too uncertain.
FEW_CELLS = 100
#: As `reddino.classification.priors.FEW`, which the command line does not load.
TOO_FEW = "too few cells count"


def shift_notes(predictions: reddino.Predictions) -> list[str]:
    """Return sentences on what was adjusted, for the reader of the counts."""
    notes = []
    for shift in predictions.priors:
        if shift.refused:
            few = f"only {counted(shift.cells, 'cell')} of it count"
            notes.append(
                f"Source '{shift.source}' was not adjusted: {few}."
                if shift.refused.startswith(TOO_FEW)
                else f"Source '{shift.source}' was not adjusted: it lies outside of what the classifier "
                "learned from, and an estimate would take its other look for other fractions of the classes."
            )
            continue
        largest = sorted(shift.used, key=lambda name: -abs(shift.used[name] - shift.learned[name]))[:3]
        changes = ", ".join(
            f"'{name}' {shift.learned[name]:.3f} to {shift.used[name]:.3f}" for name in largest
        )
        of = f" of source '{shift.source}'" if shift.source else ""
        how = "given" if shift.method == "given" else f"estimated from these {shift.cells} cells{of} by EM"
        few = (
            " These are few cells for an estimate."
            if shift.method == "EM" and shift.cells < FEW_CELLS
            else ""
        )
        notes.append(
            f"Probabilities were adjusted to fractions of the classes that were {how} (largest changes: "
            f"{changes}). That presumes that cells of a class look as they did in training.{few}"
        )
    return notes
