"""The sources of packed collections: manifests and folders, or tar shards on disk and behind URLs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.decoding import centres_by_image
from reddino.pretraining.data.pack_writer import KEPT, PackedImage, pack_images
from reddino.pretraining.data.shard_stream import expand_shards, is_shards, stream_shard
from reddino.pretraining.run.diameters import needed_diameters
from reddino.pretraining.run.recipe import Recipe, read_recipe
from reddino.rbc.diameters import image_diameters
from reddino.smears.column_names import UM_PER_PX
from reddino.smears.decode import decode_bytes, decode_image
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest, join_manifests
from reddino.smears.manifest_columns import READING_COLUMNS
from reddino.smears.opening import Data, open_data
from reddino.smears.packs import PackedManifest
from reddino.smears.pixel_sizes import pixel_sizes
from reddino.smears.readings import Readings
from reddino.smears.stored_pictures import picture_url

Advance = Callable[[int, int], None]


def pack_data(
    data: Data | Sequence[Data],
    out: Path,
    recipe: str | Path | Recipe | None,
    failures: Failures,
    progress: Advance | None,
) -> PackedManifest:
    """Pack images; see `reddino.api.pack`."""
    wanted = recipe if recipe is None or isinstance(recipe, Recipe) else read_recipe(recipe)
    sources = [data] if isinstance(data, str | Path | Manifest) else list(data)
    shards = [str(one) for one in sources if not isinstance(one, Manifest) and is_shards(one)]
    if shards and len(shards) < len(sources):
        raise RedDinoError("tar shards and other images cannot be packed at once; make a pack of each")
    total = 0
    if shards:
        images = images_of_shards(shards, failures)
    else:
        opened = [open_data(one, failures, subfolders="none") for one in sources]
        if any(isinstance(one, PackedManifest) for one in opened):
            raise RedDinoError("a pack is packed already: pack the images that it was made of")
        manifest = join_manifests(opened)
        total = len(manifest.images()[0])
        images = images_of_manifest(manifest, needed_diameters(wanted, manifest) if wanted else None)
    return pack_images(
        _watched(images, total, progress),
        out,
        failures=failures,
        max_cell_diameter=wanted.data.max_cell_diameter if wanted is not None else None,
    )


def _watched(images: Iterable[PackedImage], total: int, progress: Advance | None) -> Iterator[PackedImage]:
    """Report before each image how many are done; the number of images in shards is not known."""
    for done, image in enumerate(images):
        if progress is not None:
            progress(done, total)
        yield image


def images_of_manifest(
    manifest: Manifest, cell_diameters: Mapping[str, float] | None = None
) -> Iterator[PackedImage]:
    """Yield each image of a manifest once, with its first row and the places of its cells.

    Args:
        manifest: of images or cells.
        cell_diameters: source -> pixels, where a row has none.
    """
    names, image_of_row = manifest.images()
    centres = centres_by_image(manifest.centres(), image_of_row, len(names))
    first = np.unique(image_of_row, return_index=True)[1]
    columns = {name: manifest.strings(name) for name in KEPT}
    readings = Readings(manifest.table)
    diameters = image_diameters(manifest, cell_diameters).tolist()
    sizes = pixel_sizes(manifest).um.tolist()
    for name, row, places, diameter, um in zip(names, first.tolist(), centres, diameters, sizes, strict=True):
        values = {column: strings[row] for column, strings in columns.items() if strings[row]}
        path = manifest.root / name
        row_now = {"path": picture_url(path) or str(path.absolute()), **values}
        reading = readings.of(name)
        row_now |= {column: str(value) for column, value in reading.items()}
        row_now |= {} if math.isnan(um) else {UM_PER_PX: str(um)}
        yield PackedImage(row_now, diameter, places, partial(decode_image, path, **reading))


def images_of_shards(specs: Iterable[str], failures: Failures) -> Iterator[PackedImage]:
    """Yield the images of tar shards (`expand_shards`), streamed one shard after the other."""
    for named in [shard for spec in specs for shard in expand_shards(str(spec))]:
        # The pack's rows must find the shard again, wherever this command was given.
        shard = named if "://" in named else str(Path(named).absolute())
        for image in stream_shard(shard, failures):
            diameter = _number(image.row.get("cell_diameter", ""))
            row = {"path": image.path, **{name: image.row[name] for name in KEPT if name in image.row}}
            reading = {name: int(float(image.row[name])) for name in READING_COLUMNS if name in image.row}
            row |= {name: str(value) for name, value in reading.items()}
            row |= {UM_PER_PX: image.row[UM_PER_PX]} if UM_PER_PX in image.row else {}
            decode = partial(decode_bytes, image.path, image.data, **reading)
            yield PackedImage(row, diameter, image.centres, decode)


def _number(text: str) -> float:
    """Read a length above 0; NaN for anything else."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if 0 < value < math.inf else math.nan
