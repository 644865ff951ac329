"""From predictions to the report of their slides, and to its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reddino.classification.classifier import Classifier
from reddino.figures.prediction_file import PredictionFile
from reddino.foundations.atomic import write_text
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.slide_reports.cells import PredictedCells, cells_of
from reddino.slide_reports.choices import (
    FHIR_FILE,
    FIELDS_FILE,
    NO_DIAGNOSIS,
    NOTE_FILE,
    PAGE_FILE,
    SHAPES_FILE,
    SLIDES_FILE,
)
from reddino.slide_reports.conformal import sets, thresholds
from reddino.slide_reports.errors_of import errors_of
from reddino.slide_reports.fhir import fhir_bundle
from reddino.slide_reports.fields import FieldLimits
from reddino.slide_reports.grades import Grades
from reddino.slide_reports.looked_at import Looked, look
from reddino.slide_reports.page import MOST_SLIDES, report_page
from reddino.slide_reports.quantification import Errors
from reddino.slide_reports.report import SlideReport
from reddino.slide_reports.result_files import write_fields, write_shapes, write_slides
from reddino.slide_reports.shapes import with_references
from reddino.slide_reports.slide import Counting, SlideResult


@dataclass(frozen=True)
class Wanted:
    """What a report is to hold.

    Attributes:
        by: column of what is reported.
        risk: error rate among the answered cells; None: as given to `predict`.
        set_error: fraction of the cells of a class whose set of classes may lack it; None: no sets.
        images: where the pictures are; None: nothing is measured of them.
        reference: slides that the others are compared with.
        um_per_px: size of a pixel, where the predictions have no column of that name.
        limits: what fields must be like; None uses all.
        seed: of every random choice.
    """

    by: str = "slide"
    risk: float | None = None
    set_error: float | None = None
    images: str | Path | None = None
    reference: Sequence[str] = ()
    um_per_px: float | None = None
    limits: FieldLimits | None = None
    seed: int = 0


def build_report(
    file: PredictionFile,
    classifier: Classifier | None,
    grades: Grades,
    wanted: Wanted,
    origin: Mapping[str, Any],
) -> SlideReport:
    """Count the slides of predictions.

    Raises:
        RedDinoError: predictions of another classifier, no such column or reference slide, a risk or an error
            that cannot be named, or pictures that are not there.
    """
    cells = cells_of(file, classifier, by=wanted.by, risk=wanted.risk)
    errors, why = _errors(classifier, cells)
    looked = None if wanted.images is None else look(cells, wanted.images, seed=wanted.seed)
    counting = Counting(
        cells=cells,
        errors=errors,
        why_plain=why,
        grades=grades,
        limits=wanted.limits,
        sharpness={} if looked is None else looked.field_sharpness(cells),
        sets=_sets(cells, classifier, wanted.set_error),
        seed=wanted.seed,
    )
    slides = [counting.slide(key, rows) for key, rows in watched(list(cells.rows_of().items()), "slides")]
    if looked is not None:
        slides = [
            replace(slide, shapes=looked.shapes_of(cells, slide.rows, wanted.um_per_px)) for slide in slides
        ]
    references = _references(slides, wanted.reference)
    measures = [[] if one.shapes is None else one.shapes.measures(wanted.seed) for one in slides]
    if references:
        own = [[measures[i] for i in references if i != number] for number in range(len(slides))]
        measures = [with_references(one, others) for one, others in zip(measures, own, strict=True)]
    return SlideReport(
        slides=slides,
        measures=measures,
        references=references,
        examples=_examples(looked, cells, slides, wanted.seed),
        grades=grades,
        method=_method(cells, errors, why, wanted),
        origin={**origin, "grades": {"file": grades.origin[0], "hash": grades.origin[1]}},
    )


def _errors(classifier: Classifier | None, cells: PredictedCells) -> tuple[Errors | None, str]:
    """Return how the classifier errs, and why nothing is adjusted for it; "" where it is."""
    if classifier is None:
        return None, "the classifier was not given (--classifier), so that its errors are not known"
    if not classifier.report.get("evidence", True):
        return None, "its held-out scores are no evidence that it separates its classes"
    errors = errors_of(classifier, cells.rule)
    if errors is None:
        return None, "its folder was made by an earlier version and keeps no classes of held-out cells"
    return errors, errors.why_not()


def _sets(cells: PredictedCells, classifier: Classifier | None, error: float | None) -> Any:
    """Return which classes (n, k) are in the set of each cell; None without sets."""
    if error is None:
        return None
    held = None if classifier is None or classifier.training is None else classifier.training.held_out
    if held is None:
        raise RedDinoError(
            "sets of classes are calibrated on a classifier's held-out cells: give one that keeps them with "
            "--classifier"
        )
    probabilities = cells.probabilities()
    if probabilities is None:
        raise RedDinoError(
            f"{cells.file.path} holds no probabilities of all classes as the classifier gave them: predict "
            "without --priors and --adjust-priors"
        )
    return sets(probabilities, thresholds(held, error))


def _references(slides: Sequence[SlideResult], names: Sequence[str]) -> list[int]:
    """Return the numbers of the reference slides.

    Raises:
        RedDinoError: names the one that is not there.
    """
    known = {slide.name: number for number, slide in enumerate(slides)}
    missing = [name for name in names if name not in known]
    if missing:
        raise RedDinoError(
            f"no slide is called '{missing[0]}', which --reference names; there are {len(known)}, such as "
            f"'{next(iter(known), '')}'"
        )
    return sorted({known[name] for name in names})


def _examples(
    looked: Looked | None, cells: PredictedCells, slides: Sequence[SlideResult], seed: int
) -> list[Any]:
    if looked is None:
        return []
    shown = slides[:MOST_SLIDES]
    return [looked.examples(cells, slide.rows, seed) for slide in watched(shown, "examples")]


def _method(cells: PredictedCells, errors: Errors | None, why: str, wanted: Wanted) -> list[str]:
    """Return in sentences how fractions were made, and what they do not hold."""
    found = [
        "The plain count is the fraction of the answered cells that the classifier gave a class; its "
        "interval (Wilson, clustered by field) holds the sampling of cells alone."
    ]
    if errors is not None and not why:
        found.append(
            "The adjusted fraction takes away how often the classifier confuses classes, as seen on "
            f"{counted(int(errors.counts.sum()), 'held-out cell')} of {counted(errors.groups, 'group')} "
            "(unfolding by their confusion matrix); its interval, 95 %, holds the sampling of cells and "
            "fields, what is not known of the confusions (bootstrap over the groups), and how they differ "
            + ("from slide to slide." if errors.of_slides else "from picture to picture.")
        )
        found.append(
            "A fraction at one end of its interval was moved towards it and not far enough, since it is "
            "unfolded by one step: there trust the interval more."
        )
        if not errors.of_slides:
            found.append(
                "The cells that it learned from name no slide or patient: how its errors differ from slide "
                "to slide is not known, and not in the intervals."
            )
        unknown = [name for name, seen in zip(cells.classes, errors.recognised(), strict=True) if not seen]
        if unknown:
            found.append(
                f"Never recognised where they were held out, so that no adjusted fraction is known: "
                f"{', '.join(unknown)}. The others presume that a slide holds none of them."
            )
    if cells.rule is not None:
        found.append(f"Without an answer are cells by a rule: {cells.rule.sentence()}.")
    if cells.readjusted:
        found.append("Predictions were adjusted to other fractions; what they were before is counted here.")
    if wanted.set_error is not None:
        found.append(
            f"Sets of classes: of the cells of each class, at most {100 * wanted.set_error:g} % have a set "
            "without it, among smears like the training ones (class-conditional conformal prediction)."
        )
    if wanted.images is None:
        found.append(
            "The pictures were not given (--images): blurred fields are not found, and neither sizes nor "
            "shapes are measured."
        )
    return found


def write_report(out: Path, report: SlideReport, *, fhir: bool = False) -> list[Path]:
    """Write the files of a report to a folder, each whole, slides.csv last.

    Returns:
        The files.
    """
    page, note = out / PAGE_FILE, out / NOTE_FILE
    write_text(page, report_page(report))
    content = {"provenance": dict(report.origin), "no_diagnosis": NO_DIAGNOSIS, "method": list(report.method)}
    write_text(note, json.dumps(content, indent=1, allow_nan=False) + "\n")
    files = [page, note]
    if fhir:
        files.append(out / FHIR_FILE)
        write_text(files[-1], json.dumps(fhir_bundle(report), indent=1, allow_nan=False) + "\n")
    else:
        (out / FHIR_FILE).unlink(missing_ok=True)  # of slides that were reported before
    if any(report.measures):
        files.append(out / SHAPES_FILE)
        write_shapes(files[-1], report)
    else:
        (out / SHAPES_FILE).unlink(missing_ok=True)
    write_fields(out / FIELDS_FILE, report)
    write_slides(out / SLIDES_FILE, report)
    return [*files, out / FIELDS_FILE, out / SLIDES_FILE]


def origin_of(file: PredictionFile, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a report comes from: its own provenance, and that of the predictions."""
    noted = file.origin.get("provenance")
    return {**provenance, "predictions": dict(noted) if isinstance(noted, Mapping) else {}}
