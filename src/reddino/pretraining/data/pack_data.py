"""What `pack` accepts: manifests and folders, or tar shards on disk and behind URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.packing import PackedImage, images_of_manifest, images_of_shards, pack_images
from reddino.pretraining.data.shard_stream import is_shards
from reddino.pretraining.run.diameters import needed_diameters
from reddino.pretraining.run.recipe import Recipe, read_recipe
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest, join_manifests
from reddino.smears.opening import Data, open_data
from reddino.smears.packs import PackedManifest

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
        opened = [open_data(one, failures) for one in sources]
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
    """Say before each image how many are done; of shards nobody knows how many there are."""
    for done, image in enumerate(images):
        if progress is not None:
            progress(done, total)
        yield image
