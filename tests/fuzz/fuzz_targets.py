"""The readers under test: each is given a folder of files, and must read them or raise RedDinoError."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import fuzz_seeds as seeds
import numpy as np
from fuzz_bundle import Bundle

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: as reports call it.
        seeds: makes valid inputs.
        prepare: imports what the reader needs and gives a function of the folder that the files lie in.
    """

    name: str
    seeds: Callable[[], list[Bundle]]
    prepare: Callable[[], Read]


def _decoder() -> Read:
    from reddino.smears.decode import decode_image

    def read(folder: Path) -> object:
        for path in folder.iterdir():
            image = decode_image(path)
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, image.shape
        return None

    return read


def _slides() -> Read:
    from reddino.smears.failures import Failures
    from reddino.smears.opening import open_data
    from reddino.smears.slides.opening import opened

    for library in ("openslide", "wsidicom", "pydicom", "liffile", "pylibCZIrw.czi", "zarr"):
        with contextlib.suppress(ImportError):
            import_module(library)  # what it loads is not of an input's doing

    def read(folder: Path) -> object:
        failures = Failures()
        manifest = open_data(folder, failures)
        for path in folder.iterdir():
            with opened(path) as slide:
                slide.read(0, 0, *(min(40, side) for side in slide.size))
                slide.read(0, 0, 1, 1, level=len(slide.levels) - 1)
        return manifest

    return read


def _use_manifest(manifest: Any) -> None:
    """What every verb does with a manifest, and what is written must be read again."""
    from reddino.checks.inspection import inspect_rows
    from reddino.smears.manifest import join_manifests, read_manifest, write_manifest

    inspect_rows(manifest)
    manifest.fold_groups()
    manifest.centres()
    manifest.missing_files()
    manifest.fingerprint()
    join_manifests([manifest, manifest])
    out = manifest.root / "written.parquet"
    write_manifest(manifest, out)
    assert read_manifest(out).table.equals(manifest.table), "the manifest was not read as it was written"


def _manifest(suffix: str) -> Callable[[], Read]:
    def prepare() -> Read:
        from reddino.smears.manifest import read_manifest

        def read(folder: Path) -> None:
            manifest = read_manifest(folder / f"m{suffix}")
            _use_manifest(manifest)

        return read

    return prepare


def _recipe() -> Read:
    from reddino.pretraining.run.recipe import dump_recipe, read_recipe

    return lambda folder: dump_recipe(read_recipe(folder / "r.yaml"))


def _tasks() -> Read:
    from reddino.evaluation.class_map import read_class_map
    from reddino.evaluation.task_file import read_task_file

    def read(folder: Path) -> object:
        for title, task in read_task_file(folder / "t.yaml").tasks.items():
            task.questions(title)
        return read_class_map(folder / "c.yaml").class_of("normal")

    return read


def _layout(name: str, **options: str) -> Callable[[], Read]:
    def prepare() -> Read:
        from reddino.smears.failures import Failures
        from reddino.smears.readers import READERS

        def read(folder: Path) -> None:
            given = {key: folder / value for key, value in options.items()}
            _use_manifest(READERS[name](folder, failures=Failures(), **given))

        return read

    return prepare


def _shard() -> Read:
    from reddino.smears.decode import ImageError, decode_image
    from reddino.smears.failures import Failures
    from reddino.smears.gather import gather

    def read(folder: Path) -> None:
        manifest = gather([folder], Failures())
        for path in manifest.images()[0]:
            try:
                decode_image(manifest.root / path)
            except ImageError:
                continue
        _use_manifest(manifest)

    return read


def _weights(name: str) -> Callable[[], Read]:
    def prepare() -> Read:
        from reddino.foundations.errors import RedDinoError
        from reddino.networks.encoder import open_model
        from reddino.networks.weights import read_tensors

        def read(folder: Path) -> object:
            tensors = read_tensors(folder / name)
            with contextlib.suppress(RedDinoError):  # they may be of no network that is known
                open_model(folder / name)
            return len(tensors)

        return read

    return prepare


def _model_folder() -> Read:
    from reddino.networks.encoder import open_model
    from reddino.networks.training_images import read_seen

    def read(folder: Path) -> object:
        read_seen(folder)
        encoder = open_model(folder)
        return encoder.embed(
            np.zeros((1, encoder.input_size, encoder.input_size, 3), np.uint8), pooling="cls"
        )

    return read


def _checkpoint() -> Read:
    from fuzz_networks import small_networks

    from reddino.pretraining.run.checkpoint import list_checkpoints, load_checkpoint

    def read(folder: Path) -> object:
        networks, optimizer = small_networks()
        return [load_checkpoint(path, networks, optimizer) for path in list_checkpoints(folder)]

    return read


def _classifier() -> Read:
    from reddino.classification.classifier import open_classifier

    def read(folder: Path) -> object:
        classifier = open_classifier(folder)
        return classifier.probabilities(np.zeros((2, len(classifier.head.mean)), np.float32))

    return read


def _table() -> Read:
    from reddino.embedding.note_seen import noted_hashes
    from reddino.embedding.table import read_embeddings

    def read(folder: Path) -> object:
        noted_hashes(folder)
        table = read_embeddings(folder)
        return [table.strings(name) for name in table.table.column_names]

    return read


def _pack() -> Read:
    from reddino.pretraining.data.image_cache import open_packed_cache
    from reddino.smears.packs import read_pack

    def read(folder: Path) -> object:
        manifest = read_pack(folder / "pack")
        cache = open_packed_cache(manifest, manifest.max_cell_diameter)
        return manifest.strings("source"), len(cache)

    return read


def _run_folder() -> Read:
    from reddino.pretraining.run.folder import RunFolder, read_metrics
    from reddino.pretraining.run.recipe import read_recipe

    def read(folder: Path) -> None:
        read_metrics(folder)
        run = RunFolder(folder, writes=False)
        run.begin(read_recipe("vit-tiny-scratch"), "0" * 16, 1)
        run.require_same(read_recipe("vit-tiny-scratch"), "0" * 16)

    return read


def _score_document() -> Read:
    from reddino.figures.page.measures import read_document, score_parts

    return lambda folder: list(itertools.islice(score_parts(read_document(folder / "s.json")), 1000))


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("pictures", seeds.pictures, _decoder),
        Target("slides", seeds.slides, _slides),
        Target("manifest-csv", seeds.csv_manifests, _manifest(".csv")),
        Target("manifest-parquet", seeds.parquet_manifests, _manifest(".parquet")),
        Target("recipe", seeds.recipes, _recipe),
        Target("tasks", seeds.tasks, _tasks),
        Target("tar", seeds.tars, _shard),
        Target("coco", seeds.coco, _layout("coco")),
        Target("voc", seeds.voc, _layout("voc")),
        Target("yolo", seeds.yolo, _layout("yolo")),
        Target("chula", seeds.chula, _layout("chula")),
        Target("elsafty", seeds.elsafty, _layout("elsafty", sources="sources.csv")),
        Target("weights-safetensors", seeds.weights_safetensors, _weights("w.safetensors")),
        Target("weights-pth", seeds.weights_pth, _weights("w.pth")),
        Target("model-folder", seeds.model_folders, _model_folder),
        Target("checkpoint", seeds.checkpoints, _checkpoint),
        Target("classifier", seeds.classifiers, _classifier),
        Target("embedding-table", seeds.tables, _table),
        Target("pack", seeds.packs, _pack),
        Target("run-folder", seeds.run_folders, _run_folder),
        Target("scores", seeds.score_documents, _score_document),
    )
}
