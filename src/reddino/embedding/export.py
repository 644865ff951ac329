"""Models for other programs: ONNX, OpenVINO IR, or a folder that is ready for the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from reddino.embedding.choices import ExportFormat
from reddino.embedding.model_card import model_card
from reddino.embedding.runtimes.check import synthetic_cells
from reddino.embedding.runtimes.extras import import_openvino, require
from reddino.embedding.runtimes.onnx_engine import open_session
from reddino.embedding.runtimes.onnx_graph import INPUT, OUTPUT, embedding_graph, write_onnx
from reddino.embedding.runtimes.openvino_engine import compile_model
from reddino.foundations.atomic import draft_folder, move_into_place, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import writing
from reddino.foundations.locks import FOLDER_LOCK, is_continued
from reddino.foundations.provenance import provenance
from reddino.foundations.stages import stage
from reddino.networks.backbone import PooledBackbone
from reddino.networks.create_backbone import is_cut
from reddino.networks.encoder import Encoder
from reddino.networks.engine import TorchEngine
from reddino.networks.folder import CARD, save_model_folder
from reddino.networks.model_names import TURNED
from reddino.networks.training_images import SeenImages, write_seen

#: Largest difference from torch, as a fraction of the largest number, that an exported file may show.
TOLERANCE = 1e-4
DESCRIPTION = "reddino-export.json"


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        folder: it holds all files.
        files: their names.
        difference: largest difference from torch on the check images, relative to the largest number; None
            for a hub folder, whose weights are the same bytes.
        licence: of the weights, as the card of a hub folder has it; None: unknown.
    """

    folder: Path
    files: tuple[str, ...]
    difference: float | None
    licence: str | None = None


def export_model(
    encoder: Encoder,
    folder: Path,
    *,
    form: ExportFormat = "onnx",
    pooling: str = "cls",
    scores: Mapping[str, float] | None = None,
    licence: str | None = None,
    seen: SeenImages | None = None,
    half: bool = False,
) -> Export:
    """Write a model for other programs, and check that it computes the same.

    Args:
        encoder: the model.
        folder: a new or empty folder.
        form: `onnx` (uint8 RGB squares in, any number of them; normalisation inside), `openvino` (the same as
            IR), or `hub` (timm's hub format and a model card).
        pooling: of the exported graph; a hub folder leaves it to the program that opens it.
        scores: for the model card, by name.
        licence: of the weights, for the model card, such as `apache-2.0`.
        seen: what the model saw in pretraining, which a hub folder lists.
        half: a hub folder's weights in float16.

    Raises:
        RedDinoError: the folder is not empty, an extra is not installed, an option is of another format, or
            the file computes something else.
    """
    if form not in get_args(ExportFormat):
        raise RedDinoError(f"format '{form}' is not known; give onnx, openvino or hub")
    if form != "hub" and (scores or licence):
        raise RedDinoError(
            f"scores and a licence stand in a model card, which an export as {form} has none of: leave them "
            "out, or export with --format hub"
        )
    if form == "hub" and pooling != "cls":
        raise RedDinoError(
            f"a hub folder holds weights, and no graph that pools: leave pooling {pooling} to what opens it"
        )
    if encoder.orientations > 1:
        raise RedDinoError(
            f"'{encoder.name}' is exported as it is, and turns images no more: leave '{TURNED}' out"
        )
    _require_empty(folder)
    if form != "hub" and half:
        raise RedDinoError(f"float16 weights are for hub folders: an {form} file is written in float32")
    with writing(folder), draft_folder(folder, "export") as place:
        draft = place / "finished"
        draft.mkdir()
        difference = None
        if form == "hub":
            _write_hub_folder(encoder, draft, scores or {}, licence, seen=seen, half=half)
        else:
            difference = _write_graph(encoder, draft, form, pooling)
        files = tuple(sorted(file.name for file in draft.iterdir()))
        # What describes the others comes last.
        for name in sorted(files, key=lambda name: (name in (DESCRIPTION, CARD), name)):
            move_into_place(draft / name, folder / name)
    return Export(folder, files, difference, licence)


def _require_empty(folder: Path) -> None:
    """Refuse a folder with files in it, but for those of this very export, which was killed."""
    found = folder.exists() and (
        not folder.is_dir() or any(file.name != FOLDER_LOCK for file in folder.iterdir())
    )
    if found and not is_continued(folder):
        raise RedDinoError(f"{folder} is not empty: export to a new folder")


def _write_graph(encoder: Encoder, draft: Path, form: Literal["onnx", "openvino"], pooling: str) -> float:
    """Write a graph into a folder; the largest difference from torch."""
    require(form, f"exporting as {form}")
    encoder.check_pooling(pooling)
    size = encoder.input_size
    # Three images, so that a batch that became a constant would show.
    images = synthetic_cells(3, size)
    graph = embedding_graph(encoder.backbone, encoder.card, pooling)
    path = (draft if form == "onnx" else draft.parent) / "model.onnx"
    with stage(f"writing the {form} graph"):
        write_onnx(graph, size, path, "dynamo" if form == "onnx" else "tracing")
        if form == "openvino":
            path = _convert_to_ir(path, draft / "model.xml")
    runtime = replace(encoder.runtime, precision="fp32", device=torch.device("cpu"))
    with stage("comparing it with torch"):
        wanted = TorchEngine(encoder.backbone, encoder.card, runtime).vectors(images, pooling)
        found = _run(path, images, runtime.threads)
    difference = _largest_difference(found, wanted)
    if not difference <= TOLERANCE:
        raise RedDinoError(
            f"the exported {form} file does not compute what torch computes (largest difference "
            f"{difference:.2g} of the largest number): nothing was written"
        )
    write_text(draft / DESCRIPTION, json.dumps(_describe(encoder, pooling, difference), indent=2) + "\n")
    return difference


def _convert_to_ir(onnx: Path, xml: Path) -> Path:
    """Convert to OpenVINO IR in float32; its own default would round the weights to float16."""
    openvino = import_openvino()
    openvino.save_model(openvino.convert_model(str(onnx)), str(xml), compress_to_fp16=False)
    return xml


def _run(path: Path, images: NDArray[np.uint8], threads: int) -> NDArray[np.float32]:
    """Return what the written file computes, in the program that it is for."""
    if path.suffix == ".xml":
        compiled = compile_model(path, threads)
        from_ir: NDArray[np.float32] = compiled([images])[0]
        return from_ir
    from_onnx: NDArray[np.float32] = open_session(path, threads).run([OUTPUT], {INPUT: images})[0]
    return from_onnx


def _largest_difference(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-12))


def _describe(encoder: Encoder, pooling: str, difference: float) -> dict[str, Any]:
    return {
        "input": f"{INPUT}: uint8 (n, {encoder.input_size}, {encoder.input_size}, 3), RGB, not normalised",
        "output": f"{OUTPUT}: float32 (n, d), pooling {pooling}",
        "normalisation_inside": {"mean": list(encoder.mean), "std": list(encoder.std)},
        "channel_order_inside": encoder.channel_order,
        "positions": encoder.position_resampling or "as trained",
        "model": encoder.name,
        "backbone": encoder.card.backbone,
        "weights_hash": encoder.weights_hash,
        "largest_difference_from_torch": difference,
        "provenance": provenance(model=encoder.weights_hash),
    }


def _write_hub_folder(
    encoder: Encoder,
    folder: Path,
    scores: Mapping[str, float],
    licence: str | None,
    *,
    seen: SeenImages | None,
    half: bool,
) -> None:
    if isinstance(encoder.backbone, PooledBackbone) and is_cut(encoder.backbone.network):
        raise RedDinoError("timm has no name for a ResNet without its last stage: export it as onnx instead")
    card = save_model_folder(folder, encoder.backbone, encoder.card, half=half)
    if seen is not None:
        write_seen(folder, seen)
    write_text(folder / "README.md", model_card(card, encoder.name, encoder.dim, scores, licence))
