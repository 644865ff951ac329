"""A classifier of views: which network sees them and how, a linear head, and its calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reddino.classification.softmax import softmax
from reddino.classification.training_cells import (
    TrainingCells,
    open_training_cells,
    save_training_cells,
)
from reddino.embedding.table_meta import Preprocessing
from reddino.embedding.view_encoder import Vectors
from reddino.foundations import locks
from reddino.foundations.atomic import atomic_path, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.structured import fit, read_json
from reddino.foundations.version import __version__
from reddino.networks.model_names import TURNED
from reddino.views.spec import ViewSpec

Real = npt.NDArray[np.float64]
DESCRIPTION, HEAD, MODEL = "classifier.json", "classifier.safetensors", "model"


@dataclass(frozen=True)
class Head:
    """A linear layer on standardised vectors.

    Attributes:
        mean, scale: (d,) what a vector is standardised with.
        weights: (k, d).
        bias: (k,).
    """

    mean: Real
    scale: Real
    weights: Real
    bias: Real

    def logits(self, vectors: Vectors) -> Real:
        """Return (n, k) of vectors (n, d)."""
        standardised = (vectors.astype(np.float64) - self.mean) / self.scale
        return np.asarray(standardised @ self.weights.T + self.bias)

    def fingerprint(self) -> str:
        """Return 16 hex digits over all numbers."""
        return hash_bytes(*(np.ascontiguousarray(values).tobytes() for values in vars(self).values()))


@dataclass(frozen=True)
class Classifier:
    """What a classifier folder holds.

    Attributes:
        kind: `probe` (a frozen network) or `fine-tuned`.
        classes: names, in the order of the logits.
        model: what `embed --model` takes; `model`, the folder inside, for a fine-tuned network.
        weights_hash: of the network's weights.
        pooling: which output is the vector.
        view: what is cut from an image.
        preprocessing: as embedding tables record it.
        head: the linear layer.
        temperature: the head's logits are divided by it.
        offset: (k,) added to each class's scaled logit.
        pixels_a_cell: median red-cell diameter of the training images in pixels; None where not known.
        side_px: median side of the training views in pixels.
        priors: (k,) fraction of each class that the probabilities presume; empty in older classifiers.
        report: how it did on held-out groups.
        provenance: where it came from.
        training: what is kept of the cells that it learned from; None in folders of earlier versions.
    """

    kind: str
    classes: tuple[str, ...]
    model: str
    weights_hash: str
    pooling: str
    view: ViewSpec
    preprocessing: Mapping[str, Any]
    head: Head
    temperature: float = 1.0
    offset: tuple[float, ...] = ()
    pixels_a_cell: float | None = None
    side_px: float | None = None
    priors: tuple[float, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingCells | None = None

    def novelty(self, vectors: Vectors) -> Real | None:
        """Return how novel each vector (n, d) is to the training cells (n,); None where it is unknown."""
        kept = None if self.training is None else self.training.novelty
        return None if kept is None else kept.score(vectors)

    def probabilities(self, vectors: Vectors) -> Real:
        """Return calibrated probabilities (n, k) of vectors (n, d).

        Raises:
            RedDinoError: the vectors are of another length than those that the head was fitted on.
        """
        if vectors.shape[-1] != len(self.head.mean):
            raise RedDinoError(
                f"the classifier takes vectors of {len(self.head.mean)} numbers, not of {vectors.shape[-1]}"
            )
        return softmax(self.head.logits(vectors) / self.temperature + np.asarray(self.offset or 0.0))


def save_classifier(folder: Path, classifier: Classifier) -> None:
    """Write a classifier to a folder, each file whole, the description last.

    Raises:
        RedDinoError: the folder holds a classifier already.
    """
    require_free(folder)
    with atomic_path(folder / HEAD) as partial:
        save_file(
            {name: np.ascontiguousarray(value) for name, value in vars(classifier.head).items()}, partial
        )
    if classifier.training is not None:
        save_training_cells(folder, classifier.training, classifier.head.fingerprint())
    content = {
        **{key: value for key, value in vars(classifier).items() if key not in ("head", "training")},
        "classes": list(classifier.classes),
        "offset": list(classifier.offset),
        "priors": list(classifier.priors),
        "view": classifier.view.metadata(),
        "head_hash": classifier.head.fingerprint(),
        "version": __version__,
    }
    content["content_hash"] = _content_hash(content)
    write_text(folder / DESCRIPTION, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _content_hash(content: Mapping[str, Any]) -> str:
    """Return 16 hex digits over a description but for this very number, whatever its order and blanks."""
    plain = json.loads(json.dumps({key: value for key, value in content.items() if key != "content_hash"}))
    return hash_bytes(json.dumps(plain, sort_keys=True).encode())


def require_free(folder: Path) -> None:
    """Refuse a folder that holds a classifier."""
    locks.require_free(
        folder / DESCRIPTION, f"{folder} already holds a classifier; choose another folder or delete it"
    )


def open_classifier(folder: str | Path) -> Classifier:
    """Read a classifier folder.

    Raises:
        RedDinoError: it is missing, a file is damaged, numbers of it are not finite, or files of two
            classifiers were mixed.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        raise RedDinoError(f"{folder} is no classifier: it holds no {DESCRIPTION}; make one with reddino fit")
    origin = f"{folder / DESCRIPTION} cannot be read as a classifier of RedDino {__version__}"
    described = read_json(folder / DESCRIPTION)
    content = fit(_ClassifierFile, described, origin)
    if len(set(content.classes)) < len(content.classes):
        raise RedDinoError(f"{origin}: classes: a name stands there twice")
    if content.model != MODEL and content.kind == "fine-tuned":
        raise RedDinoError(f"{origin}: model: a fine-tuned classifier brings its own, '{MODEL}'")
    if content.content_hash not in ("", _content_hash(described)):  # those of before have none
        raise RedDinoError(
            f"{folder / DESCRIPTION} does not fit its checksum: it was damaged or edited; restore it, or fit "
            "again"
        )
    head = _read_head(folder / HEAD)
    if head.fingerprint() != content.head_hash:
        raise RedDinoError(
            f"{folder}: {HEAD} does not belong to {DESCRIPTION}; the folder was mixed or damaged"
        )
    kept = {name: value for name, value in content if name not in ("head_hash", "version", "content_hash")}
    training = open_training_cells(folder, head.fingerprint())
    classifier = Classifier(
        **{**kept, "preprocessing": described["preprocessing"]}, head=head, training=training
    )
    _require_usable(classifier, folder)
    return classifier


class _ClassifierFile(BaseModel):
    """What `classifier.json` holds; the attributes are those of `Classifier`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

    kind: Literal["probe", "fine-tuned"]
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    model: str
    weights_hash: str
    pooling: str
    view: ViewSpec
    preprocessing: Preprocessing
    temperature: float
    offset: tuple[float, ...]
    pixels_a_cell: Annotated[float, Field(gt=0)] | None
    side_px: Annotated[float, Field(gt=0)] | None
    priors: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    report: dict[str, Any]
    provenance: dict[str, Any]
    head_hash: str
    version: str
    content_hash: str = ""


def model_of(classifier: Classifier, folder: Path, moved: str | None = None) -> str:
    """Return the name that opens the network of a classifier in a folder.

    Args:
        classifier: of that folder.
        folder: of the classifier.
        moved: where the network is now, if it is no longer where the classifier found it.
    """
    if moved is None:
        return str(folder / MODEL) if classifier.kind == "fine-tuned" else classifier.model
    turned = int(classifier.preprocessing.get("orientations", 1)) > 1 and not moved.startswith(TURNED)
    return f"{TURNED}{moved}" if turned else moved


def _read_head(path: Path) -> Head:
    """Read the linear layer of a classifier folder.

    Raises:
        RedDinoError: it cannot be read, or does not hold the four arrays of one.
    """
    try:
        arrays = load_file(path)
    except (ValueError, TypeError, KeyError, AttributeError, SafetensorError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(f"{path} cannot be read as a classifier's head: {reason}") from error
    if arrays.keys() != {"mean", "scale", "weights", "bias"} or arrays["mean"].ndim != 1:
        raise RedDinoError(f"{path} does not hold mean, scale, weights and bias")
    if any(values.dtype.kind != "f" for values in arrays.values()):
        raise RedDinoError(f"{path} holds numbers of another type than a classifier's head")
    return Head(**{name: values.astype(np.float64) for name, values in arrays.items()})


def _require_usable(classifier: Classifier, folder: Path) -> None:
    """Refuse numbers with which no probability could be computed."""
    head = classifier.head
    for name, values in vars(head).items():
        if not np.isfinite(values).all():
            raise RedDinoError(
                f"{folder}: '{name}' of {HEAD} holds numbers that are not finite; fit it again"
            )
    classes, dim = len(classifier.classes), head.mean.size
    shapes = {"mean": (dim,), "scale": (dim,), "weights": (classes, dim), "bias": (classes,)}
    for name, shape in shapes.items():
        if getattr(head, name).shape != shape:
            raise RedDinoError(
                f"{folder}: '{name}' of {HEAD} has shape {getattr(head, name).shape}, for {classes} classes "
                f"and vectors of {dim} it needs {shape}; fit it again"
            )
    if not (head.scale > 0).all():
        raise RedDinoError(f"{folder}: 'scale' of {HEAD} holds numbers that are not above 0; fit it again")
    temperature, offset = classifier.temperature, np.asarray(classifier.offset, dtype=np.float64)
    if not (np.isfinite(temperature) and temperature > 0):
        raise RedDinoError(f"{folder / DESCRIPTION}: temperature {temperature} is not a number above 0")
    if not np.isfinite(offset).all() or len(offset) not in (0, classes):
        raise RedDinoError(f"{folder / DESCRIPTION}: offset must be {classes} finite numbers, or none")
    if len(classifier.priors) not in (0, classes):
        raise RedDinoError(f"{folder / DESCRIPTION}: priors must be {classes} fractions, or none")
