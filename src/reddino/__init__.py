"""RedDino: self-supervised foundation models for red blood cell images.

The package exports what the commands do, as functions, and the few types that they take and return. Each is
imported when it is first used, so that `import reddino` takes milliseconds.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from reddino.foundations.stages import stage
from reddino.foundations.version import __version__

# OpenMP threads that spin while another process holds their core make a training step 3-7 times slower; the
# variable is read when the OpenMP runtime loads, that is before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Libraries would report their use to their makers; ONNX Runtime reads its variable when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from reddino.api.citation import cite
    from reddino.api.classifiers import fit, predict
    from reddino.api.data import cells, check, manifest, synthesise, synthesise_cohort, synthesise_slide
    from reddino.api.demonstration import demo
    from reddino.api.domain import compare
    from reddino.api.embedding import convert, embed
    from reddino.api.labels import ReviewedLabels, labels
    from reddino.api.networks import export, load, models, push
    from reddino.api.patients import evaluate_patients, explore_patients, fit_patients, predict_patients
    from reddino.api.pictures import explore, patches, report
    from reddino.api.planning import plan_embed
    from reddino.api.quality import Quality, quality
    from reddino.api.review import review
    from reddino.api.scores import batch, evaluate
    from reddino.api.search import search
    from reddino.api.simulation import simulate
    from reddino.api.slides import slides
    from reddino.api.tables import compact_table, filter_table, merge_tables, sample_table, table_info
    from reddino.api.training import pack, plan, pretrain
    from reddino.classification.classifier import Classifier
    from reddino.classification.domain_report import DomainReport
    from reddino.classification.predict import Predictions
    from reddino.embedding.known_models import KnownModel
    from reddino.embedding.reshaping.info import TableInfo
    from reddino.embedding.reshaping.reshaped import Reshaped
    from reddino.embedding.table import read_embeddings
    from reddino.embedding.transformer import EmbeddingTransformer
    from reddino.foundations.errors import RedDinoError
    from reddino.networks.encoder import Encoder
    from reddino.patients.evaluation import PatientScores
    from reddino.patients.patient_model import PatientModel
    from reddino.patients.prediction import PredictedPatient
    from reddino.pretraining.run.recipe import read_recipe
    from reddino.reviewing.agreement import Kappa
    from reddino.reviewing.simulation_report import SimulationReport
    from reddino.searching.hits import Hits
    from reddino.slide_reports.report import SlideReport
    from reddino.smears.failures import Failures
    from reddino.smears.findings import Finding
    from reddino.smears.manifest import Manifest, join_manifests, read_manifest, write_manifest

#: Module -> what it gives to the package; the same as above, for when the program runs.
_EXPORTS = {
    "reddino.api.citation": ("cite",),
    "reddino.api.classifiers": ("fit", "predict"),
    "reddino.api.data": ("cells", "check", "manifest", "synthesise", "synthesise_cohort", "synthesise_slide"),
    "reddino.api.demonstration": ("demo",),
    "reddino.api.domain": ("compare",),
    "reddino.api.embedding": ("convert", "embed"),
    "reddino.api.labels": ("ReviewedLabels", "labels"),
    "reddino.api.networks": ("export", "load", "models", "push"),
    "reddino.api.patients": ("evaluate_patients", "explore_patients", "fit_patients", "predict_patients"),
    "reddino.api.pictures": ("explore", "patches", "report"),
    "reddino.api.planning": ("plan_embed",),
    "reddino.api.quality": ("Quality", "quality"),
    "reddino.api.review": ("review",),
    "reddino.api.scores": ("batch", "evaluate"),
    "reddino.api.search": ("search",),
    "reddino.api.simulation": ("simulate",),
    "reddino.api.slides": ("slides",),
    "reddino.api.tables": ("compact_table", "filter_table", "merge_tables", "sample_table", "table_info"),
    "reddino.api.training": ("pack", "plan", "pretrain"),
    "reddino.classification.classifier": ("Classifier",),
    "reddino.classification.domain_report": ("DomainReport",),
    "reddino.classification.predict": ("Predictions",),
    "reddino.embedding.known_models": ("KnownModel",),
    "reddino.embedding.reshaping.info": ("TableInfo",),
    "reddino.embedding.reshaping.reshaped": ("Reshaped",),
    "reddino.embedding.table": ("read_embeddings",),
    "reddino.embedding.transformer": ("EmbeddingTransformer",),
    "reddino.foundations.errors": ("RedDinoError",),
    "reddino.patients.evaluation": ("PatientScores",),
    "reddino.patients.patient_model": ("PatientModel",),
    "reddino.patients.prediction": ("PredictedPatient",),
    "reddino.pretraining.run.recipe": ("read_recipe",),
    "reddino.networks.encoder": ("Encoder",),
    "reddino.reviewing.agreement": ("Kappa",),
    "reddino.reviewing.simulation_report": ("SimulationReport",),
    "reddino.searching.hits": ("Hits",),
    "reddino.slide_reports.report": ("SlideReport",),
    "reddino.smears.failures": ("Failures",),
    "reddino.smears.findings": ("Finding",),
    "reddino.smears.manifest": ("Manifest", "join_manifests", "read_manifest", "write_manifest"),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "Classifier",
    "DomainReport",
    "EmbeddingTransformer",
    "Encoder",
    "Failures",
    "Finding",
    "Hits",
    "Kappa",
    "KnownModel",
    "Manifest",
    "PatientModel",
    "PatientScores",
    "PredictedPatient",
    "Predictions",
    "Quality",
    "RedDinoError",
    "Reshaped",
    "ReviewedLabels",
    "SimulationReport",
    "SlideReport",
    "TableInfo",
    "__version__",
    "batch",
    "cells",
    "check",
    "cite",
    "compact_table",
    "compare",
    "convert",
    "demo",
    "embed",
    "evaluate",
    "evaluate_patients",
    "explore",
    "explore_patients",
    "export",
    "filter_table",
    "fit",
    "fit_patients",
    "join_manifests",
    "labels",
    "load",
    "manifest",
    "merge_tables",
    "models",
    "pack",
    "patches",
    "plan",
    "plan_embed",
    "predict",
    "predict_patients",
    "pretrain",
    "push",
    "quality",
    "read_embeddings",
    "read_manifest",
    "read_recipe",
    "report",
    "review",
    "sample_table",
    "search",
    "simulate",
    "slides",
    "synthesise",
    "synthesise_cohort",
    "synthesise_slide",
    "table_info",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'reddino' has no attribute '{name}'")
    with stage("loading libraries"):
        found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
