"""What a view of a cell shows: a red cell, or a white cell, a platelet, a clump, an artefact.

A linear head on the vectors of `reddino-tiny` that comes with the package (`weights/cell-kinds.*`, made by
`experiments/cell_kinds.py`). It leaves a red cell alone unless it is sure: rare red cells, with a parasite or
of an odd shape, are what users look for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reddino.embedding.batches import Batch
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.view_encoder import Images, Vectors, ViewEncoder, preprocessing
from reddino.foundations.atomic import atomic_path, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.runtime import choose_runtime
from reddino.foundations.structured import fit, read_json
from reddino.networks.encoder import Encoder, open_model
from reddino.networks.shipped import DEFAULT_MODEL
from reddino.smears.column_names import KIND, KIND_PROBABILITY, renamed
from reddino.views.spec import ViewSpec

Real = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

KINDS = ("red cell", "white cell", "platelet", "clump", "artefact")
RED, UNKNOWN = KINDS[0], "unknown"
_CLUMP = KINDS.index("clump")
#: Columns of tables and predictions.
KIND_COLUMNS: Mapping[str, pa.DataType] = {KIND: pa.string(), KIND_PROBABILITY: pa.float64()}
#: Side of the views that the head was taught, in red-cell diameters.
SIDE = 1.6
#: A found piece is called a clump at a low probability too where its box is at least so long and so wide, in
#: red-cell diameters: no view shows better than its size that two cells lie on one another.
CLUMP_LONG, CLUMP_WIDE = 1.3, 1.0
#: The least probability of a clump, against a red cell, for such a piece. A fifth would find half of the
#: clumps, and take one in twenty infected cells, which are large, for one.
CLUMP = 0.4
#: Side in pixels at which the network sees them.
INPUT = 112
NAME = "cell-kinds"


@dataclass(frozen=True)
class CellKinds:
    """The head's predictions for n views.

    Attributes:
        names: (n,) one of `KINDS`, or `unknown` where the head is not sure enough.
        probabilities: (n,) of the kind that is named; of `unknown` that of the likeliest kind.
    """

    names: tuple[str, ...]
    probabilities: Real

    def __len__(self) -> int:
        return len(self.names)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns (n,) of a table by name."""
        return {KIND: np.array(self.names, dtype=object), KIND_PROBABILITY: self.probabilities}

    def counts(self) -> str:
        """Return how many views are of each kind but red cells, in words: "3 clumps, 1 unknown"."""
        of = Counter(self.names)
        return ", ".join(
            f"{of[name]} {name}{'s' if of[name] != 1 and name != UNKNOWN else ''}"
            for name in (*KINDS[1:], UNKNOWN)
            if of[name]
        )

    def not_red(self) -> Flags:
        """Return which views (n,) are surely of something else than a single red cell."""
        return np.array([name not in (RED, UNKNOWN) for name in self.names], dtype=np.bool_)


@dataclass(frozen=True)
class KindHead:
    """A linear layer on standardised vectors of one network, and the thresholds of its predictions.

    Attributes:
        weights_hash: of the network whose vectors it takes.
        mean, scale: (d,) what a vector is standardised with.
        weights: (5, d), in the order of `KINDS`.
        bias: (5,).
        red: probability of a red cell from which a view is called one.
        other: probability of no red cell from which the likeliest other kind is named; between the two
            the head returns `unknown`.
    """

    weights_hash: str
    mean: Real
    scale: Real
    weights: Real
    bias: Real
    red: float
    other: float

    def takes(self, weights_hash: str, pooling: str, made: Mapping[str, Any]) -> bool:
        """Return whether vectors made this way are those that the head was taught on."""
        plain = made.get("orientations", 1) == 1 and made.get("channel_order") == "RGB"
        return (
            plain
            and pooling == "cls"
            and weights_hash == self.weights_hash
            and made.get("input_size") == INPUT
        )

    def probabilities(self, vectors: Vectors) -> Real:
        """Return (n, 5) in the order of `KINDS`, of vectors (n, d).

        Raises:
            RedDinoError: vectors of another length than those of the head's network.
        """
        if vectors.shape[-1] != len(self.mean):
            raise RedDinoError(
                f"kinds of cells are read from vectors of {len(self.mean)} numbers, not of "
                f"{vectors.shape[-1]}; embed with {DEFAULT_MODEL}"
            )
        logits = ((vectors.astype(np.float64) - self.mean) / self.scale) @ self.weights.T + self.bias
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def read(self, vectors: Vectors, sides: Real | None = None) -> CellKinds:
        """Return the kind of each of the views with these vectors (n, d); `sides` as for `decide`."""
        return self.decide(self.probabilities(vectors), sides)

    def decide(self, probabilities: Real, sides: Real | None = None) -> CellKinds:
        """Return the kinds of views with these probabilities (n, 5).

        Args:
            probabilities: in the order of `KINDS`.
            sides: (n, 2) width and height of the pieces that segmentation found, in red-cell diameters; NaN,
                or None for all, where a cell was not found that way.
        """
        likeliest = 1 + probabilities[:, 1:].argmax(axis=1) if len(probabilities) else np.zeros(0, np.int64)
        red = probabilities[:, 0]
        names = [
            RED if sure else KINDS[kind] if other else UNKNOWN
            for sure, other, kind in zip(
                (red >= self.red).tolist(), (1 - red >= self.other).tolist(), likeliest.tolist(), strict=True
            )
        ]
        others = probabilities[np.arange(len(red)), likeliest]
        best = np.where(
            red >= self.red, red, np.where(1 - red >= self.other, others, np.maximum(red, others))
        )
        if sides is not None:
            against = probabilities[:, _CLUMP] / np.maximum(red + probabilities[:, _CLUMP], 1e-9)
            large = (sides.max(axis=1) >= CLUMP_LONG) & (sides.min(axis=1) >= CLUMP_WIDE) & (against >= CLUMP)
            for row in np.flatnonzero(large).tolist():
                if names[row] in (RED, UNKNOWN):
                    names[row], best[row] = KINDS[_CLUMP], against[row]
        return CellKinds(tuple(names), best)

    def fingerprint(self) -> str:
        """Return 16 hex digits over all numbers."""
        thresholds = np.array([self.red, self.other])
        arrays = (self.mean, self.scale, self.weights, self.bias, thresholds)
        return hash_bytes(*(np.ascontiguousarray(values, dtype=np.float64).tobytes() for values in arrays))


class _KindsFile(BaseModel):
    """What `cell-kinds.json` holds."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

    model: Literal["reddino-tiny"]
    weights_hash: str
    kinds: tuple[str, ...]
    side: Annotated[float, Field(gt=0)]
    red: Annotated[float, Field(gt=0, le=1)]
    other: Annotated[float, Field(gt=0, le=1)]
    head_hash: str
    made_by: str
    licence: str


def save_kind_head(folder: Path, head: KindHead, made_by: str) -> None:
    """Write a head to `cell-kinds.safetensors` and `cell-kinds.json`, each whole."""
    # safetensors writes the bytes of an array as they lie, whatever its order
    arrays = {
        name: np.ascontiguousarray(getattr(head, name), dtype=np.float32)
        for name in ("mean", "scale", "weights", "bias")
    }
    kept = {name: values.astype(np.float64) for name, values in arrays.items()}
    rounded = KindHead(head.weights_hash, **kept, red=head.red, other=head.other)
    with atomic_path(folder / f"{NAME}.safetensors") as partial:
        save_file(arrays, partial)
    content = {
        "model": DEFAULT_MODEL,
        "weights_hash": head.weights_hash,
        "kinds": list(KINDS),
        "side": SIDE,
        "red": head.red,
        "other": head.other,
        "head_hash": rounded.fingerprint(),
        "made_by": made_by,
        "licence": "Apache-2.0",
    }
    write_text(folder / f"{NAME}.json", json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_kind_head(folder: Path) -> KindHead:
    """Read the head that `save_kind_head` wrote.

    Raises:
        RedDinoError: a file is missing or damaged, or the two do not belong together.
    """
    described, numbers = folder / f"{NAME}.json", folder / f"{NAME}.safetensors"
    content = fit(_KindsFile, read_json(described), f"{described} cannot be read")
    try:
        arrays = {name: values.astype(np.float64) for name, values in load_file(numbers).items()}
        head = KindHead(content.weights_hash, **arrays, red=content.red, other=content.other)
    except (ValueError, TypeError, KeyError, SafetensorError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RedDinoError(f"{numbers} cannot be read: {reason}; install RedDino again") from error
    if head.fingerprint() != content.head_hash or content.kinds != KINDS:
        raise RedDinoError(f"{numbers} does not belong to {described}: install RedDino again")
    return head


@cache
def shipped_kind_head() -> KindHead:
    """Return the head that comes with the package."""
    return read_kind_head(Path(str(resources.files("reddino"))) / "weights")


class KindReader:
    """Predicts kinds of views by the shipped head; opens `reddino-tiny` where vectors are another network's.

    Args:
        device: on which it runs.
        threads: of the network on a CPU; 0: as `choose_runtime` has it.
    """

    def __init__(self, device: str = "auto", threads: int = 0) -> None:
        self.head = shipped_kind_head()
        self.device = device
        self._threads = threads
        self._network: Encoder | None = None

    @property
    def network(self) -> Encoder:
        """The network whose vectors the head takes."""
        if self._network is None:
            self._network = open_model(
                DEFAULT_MODEL, runtime=choose_runtime(self.device, "fp32", self._threads)
            )
        return self._network

    def takes(self, encoder: ViewEncoder, pooling: str) -> bool:
        """Return whether the vectors of an encoder are those that the head was taught on."""
        return self.head.takes(encoder.weights_hash, pooling, preprocessing(encoder))

    def of_batch(self, encoder: ViewEncoder, pooling: str, batch: Batch, vectors: Vectors) -> CellKinds:
        """Return the kinds of the views of a batch, which an encoder turned into vectors (n, d)."""
        squares = batch.squares  # of these only found cells have a box
        sides = np.stack([squares["w"], squares["h"]], axis=1) / squares["cell_diameter"][:, None]
        if self.takes(encoder, pooling):
            return self.head.read(vectors, sides)
        return self.of_images(batch.images, sides)

    def of_images(self, images: Images, sides: Real | None = None) -> CellKinds:
        """Return the kinds of views (n, s, s, 3) whose side is `SIDE` diameters; another s is resized."""
        side = self.network.input_size
        if images.shape[1] != side:
            way = cv2.INTER_AREA if images.shape[1] > side else cv2.INTER_CUBIC
            images = np.stack([cv2.resize(image, (side, side), interpolation=way) for image in images])
        return self.head.read(self.network.embed(images, "cls"), sides)


def require_kind_views(view: ViewSpec, pooling: str, per: str) -> None:
    """Refuse views from which the head cannot read what a cell is.

    Raises:
        RedDinoError: names what does not fit.
    """
    wrong = (
        f"views of kind {view.kind} are not cut around cells"
        if view.kind != "cells"
        else f"the views have a side of {view.side:g} {view.unit}"
        if (view.side, view.unit) != (SIDE, "diameters")
        else "the cells are masked"
        if view.mask_centre
        else "their stain is normalised"
        if view.stain != "none"
        else "a row is not one view"
        if per != "view" or pooling == "tokens"
        else ""
    )
    if wrong:
        raise RedDinoError(
            f"kinds are read from views of {SIDE} diameters around each cell, but {wrong}: leave --kinds "
            "out, or embed cells without --side, --unit, --mask-centre, --stain and --per"
        )


def holds_kinds(table: pa.Table) -> bool:
    """Return whether a table has the columns of kinds, and not just columns of such names."""
    if not {KIND, KIND_PROBABILITY} <= set(table.column_names):
        return False
    return set(map(str, table.column(KIND).unique().to_pylist())) <= {*KINDS, UNKNOWN}


def without_kinds(table: pa.Table) -> pa.Table:
    """Return a table without the columns of kinds; others of such names get new ones, which is logged."""
    if holds_kinds(table):
        return table.drop_columns(list(KIND_COLUMNS))
    return renamed(table, KIND_COLUMNS, "since the columns of kinds have these names")


def with_kinds(table: Embeddings, found: CellKinds) -> Embeddings:
    """Return a table with the columns of these kinds (n,), in the place of those that it may have."""
    columns = without_kinds(table.table)
    for name, values in found.columns().items():
        columns = columns.append_column(name, pa.array(values, KIND_COLUMNS[name]))
    return replace(table, table=columns)
