"""Patch pictures of fields: which fields, in what order, and the files that come of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reddino.embedding.view_encoder import Images
from reddino.figures.canvas import save_figure
from reddino.figures.fields import FieldTokens, PatchEncoder, encode_field
from reddino.figures.lettering import Numbers, note_numbers
from reddino.figures.map_patches import TILES, MapPatches
from reddino.figures.patch_figures import (
    PatchBasis,
    Place,
    attention_figure,
    patch_at,
    pca_figure,
    similarity_figure,
    striking_patches,
)
from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.foundations.visible import file_stem, short_names
from reddino.rbc.finding import estimate_diameter
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.views.spec import DEFAULT_SIDES

#: Limits of a scale that is measured.
SCALES = (0.25, 4.0)


def spread_images(manifest: Manifest, most: int) -> list[str]:
    """Return paths of up to `most` images: of each source in turn, evenly spaced along its images."""
    names, codes = manifest.images()
    sources = manifest.strings("source")
    by_source: dict[str, list[str]] = {}
    seen: set[int] = set()
    for row, code in enumerate(codes.tolist()):
        if code not in seen:
            seen.add(code)
            by_source.setdefault(sources[row], []).append(names[code])
    each = -(-most // len(by_source))
    picked = []
    for images in by_source.values():
        step = len(images) / min(each, len(images))
        picked.append([images[int((i + 0.5) * step)] for i in range(min(each, len(images)))])
    turns = [paths[i] for i in range(each) for paths in picked if i < len(paths)]
    return turns[:most]


def draw_patches(
    fields: Sequence[FieldTokens], names: Sequence[str], out: Path, place: Place | None = None
) -> list[Path]:
    """Write pca.png of all fields together, and attention and similarity of each.

    Args:
        fields: encoded by a network.
        names: of the fields, as long.
        out: folder.
        place: (x, y) of the patch to compare with, as fractions of width and height; None: striking ones.
    """
    basis = PatchBasis.fit(fields)
    titles = short_names([Path(name).name for name in names])
    written, numbers = [out / "pca.png"], Numbers()
    save_figure(pca_figure(fields, titles, basis), written[0], numbers=numbers)
    encoded = list(zip(fields, names, strict=True))
    for number, (field, name) in enumerate(watched(encoded, "drawing fields"), 1):
        patches = [patch_at(field, place)] if place is not None else striking_patches(field, basis)
        figures = {"similarity": similarity_figure(field, patches, titles[number - 1])}
        if len(field.attention):
            figures = {"attention": attention_figure(field, titles[number - 1]), **figures}
        for kind, figure in figures.items():
            written.append(out / f"{number:02d}-{file_stem(Path(name).name)}-{kind}.png")
            save_figure(figure, written[-1], numbers=numbers)
    note_numbers(numbers, out)
    return written


def patch_pictures(
    encoder: PatchEncoder,
    manifest: Manifest,
    out: Path,
    provenance: dict[str, Any],
    *,
    most: int = 4,
    place: Place | None = None,
    scale: float | None = None,
    failures: Failures | None = None,
    **options: Any,
) -> list[Path]:
    """Draw patch figures of some images of a manifest, with one basis for their colours.

    Args:
        encoder: of a Vision Transformer, or of a convolutional network.
        manifest: images, whose sources take turns.
        out: folder of the pictures.
        provenance: is written next to them, as patches.json.
        most: images to draw.
        place: see `draw_patches`.
        scale: fields are resized by this first; None: 1 for patch tokens, and for a feature map what makes
            a red cell as large as the network's views show it.
        failures: takes the images that cannot be read.
        options: `tile` and `overlap` of `encode_field`.

    Raises:
        RedDinoError: no image can be read.
    """
    failures = Failures() if failures is None else failures
    fields, names, scales = [], [], {}
    readings = Readings(manifest.table)
    for name in watched(spread_images(manifest, most), "encoding fields"):
        try:
            image: Images = decode_image(manifest.root / name, **readings.of(name))
        except ImageError as error:
            failures.add(error.path, error.reason)
            continue
        used = scale or _scale(encoder, image)
        scales[name] = used
        fields.append(encode_field(encoder, image, scale=used, **options))
        names.append(name)
    if not fields:
        raise RedDinoError(f"no field could be read: {failures.summary()}")
    if not fields[0].attention.size:
        # What an earlier run with a Vision Transformer left there is of another network.
        for stale in out.glob("*-attention.png"):
            stale.unlink()
    written = draw_patches(fields, names, out, place)
    record = {"provenance": provenance, "images": names, "scales": scales, "options": options}
    write_text(out / "patches.json", json.dumps(record, indent=1) + "\n")
    return written


def _scale(encoder: PatchEncoder, image: Images) -> float:
    """Return the scale at which a red cell is as large for a feature map as in views of 1.6 diameters."""
    if not isinstance(encoder, MapPatches):
        return 1.0
    try:
        diameter = estimate_diameter(image)
    except RedDinoError:  # which shows no cells that could be measured
        return 1.0
    wanted = encoder.input_size / TILES / DEFAULT_SIDES["cells"][0]
    return float(np.clip(wanted / diameter, *SCALES))
