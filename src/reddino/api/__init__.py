"""The verbs of RedDino: what the commands do, for programs in Python."""

from __future__ import annotations

from reddino.api.arguments import Advance as Advance
from reddino.api.classifiers import fit, predict
from reddino.api.data import cells, check, manifest, synthesise
from reddino.api.demonstration import demo
from reddino.api.embedding import convert, embed
from reddino.api.networks import export, models, push
from reddino.api.networks import load as load
from reddino.api.pictures import explore, patches, report
from reddino.api.scores import batch, evaluate
from reddino.api.training import pack, plan, pretrain

__all__ = [
    "batch",
    "cells",
    "check",
    "convert",
    "demo",
    "embed",
    "evaluate",
    "explore",
    "export",
    "fit",
    "manifest",
    "models",
    "pack",
    "patches",
    "plan",
    "predict",
    "pretrain",
    "push",
    "report",
    "synthesise",
]
