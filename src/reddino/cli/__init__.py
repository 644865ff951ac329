"""The command line: one thin function a command, each of which calls the verb of that name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from reddino.cli.citation import cite
from reddino.cli.classifiers import fit, predict
from reddino.cli.data import cells, check, manifest, synthesise
from reddino.cli.demonstration import demo
from reddino.cli.embedding import convert, embed
from reddino.cli.embedding_tables import table_app
from reddino.cli.labels import labels
from reddino.cli.networks import export, models, push
from reddino.cli.options import Several
from reddino.cli.patients import patients_app
from reddino.cli.pictures import explore, patches, report
from reddino.cli.planning import plan_embed
from reddino.cli.program import app
from reddino.cli.quality import quality
from reddino.cli.review import review, review_app
from reddino.cli.scores import batch, evaluate
from reddino.cli.search import search
from reddino.cli.simulation import simulate
from reddino.cli.slides import slides
from reddino.cli.terminal import exit_code_of
from reddino.cli.training import data_app, pack, plan, pretrain

__all__ = [
    "Several",
    "app",
    "batch",
    "cells",
    "check",
    "cite",
    "convert",
    "data_app",
    "demo",
    "embed",
    "evaluate",
    "explore",
    "export",
    "fit",
    "labels",
    "main",
    "manifest",
    "models",
    "pack",
    "patches",
    "patients_app",
    "plan",
    "plan_embed",
    "predict",
    "pretrain",
    "push",
    "quality",
    "report",
    "review",
    "review_app",
    "search",
    "simulate",
    "slides",
    "synthesise",
    "table_app",
]


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (bad input), 2 (usage) or 130 (stopped)."""
    return exit_code_of(lambda: app(sys.argv[1:] if tokens is None else list(tokens)))
