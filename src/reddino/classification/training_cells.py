"""What is kept of training cells: a sample of their vectors, held-out answers, and how they look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from reddino.classification.abstention import HeldOutCells
from reddino.classification.domain import Appearance
from reddino.classification.looks import ALL_MEASURES, look_at, medians
from reddino.classification.novelty import Novelty, fit_novelty
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.view_encoder import Images
from reddino.foundations.atomic import atomic_path
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.views.spec import ViewSpec

TRAINING_CELLS, STRIP = "training-cells.safetensors", "training-cells.png"
#: Pictures of each source, and cells of each, whose looks are kept; cells in the strip, and their pixels.
PICTURES, CELLS = 40, 8
STRIP_CELLS, STRIP_SIDE = 16, 56
#: What the groups of held-out cells are.
SLIDES, PICTURES_ALONE = "slides or patients", "pictures"


@dataclass(frozen=True)
class TrainingCells:
    """What is kept of the cells that a classifier, or a network, learned from.

    Attributes:
        novelty: measures how far a vector lies from theirs; None: not kept.
        held_out: how they were classified where they were held out; None: not kept.
        appearance: how their pictures look; None: no pixels were at hand.
        strip: (STRIP_SIDE, k STRIP_SIDE, 3) some of them side by side; None: not kept.
    """

    novelty: Novelty | None = None
    held_out: HeldOutCells | None = None
    appearance: Appearance | None = None
    strip: Images | None = None


def keep_training_cells(
    emb: Embeddings,
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    root: Path | None,
    probabilities: npt.NDArray[np.float64] | None = None,
    truth: npt.NDArray[np.int64] | None = None,
    held: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
) -> TrainingCells:
    """Keep of labelled cells what later ones are compared with.

    Args:
        emb: (n) their vectors and places.
        labels: (n,) their classes.
        groups: (n,) what stays on one side of a split.
        root: folder of their pictures; None where only vectors are at hand.
        probabilities: (n, k) by heads that had not learned from the cell's group.
        truth: (n,) numbers of the true classes.
        held: rows whose probabilities count, and that the network did not learn from; None: all.
        seed: of the samples.
    """
    fitted = fit_novelty(emb.vectors, labels, groups, held=held, seed=seed)
    answers = None
    if fitted is not None and probabilities is not None and truth is not None:
        rows, quantiles = fitted[1], fitted[2]
        own = probabilities[rows]
        answers = HeldOutCells(
            own.max(axis=1),
            quantiles,
            own.argmax(axis=1) == truth[rows],
            np.unique(np.asarray(groups), return_inverse=True)[1][rows].astype(np.int64),
            truth[rows],
            own,
            of_slides=_whole_slides(emb, groups),
        )
    appearance, strip = (None, None) if root is None else appearance_of(emb, root, seed=seed)
    return TrainingCells(None if fitted is None else fitted[0], answers, appearance, strip)


def _whole_slides(emb: Embeddings, groups: Sequence[str]) -> bool:
    """Return whether slides (else patients) are named, and none is divided among several groups."""
    for name in ("slide", "patient"):
        if name not in emb.table.column_names or not any(named := emb.strings(name)):
            continue
        group_of: dict[tuple[str, str], str] = {}
        keys = zip(emb.strings("source"), named, groups, strict=True)
        return all(
            bool(slide) and group_of.setdefault((source, slide), group) == group
            for source, slide, group in keys
        )
    return False


def appearance_of(emb: Embeddings, root: Path, *, seed: int = 0) -> tuple[Appearance | None, Images | None]:
    """Return how the pictures of cells look, and a strip of some cells; None where none can be cut."""
    sources = emb.strings("source")
    view = ViewSpec(**emb.meta["view"])
    looks = look_at(emb.table, root, view, sources, pictures=PICTURES, cells=CELLS, seed=seed)
    if not len(looks.rows):
        return None, None
    paths = emb.strings("path")
    keys = [(sources[row], paths[row]) for row in looks.rows.tolist()]
    pictures, typical = medians(looks.measures, keys)
    names = sorted({source for source, _ in pictures})
    number = np.array([names.index(source) for source, _ in pictures], dtype=np.int64)
    return Appearance(tuple(names), number, typical), strip_of(looks.views, seed)


def strip_of(views: Images, seed: int = 0) -> Images:
    """Return some of the views (n, s, s, 3) side by side: (STRIP_SIDE, k STRIP_SIDE, 3)."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(views))[:STRIP_CELLS])
    small = [
        cv2.resize(views[i], (STRIP_SIDE, STRIP_SIDE), interpolation=cv2.INTER_AREA) for i in chosen.tolist()
    ]
    return np.concatenate(small, axis=1)


def save_training_cells(folder: Path, kept: TrainingCells, belongs_to: str, *, pictures: bool = True) -> None:
    """Write what is kept to a folder.

    Args:
        folder: of a classifier or a model.
        kept: of its training cells.
        belongs_to: hash of the head, or of the weights, so that a mixed folder is recognised.
        pictures: write the strip too.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    if kept.novelty is not None:
        arrays |= {
            "kept": kept.novelty.kept,
            "unit": np.array([kept.novelty.unit]),
            "held_out_distances": kept.novelty.held_out.astype(np.float32),
        }
    if kept.held_out is not None:
        arrays |= {
            "probability": kept.held_out.probability.astype(np.float32),
            "novelty": kept.held_out.novelty.astype(np.float32),
            "correct": kept.held_out.correct.astype(np.uint8),
            "group": kept.held_out.group.astype(np.int32),
            **_answers(kept.held_out),
        }
    described: dict[str, str] = {"belongs_to": belongs_to, "measures": json.dumps(list(ALL_MEASURES))}
    if kept.held_out is not None:
        described["held_out_groups"] = SLIDES if kept.held_out.of_slides else PICTURES_ALONE
    if kept.appearance is not None:
        arrays |= {
            "looks": kept.appearance.medians.astype(np.float32),
            "looks_source": kept.appearance.source.astype(np.int32),
        }
        described["sources"] = json.dumps(list(kept.appearance.sources))
    described["content"] = _content(arrays)
    with atomic_path(folder / TRAINING_CELLS) as partial:
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, partial, described)
    if pictures and kept.strip is not None:
        encoded = cv2.imencode(".png", cv2.cvtColor(kept.strip, cv2.COLOR_RGB2BGR))[1]
        with atomic_path(folder / STRIP) as partial:
            partial.write_bytes(encoded.tobytes())


def _answers(held: HeldOutCells) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of truth and probabilities; none of cells that were kept without."""
    if held.truth is None or held.probabilities is None:
        return {}
    return {"truth": held.truth.astype(np.int32), "probabilities": held.probabilities.astype(np.float16)}


def open_training_cells(folder: Path, belongs_to: str) -> TrainingCells | None:
    """Read what a folder keeps of its training cells; None where it was made without.

    Raises:
        RedDinoError: the file is damaged, or belongs to another classifier or model.
    """
    path = folder / TRAINING_CELLS
    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            described = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if described.get("content") not in (None, _content(arrays)):  # files of before have none
            raise ValueError("its numbers do not fit their checksum")
        sources = json.loads(described.get("sources", "[]"))
        of_slides = described.get("held_out_groups") == SLIDES
        kept = _from_arrays(arrays, tuple(str(name) for name in sources), of_slides=of_slides)
    except (ValueError, TypeError, KeyError, IndexError, SafetensorError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(f"{path} cannot be read: {reason}; fit the classifier again") from error
    if described.get("belongs_to") != belongs_to:
        raise RedDinoError(f"{path} belongs to another classifier; the folder was mixed or damaged")
    return TrainingCells(kept.novelty, kept.held_out, kept.appearance, _read_strip(folder / STRIP))


def _content(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return 16 hex digits over the numbers of all arrays."""
    return hash_bytes(*(np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays)))


def _from_arrays(arrays: dict[str, Any], sources: tuple[str, ...], *, of_slides: bool) -> TrainingCells:
    """Return what the arrays of a file hold.

    Raises:
        KeyError, ValueError: arrays are missing, or do not fit each other.
    """
    novelty = held = appearance = None
    for name, values in arrays.items():
        if name != "looks" and not np.isfinite(values).all():
            raise ValueError(f"'{name}' holds numbers that are not finite")
    if "kept" in arrays:
        quantiles = arrays["held_out_distances"].astype(np.float64)
        if (
            arrays["kept"].ndim != 2
            or quantiles.ndim != 1
            or len(quantiles) < 2
            or (np.diff(quantiles) < 0).any()
        ):
            raise ValueError("the kept vectors and their distances do not fit each other")
        novelty = Novelty(arrays["kept"].astype(np.float16), float(arrays["unit"][0]), quantiles)
    if "correct" in arrays:
        held = HeldOutCells(
            arrays["probability"].astype(np.float64),
            arrays["novelty"].astype(np.float64),
            arrays["correct"].astype(np.bool_),
            arrays["group"].astype(np.int64),
            arrays["truth"].astype(np.int64) if "truth" in arrays else None,
            arrays["probabilities"].astype(np.float64) if "probabilities" in arrays else None,
            of_slides=of_slides,
        )
        if held.truth is not None and (held.probabilities is None or not _numbered(held)):
            raise ValueError("the held-out cells have classes that their probabilities do not have")
    if "looks" in arrays:
        looks = arrays["looks"].astype(np.float64)
        number = arrays["looks_source"].astype(np.int64)
        if looks.shape != (len(number), len(ALL_MEASURES)) or not (number < len(sources)).all():
            raise ValueError("the looks do not fit their sources")
        appearance = Appearance(sources, number, looks)
    return TrainingCells(novelty, held, appearance)


def _numbered(held: HeldOutCells) -> bool:
    """Return whether the numbers of the true classes are those of the probabilities."""
    if held.truth is None or held.probabilities is None or held.probabilities.ndim != 2:
        return False
    return bool(((held.truth >= 0) & (held.truth < held.probabilities.shape[1])).all())


def _read_strip(path: Path) -> Images | None:
    """Return the strip of training cells; None where it is missing or was replaced by something else."""
    if not path.is_file():
        return None
    decoded = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if decoded is None or decoded.shape[0] != STRIP_SIDE:
        return None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
