"""Slides as FHIR R4 resources: a Bundle with an Observation for each slide."""

from __future__ import annotations

import math
from typing import Any

from reddino.slide_reports.choices import NO_DIAGNOSIS
from reddino.slide_reports.report import SlideReport
from reddino.slide_reports.slide import ClassOnSlide, SlideResult
from reddino.slide_reports.wording import ungraded

UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"


def fhir_bundle(report: SlideReport) -> dict[str, Any]:
    """Return a `collection` Bundle of the slides, as JSON values.

    Observations are `preliminary`, since nobody has looked at them, name no patient, and have codes as text:
    which code of LOINC or SNOMED CT a laboratory uses for a feature is not for a program to choose.
    """
    pairs = zip(report.names, report.slides, strict=True)
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": _observation(name, slide, report)} for name, slide in pairs],
    }


def _observation(name: str, slide: SlideResult, report: SlideReport) -> dict[str, Any]:
    components: list[dict[str, Any]] = [_count("red cells counted", slide.cells)]
    for one in slide.classes:
        components += _components(one)
        components += _grade(one, report)
    notes = [NO_DIAGNOSIS, *report.method]
    notes += [f"Not adjusted for the errors of the classifier: {slide.why_plain}."] if slide.why_plain else []
    if slide.verdict not in ("", "within"):
        notes.append(
            f"Compared with the cells that the classifier learned from: {slide.verdict}. {slide.sentence}"
        )
    version = report.origin.get("version")
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [{"coding": [{"system": CATEGORY, "code": "laboratory"}]}],
        "code": {"text": "red cell morphology of a blood film, by image analysis (research use)"},
        "specimen": {"display": name},
        "device": {"display": f"RedDino {version}" if version else "RedDino"},
        "note": [{"text": text} for text in notes],
        "component": components,
    }


def _count(text: str, number: int) -> dict[str, Any]:
    return {"code": {"text": text}, "valueInteger": number}


def _components(one: ClassOnSlide) -> list[dict[str, Any]]:
    """Return the fraction of a class and its interval; a reason where it is unknown."""
    what = f"{one.name}, fraction of red cells"
    if not math.isfinite(one.best[0]):
        return [{"code": {"text": what}, **_unknown("no cell was counted")}]
    value, low, high = (_per_cent(part) for part in one.best)
    return [
        {"code": {"text": what}, "valueQuantity": value},
        {"code": {"text": f"{what}, 95 % interval"}, "valueRange": {"low": low, "high": high}},
    ]


def _grade(one: ClassOnSlide, report: SlideReport) -> list[dict[str, Any]]:
    feature = report.grades.feature_of(one.name)
    if feature is None or not one.grade:
        return []
    code = {
        "text": f"{feature.feature}, grade ({report.grades.name}{'' if feature.verified else ', unverified'})"
    }
    if ungraded(one):
        return [{"code": code, **_unknown(one.grade)}]
    return [{"code": code, "valueString": one.grade}]


def _per_cent(fraction: float) -> dict[str, Any]:
    return {"value": round(100 * fraction, 4), "unit": "%", "system": UCUM, "code": "%"}


def _unknown(why: str) -> dict[str, Any]:
    return {
        "dataAbsentReason": {"coding": [{"system": ABSENT, "code": "not-performed"}], "text": why},
    }
