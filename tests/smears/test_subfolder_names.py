"""A table of names of subfolders, and what each looks like."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from reddino.smears.opening import open_data
from reddino.smears.readers.subfolder_names import look_of

NAMES = {
    "time": """2024 | 202405 | May 2024 | May | Mai | März 2023 | 13-mai-2024 | 3. Dezember | janvier |
        avril 24 | enero | Março | gennaio | maart | Agustus | Jan | Montag | mercredi | Q1 2024 |
        KW13 | 2024-W13 | Day 3 | Tag 2 | semana_4 | week-12 | spring 2023""",
    "number": """05_2024 | 13/5 | 1-2 | 3.5 | (2) | 10um | 0.5 mg/ml | pH7.4 | II | iv | one | erste |
        deuxième | Nr 7""",
    "slide": """2024-05-13 | 13.05.24 | 20240513 | 1.3.24 | 20240302_1432 | 2024-05-13T10:15:00Z | 01 | 7
        | 7b | 130524 | S12 | slide_1 | Smear 7 | Objektträger 3 | Ausstrich_7 | lame 2 | lámina-3
        | vetrino 1 | preparat2 | sediaan 9""",
    "patient": "P4 | p04 | patient 3 | case12 | pt07 | Paciente_2 | Pasien 4 | Fall 11 | paziente-5",
    "class": """normal | Normal cells | Sickle | infected | gesund | krank | malade | sain | infecté |
        sano | enfermo | doente | malato | ziek | sehat | Sichelzellen | Erythrozyten |
        thalassaemia""",
    "aside": "masks | Labels | ground_truth | Masken | etiquetas | output",
    "stain": """Giemsa | Wright-Giemsa | May-Grünwald | May Gruenwald Giemsa | MGG | Leishman stain |
        Field stain | unstained | H&E | Diff-Quik | Färbung Giemsa""",
    "scale": "100x | 40X oil | x100 | 100 x oil",
    "plain": """images | new images 2 | New folder (2) | Bilder | fotos | imágenes | data | session 4 |
        img_20240513""",
    "place": """bangkok | Lahore 2024 | lab2 | LAB-2024-05 | hospital_3 | site 1 | camera B | phone |
        Mahidol | Übach | Kraków | São Paulo | Maywood | Marseille | Augsburg | Decatur | raabin |
        greengrey | batch1 | x | A | a1b2c3 | Uganda May 2024 | Institut de biologie | 北京 | مختبر""",
}


@pytest.mark.parametrize(
    ("name", "look"),
    [(name.strip(), look) for look, names in NAMES.items() for name in names.split("|")],
)
def test_look_of__a_name(name: str, look: str) -> None:
    assert look_of(name) == look


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ("2024-05-13 2024-05-14", "slide"),
        ("May June", "none"),
        ("2023 2024", "none"),
        ("20240513 20240514", "slide"),
        ("bangkok 2024-05-13", "none"),
        ("gesund krank", "none"),
        ("Bilder Fotos", "none"),
        ("01 02 extra", "none"),
        ("01 02", "slide"),
        ("Ausstrich1 Ausstrich2", "slide"),
        ("Pasien1 Pasien2", "patient"),
        ("Giemsa Leishman", "source"),
        ("40x 100x", "source"),
        ("bangkok lahore other", "source"),
        ("Lahore-2024 Bangkok-2023", "source"),
    ],
)
def test_subfolders__that_are_no_laboratories_are_one_source(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: str, taken: str
) -> None:
    folder = tmp_path / "all"
    for name in names.split():
        (folder / name).mkdir(parents=True)
        cv2.imwrite(str(folder / name / "1.png"), np.full((12, 16, 3), 40, np.uint8))
    with caplog.at_level(logging.WARNING, "reddino"):
        found = open_data(folder)
    expected = {"source": ["all"] * len(found), "slide": [""] * len(found), "patient": [""] * len(found)}
    if taken != "none":
        expected[taken] = sorted(names.split())
    assert {name: sorted(found.strings(name)) for name in expected} == expected
    assert "--subfolders" in caplog.text
