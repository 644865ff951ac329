"""From predictions to the report of slides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from reddino.api.arguments import numbers_in_range
from reddino.api.sole_writer import sole_writer
from reddino.classification.classifier import open_classifier
from reddino.figures.prediction_file import read_prediction_file
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes, provenance
from reddino.slide_reports.build import Wanted, build_report, origin_of, write_report
from reddino.slide_reports.fields import FieldLimits
from reddino.slide_reports.grades import read_grades
from reddino.slide_reports.report import SlideReport


@numbers_in_range
@sole_writer(folders=("out",))
def slides(
    predictions: str | Path,
    out: str | Path,
    *,
    classifier: str | Path | None = None,
    images: str | Path | None = None,
    by: str = "slide",
    grades: str | Path | None = None,
    risk: float | None = None,
    set_error: float | None = None,
    reference: Sequence[str] = (),
    um_per_px: float | None = None,
    keep_fields: bool = False,
    fhir: bool = False,
    seed: int = 0,
) -> SlideReport:
    """Write a report of slides: the fraction of each class with its interval, grades, sizes and shapes.

    Args:
        predictions: file that `predict` wrote, .parquet or .csv, with its note (.json) next to it.
        out: folder for report.html, slides.csv, fields.csv, shapes.csv and slides.json; files of an earlier
            report there are replaced.
        classifier: the folder that made the predictions, whose held-out errors are taken away; None: plain
            counts.
        images: the manifest that was predicted, or the folder that its paths start from, to find blurred
            fields, measure sizes and shapes, and show examples; None: nothing is measured.
        by: column of what is reported, such as `patient`; pictures where it is empty.
        grades: YAML file of thresholds; None: those of ICSH that come along.
        risk: error rate among the answered cells; the others get no answer. None: as given to `predict`.
        set_error: give each cell a set of classes that lacks the true one at most so often; None: no sets.
        reference: slides that sizes and shapes of the others are compared with.
        um_per_px: size of a pixel in micrometres, where the predictions have no column of that name.
        keep_fields: count blurred, thick and nearly empty fields too.
        fhir: write slides.fhir.json, a FHIR R4 Bundle of Observations, too.
        seed: of every random choice.

    Returns:
        What the files hold.

    Raises:
        RedDinoError: files that do not fit each other, no such column or slide, or pictures that are not
            there.
    """
    if um_per_px is not None and not (math.isfinite(um_per_px) and um_per_px > 0):
        raise RedDinoError(f"{um_per_px} is no size of a pixel: give micrometres, such as 0.1")
    thresholds = read_grades(grades)
    file = read_prediction_file(predictions)
    opened = None if classifier is None else open_classifier(classifier)
    wanted = Wanted(
        by=by,
        risk=risk,
        set_error=set_error,
        images=images,
        reference=tuple(reference),
        um_per_px=um_per_px,
        limits=None if keep_fields else FieldLimits(),
        seed=seed,
    )
    own = provenance(
        seed=seed,
        data=hash_bytes(file.path.read_bytes()),
        model=None if opened is None else opened.weights_hash,
    )
    if opened is not None:
        own["head"] = opened.head.fingerprint()
    report = build_report(file, opened, thresholds, wanted, origin_of(file, own))
    write_report(Path(out), report, fhir=fhir)
    return report
