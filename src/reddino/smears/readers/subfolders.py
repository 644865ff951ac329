"""What the subfolders of a folder of images stand for: sources, slides, patients, classes, or nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath

from reddino.smears.choices import Subfolders
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_file import FORMATS
from reddino.smears.readers.folders import SPLIT
from reddino.smears.spelling import tidy

log = logging.getLogger(__name__)

#: Names shown of many.
SHOWN = 4
_DAY = r"(19|20)\d\d([-_. ]?\d{1,2}){1,2}|\d{1,2}[-_. ]\d{1,2}[-_. ](19|20)?\d\d"
_SLIDE = re.compile(
    rf"(slides?|smears?|samples?|specimens?|films?|s)?[-_ #.]*\d+[a-z]?|({_DAY})([-_ T]\d{{2,6}})?", re.I
)
_PATIENT = re.compile(r"(patients?|pat|cases?|subjects?|donors?|p|c)[-_ #.]*\d+[a-z]?", re.I)
_NUMBERED: tuple[tuple[Subfolders, re.Pattern[str]], ...] = (("patient", _PATIENT), ("slide", _SLIDE))
#: Folders that hold no smears of their own, as `_key` has them.
_ASIDE = {
    *("mask", "label", "annotation", "groundtruth", "gt", "segmentation", "overlay", "thumbnail", "preview"),
    *("output", "result", "crop"),
}
#: What classes of blood cells and of smears are called, as `_key` has them.
_CLASSES = {
    *("normal", "abnormal", "healthy", "diseased", "positive", "negative", "control", "other", "unknown"),
    *("infected", "uninfected", "parasitized", "parasitised", "ring", "trophozoite", "schizont"),
    *("gametocyte", "falciparum", "vivax", "malariae", "ovale", "malaria", "babesia"),
    *("rbc", "wbc", "platelet", "redcell", "whitecell", "redbloodcell", "whitebloodcell", "erythrocyte"),
    *("leukocyte", "neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "reticulocyte"),
    *("normalcell", "discocyte", "round", "roundrbc", "ovalocyte", "elliptocyte", "stomatocyte"),
    *("macrocyte", "microcyte", "spherocyte", "target", "targetcell", "codocyte", "teardrop", "dacrocyte"),
    *("burr", "burrcell", "echinocyte", "acanthocyte", "schistocyte", "fragmentedrbc", "fragment"),
    *("sickle", "sicklecell", "drepanocyte", "hypochromia", "polychromasia", "anisocyte", "clump"),
    *("overlap", "overlappingcell", "uncategorised", "uncategorized", "angled", "borderlineovalocyte"),
    *("tworoundrbc", "twooverlappingcell", "threeoverlappingcell", "doublet", "artefact", "artifact"),
    *("anemia", "anaemia", "thalassemia", "thalassaemia", "irondeficiency", "southeastasianovalocytosis"),
    *("hereditaryspherocytosis", "g6pd", "cll", "aml", "all", "cml", "leukemia", "leukaemia"),
}


def with_subfolders(manifest: Manifest, folder: Path, how: Subfolders) -> Manifest:
    """Fill the column that the subfolders of a folder of images stand for, and log what was taken.

    Args:
        manifest: the images of the folder, as `read_folder` lists them.
        folder: the folder.
        how: `source`, `slide`, `patient` or `label`: the name of each image's subfolder goes to that column;
            `none`: to no column; `auto`: what the names look like.

    Returns:
        The manifest; with `auto` the same one where there are fewer than two subfolders.
    """
    folders = [_folders(path) for path in manifest.strings("path")]
    if how != "auto":
        parts = _level(folders, 0)
        return manifest if how == "none" or not any(parts) else manifest.with_column(how, parts)
    shared = [together[0] for together in takewhile(_are_one, zip(*folders, strict=False))]
    names = sorted(set(_level(folders, len(shared))))
    if len(names) < 2:
        return manifest
    if any(pattern.fullmatch(tidy(name)) for name in shared for _, pattern in _NUMBERED):
        log.warning(
            "%s: the %d folders in %s (%s) are not read, so all images are of one source; give that folder "
            "to take them, or --subfolders source, slide, patient or label for the meaning of %s",
            *(folder, len(names), "/".join(shared), _some(names), shared[0]),
        )
        return manifest
    taken, sentence = _by_names(names, folder, shared)
    unread = sorted(set(_level(folders, len(shared) + 1)) - {""})
    if taken != "none" and len(unread) > 1:
        sentence += f". The folders in them ({_some(unread)}) are not read"
    log.warning("%s: %s", folder, sentence)
    return manifest if taken == "none" else manifest.with_column(taken, _level(folders, len(shared)))


def _by_names(names: Sequence[str], folder: Path, shared: Sequence[str]) -> tuple[Subfolders, str]:
    """Return what subfolders of these names are taken for, and the sentence that tells the user.

    Args:
        names: of the subfolders, "" for images beside them.
        folder: the folder.
        shared: the folders in it, one in the other, that hold all of them.
    """
    tables = sorted(file.name for file in folder.iterdir() if file.name.lower().endswith(FORMATS))
    shown = f"its {len(names)} subfolders ({_some(names)})"
    if shared:
        shown = f"the {len(names)} folders in {'/'.join(shared)} ({_some(names)})"
    whole = "so all images are of one source"
    other = "name their meaning with --subfolders source, slide, patient, label or none"
    if tables:
        return (
            "none",
            f"a table ({tables[0]}) lies there and was not read, {whole}; give the table, or {other}",
        )
    if "" in names:
        named = [name for name in names if name]
        return "none", f"images lie beside its subfolders ({_some(named)}), {whole}; {other}"
    if {_key(name) for name in names} & _ASIDE:
        return "none", f"{shown} do not all hold smears by their names, {whole}; {other}"
    if sum(_key(name) in _CLASSES for name in names) * 2 >= len(names):
        return "none", (
            f"{shown} look like classes, {whole}, without labels; give --subfolders label to take them as "
            "labels, or source, slide, patient, or none to read this no more"
        )
    for what, pattern in _NUMBERED:
        if all(pattern.fullmatch(tidy(name)) for name in names):
            return what, f"{shown} are taken as {what}s of one source; if they are something else, {other}"
    return "source", (
        f"{shown} are taken as sources (laboratories); if they are slides, patients or classes, {other}"
    )


def _folders(path: str) -> list[str]:
    """Return the folders of a path that are no side of a split such as `train`."""
    return [part for part in PurePosixPath(path).parts[:-1] if not SPLIT.fullmatch(part)]


def _are_one(names: Sequence[str]) -> bool:
    return len(set(names)) == 1


def _level(folders: Sequence[Sequence[str]], depth: int) -> list[str]:
    """Return the folder of each image (n,) at a depth, "" where it lies above."""
    return [parts[depth] if len(parts) > depth else "" for parts in folders]


def _key(name: str) -> str:
    """Return a name's letters and digits in lower case, without the s of a plural."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("s")


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
