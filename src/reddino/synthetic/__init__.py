"""Synthetic smears: rendered red cells with known truth, photographed by laboratories that differ."""

from __future__ import annotations

from reddino.synthetic.camera import encode, photograph, render_field
from reddino.synthetic.cells import NORMAL_DIAMETER, RedCell
from reddino.synthetic.infection import infected
from reddino.synthetic.morphologies import MORPHOLOGIES
from reddino.synthetic.paint import paint
from reddino.synthetic.patients import PROFILES, Patient, draw_patient
from reddino.synthetic.random_sources import named_source, random_source
from reddino.synthetic.scene import Scene, make_scene
from reddino.synthetic.sources import SOURCES, Source
from reddino.synthetic.truth import CellBox, boxes
from reddino.synthetic.write import DRAWN, write_smears

__all__ = [
    "DRAWN",
    "MORPHOLOGIES",
    "NORMAL_DIAMETER",
    "PROFILES",
    "SOURCES",
    "CellBox",
    "Patient",
    "RedCell",
    "Scene",
    "Source",
    "boxes",
    "draw_patient",
    "encode",
    "infected",
    "make_scene",
    "named_source",
    "paint",
    "photograph",
    "random_source",
    "render_field",
    "write_smears",
]
