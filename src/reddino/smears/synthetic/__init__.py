"""Synthetic smears: drawn red cells with known truth, photographed by laboratories that differ."""

from __future__ import annotations

from reddino.smears.synthetic.camera import encode, photograph, render_field
from reddino.smears.synthetic.cells import NORMAL_DIAMETER, RedCell
from reddino.smears.synthetic.infection import infected
from reddino.smears.synthetic.morphologies import MORPHOLOGIES
from reddino.smears.synthetic.paint import paint
from reddino.smears.synthetic.patients import PROFILES, Patient, draw_patient
from reddino.smears.synthetic.random_sources import named_source, random_source
from reddino.smears.synthetic.scene import Scene, make_scene
from reddino.smears.synthetic.sources import SOURCES, Source
from reddino.smears.synthetic.truth import Box, boxes
from reddino.smears.synthetic.write import DRAWN, write_smears

__all__ = [
    "DRAWN",
    "MORPHOLOGIES",
    "NORMAL_DIAMETER",
    "PROFILES",
    "SOURCES",
    "Box",
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
