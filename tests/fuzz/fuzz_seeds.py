"""Valid files of each kind that RedDino reads, small, made in code: what mutations begin from."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from fuzz_bundle import Bundle, read_bundle
from fuzz_values import WITNESS, payload_pickles
from PIL import Image

CSV = (
    "path,source,slide,patient,group,x,y,w,h,label,cell_diameter,note\n"
    "a.png,lab,s1,p1,g1,1,2,3,4,normal,5,x\n"
    "a.png,lab,s1,p1,g1,5,4,3.5,4,burr,5,\n"
    "b.png,lab,s2,p2,,,,,,,,\n"
)


def picture(form: str = "PNG", mode: str = "RGB", **options: object) -> bytes:
    """A picture of 9 x 7 pixels."""
    values = np.random.default_rng(0).integers(0, 255, (7, 9, 4), np.uint8)
    image = Image.fromarray(values, "RGBA").convert(mode)
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def slides() -> list[Bundle]:
    """Microscope files of each format whose library is installed."""
    sys.path.append(str(Path(__file__).parents[1] / "shared"))
    import slide_files as files

    pixels = files.smear(70, 50)
    writers: list[tuple[str, Callable[[Path], object]]] = [
        ("tifffile", partial(_pyramid, "a.btf", None)),
        ("tifffile", partial(_pyramid, "a.btf", "jpeg")),
        ("tifffile", partial(_pyramid, "a.btf", "lzw")),
        ("tifffile", partial(_pyramid, "a.btf", "deflate")),
        ("tifffile", partial(_pyramid, "a.btf", "jpeg2000")),
        ("openslide", partial(_pyramid, "a.svs", "jpeg")),
        ("wsidicom", lambda folder: files.write_dicom(folder, pixels, levels=1)),
        ("wsidicom", lambda folder: files.write_dicom(folder, pixels, levels=1, jpeg=True)),
        ("liffile", lambda folder: files.write_lif(folder / "a.lif", [pixels])),
        ("pylibCZIrw", lambda folder: files.write_czi(folder / "a.czi", [pixels])),
        ("zarr", lambda folder: files.write_zarr(folder / "a.zarr", pixels, version=2)),
        ("zarr", lambda folder: files.write_zarr(folder / "a.zarr", pixels, version=3)),
    ]
    return [_written(write) for library, write in writers if find_spec(library) is not None]


def _pyramid(name: str, compression: str | None, folder: Path) -> None:
    import slide_files as files

    files.write_pyramid(folder / name, files.smear(70, 50), levels=2, compression=compression)


def _written(write: Callable[[Path], object]) -> Bundle:
    with tempfile.TemporaryDirectory(prefix="fuzz-seed-") as folder:
        write(Path(folder))
        return read_bundle(Path(folder))


def pictures() -> list[Bundle]:
    exif = Image.Exif()
    exif[274] = 6
    deep = io.BytesIO()
    Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 900).save(deep, "PNG")
    made = [
        ("a.png", picture()),
        ("a.png", picture(mode="P")),
        ("a.png", picture(mode="RGBA")),
        ("a.png", deep.getvalue()),
        ("a.jpg", picture("JPEG")),
        ("a.jpg", picture("JPEG", mode="CMYK")),
        ("a.jpg", picture("JPEG", progressive=True, exif=exif)),
        ("a.bmp", picture("BMP")),
        ("a.webp", picture("WEBP", lossless=True)),
        ("a.tif", picture("TIFF")),
        ("a.tif", picture("TIFF", compression="tiff_lzw")),
        ("a.tif", picture("TIFF", compression="tiff_adobe_deflate")),
        ("a.tif", picture("TIFF", mode="CMYK")),
        ("a.tif", picture("TIFF", mode="P")),
        ("a.tif", picture("TIFF", mode="F")),
        ("a.tif", picture("TIFF", save_all=True, append_images=[Image.new("RGB", (4, 4))])),
    ]
    return [{name: content} for name, content in [*made, *(("a.tif", one) for one in _tiffs())]]


def _tiffs() -> Iterator[bytes]:
    """TIFF files of every codec, and those whose descriptions say what their pages are."""
    rgb = np.asarray(Image.open(io.BytesIO(picture())).convert("RGB"))
    rgb = np.tile(rgb, (4, 4, 1))
    deep, grey = rgb.astype(np.uint16) * 257, np.ascontiguousarray(rgb[:, :, 0])

    def tiff(values: Any, **options: Any) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, values, **{"metadata": None, **options})
        return file.getvalue()

    for compression in ("zlib", "lzw", "packbits", "lzma", "zstd", "jpeg", "jpeg2000"):
        yield tiff(rgb, photometric="rgb", compression=compression, tile=(16, 16))
    yield tiff(rgb, photometric="rgb", compression="zlib", predictor=True, rowsperstrip=3, bigtiff=True)
    yield tiff(np.moveaxis(deep, 2, 0), photometric="rgb", planarconfig="separate", byteorder=">")
    yield tiff(grey > 99, photometric="miniswhite", compression="zlib")
    yield tiff(np.stack([grey] * 3), photometric="minisblack", ome=True, metadata={"axes": "ZYX"})
    yield tiff(np.stack([grey] * 3), imagej=True, metadata={"axes": "ZYX"})


def csv_manifests() -> list[Bundle]:
    files = {"a.png": picture(), "b.png": picture()}
    return [{"m.csv": CSV.encode(), **files}, {"m.csv": b"path,label\na.png,normal\n"}]


def parquet_manifests() -> list[Bundle]:
    table = pa.table(
        {
            "path": ["a.png", "a.png", "b.png"],
            "source": ["lab"] * 3,
            "slide": [1.0, None, 2.0],
            "patient": pa.array(["p1", "p1", None]).dictionary_encode(),
            "x": [1.0, 2.0, None],
            "y": [1, 2, None],
            "label": ["normal", "burr", None],
            "cell_diameter": [4.0, 5.0, None],
            "note": ["a", "b", None],
        }
    )
    return [{"m.parquet": _parquet(table), "a.png": picture()}]


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def recipes() -> list[Bundle]:
    from reddino.pretraining.run.recipe import shipped_recipes

    return [{"r.yaml": path.read_bytes()} for path in shipped_recipes().values()]


def tasks() -> list[Bundle]:
    from reddino.evaluation.task_file import shipped_tasks

    classes = b"join: {round: [normal, target]}\ndrop: [debris]\nothers: keep\n"
    found = [{"t.yaml": path.read_bytes(), "c.yaml": classes} for path in shipped_tasks().values()]
    return [*found, {"t.yaml": b"tasks:\n  A: {data: m, classes: c.yaml, shots: [5]}\n", "c.yaml": classes}]


def tars() -> list[Bundle]:
    box = {"label": "normal", "x": 1, "y": 2, "w": 3, "h": 4, "source": "lab"}
    members = {
        "a.png": picture(),
        "a.json": json.dumps(box).encode(),
        "b.jpg": picture("JPEG"),
        "b.cls": b"burr",
        "d/c.png": picture(),
        "d/c.json": json.dumps([box, {**box, "x": 4}]).encode(),
    }
    found = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for name, content in members.items():
                entry = tarfile.TarInfo(name if form == tarfile.USTAR_FORMAT else f"{'long' * 30}/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        found.append({"s.tar": out.getvalue()})
    return found


def coco() -> list[Bundle]:
    content = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 9, "height": 7},
            {"id": 2, "file_name": "b.png", "width": 9, "height": 7},
        ],
        "categories": [{"id": 1, "name": "normal"}, {"id": 2, "name": "burr"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0, "area": 12},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0.5, 0, 2, 2]},
        ],
    }
    return [{"_annotations.coco.json": json.dumps(content).encode(), "a.png": picture(), "b.png": picture()}]


def voc() -> list[Bundle]:
    text = (
        "<annotation><folder>x</folder><filename>a.png</filename>"
        "<size><width>9</width><height>7</height><depth>3</depth></size>"
        "<object><name>normal</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin>"
        "<xmax>5</xmax><ymax>6</ymax></bndbox></object></annotation>"
    )
    return [
        {"a.xml": text.encode(), "a.png": picture()},
        {"Annotations/a.xml": text.encode(), "JPEGImages/a.png": picture()},
    ]


def yolo() -> list[Bundle]:
    lines = b"0 0.5 0.5 0.2 0.3\n1 0.25 0.25 0.1 0.1\n"
    files = {"images/a.png": picture(), "labels/a.txt": lines}
    return [
        {**files, "data.yaml": b"names: [normal, burr]\nnc: 2\ntrain: images\n"},
        {**files, "data.yaml": b"names: {0: normal, 1: burr}\n"},
        {**files, "classes.txt": b"normal\nburr\n"},
    ]


def chula() -> list[Bundle]:
    files = {"Dataset/1.png": picture(), "Label/1.txt": b"3 4 0\n5 2 11\n"}
    return [{**files, "same_field_groups.csv": b"group,path\ng1,Dataset/1.png\n"}]


def elsafty() -> list[Bundle]:
    return [
        {"01-Normal/Slide 1 (1,93,472).png": picture(), "sources.csv": b"slide,source\n1,a\n2,b\n"},
    ]


def _folder(make: Callable[[Path], object]) -> Bundle:
    with tempfile.TemporaryDirectory() as name:
        make(Path(name))
        return read_bundle(Path(name))


def model_folders() -> list[Bundle]:
    from reddino.networks.folder import ModelCard, save_model_folder
    from reddino.networks.training_images import SeenImages, write_seen

    card = ModelCard("vit_tiny_patch14", 28, depth=1, layer_scale=0.1)

    def make(folder: Path) -> None:
        save_model_folder(folder, card.create(), card, half=True)
        write_seen(folder, SeenImages(("a", "b"), np.arange(4, dtype=np.uint64).reshape(2, 2)))

    whole = _folder(make)
    # The network is described by config.json alone, as a stranger would send it; payloads lie beside.
    config = json.loads(whole["config.json"])
    config["model_args"]["checkpoint_path"] = "evil.pth"
    evil = {"config.json": json.dumps(config).encode(), "evil.pth": payload_pickles()[0]}
    card_file = json.loads(whole["reddino.json"])
    card_file["arguments"] = {"checkpoint_path": "evil.pth"}
    without = {name: whole[name] for name in ("config.json", "model.safetensors")}
    return [
        whole,
        without,
        {**without, **evil},
        {**whole, **evil, "reddino.json": json.dumps(card_file).encode()},
    ]


def weights_safetensors() -> list[Bundle]:
    import torch
    from safetensors.torch import save

    tensors = {"cls_token": torch.zeros(1, 1, 8), "blocks.0.norm1.weight": torch.ones(8)}
    return [{"w.safetensors": save(tensors)}, {"w.safetensors": model_folders()[0]["model.safetensors"]}]


def weights_pth() -> list[Bundle]:
    import torch

    tensors = {"cls_token": torch.zeros(1, 1, 8), "blocks.0.norm1.weight": torch.ones(8)}
    found: list[Bundle] = []
    for content in (tensors, {"teacher": {f"backbone.{key}": value for key, value in tensors.items()}}):
        for zipped in (True, False):
            out = io.BytesIO()
            torch.save(content, out, _use_new_zipfile_serialization=zipped)
            found.append({"w.pth": out.getvalue()})
    return [*found, *({"w.pth": payload} for payload in payload_pickles())]


def classifiers() -> list[Bundle]:
    from reddino.classification.classifier import Classifier, Head, save_classifier
    from reddino.views.spec import ViewSpec

    rng = np.random.default_rng(0)
    names = Head.__dataclass_fields__
    shapes = {"mean": (4,), "scale": (4,), "weights": (2, 4), "bias": (2,)}
    head = Head(**{name: np.abs(rng.normal(size=shapes[name])) + 0.1 for name in names})
    made = Classifier(
        "probe", ("a", "b"), "colour-histogram", "0" * 16, "cls", ViewSpec(kind="cells", output=28), {}, head
    )
    return [_folder(lambda folder: save_classifier(folder, made))]


def tables() -> list[Bundle]:
    from reddino.embedding.part_files import PartRecord
    from reddino.embedding.table_writer import TableWriter

    meta = {
        "model": "small", "weights_hash": "abc", "pooling": "cls", "per": "view",
        "view": {"kind": "cells", "side": 1.5}, "preprocessing": {"input_size": 224}, "precision": "fp32",
        "data": "d1", "plan": "p1", "dim": 3, "dtype": "float32", "part_rows": 4, "images": 4,
    }  # fmt: skip
    columns = pa.table({"path": ["a.png", "b.png", "c.png", "d.png"], "w": [1.0, None, 2.0, 3.0]})

    def make(folder: Path) -> None:
        writer = TableWriter(folder, meta, columns.schema)
        record = PartRecord(0, 4, 4, 4, {"burr": 1}, (("e.png", "empty"),), {0: "0" * 32})
        writer.write(record, columns, np.ones((4, 3), np.float32))
        (folder / "seen.json").write_text(json.dumps({"lab": {"status": "seen", "images": 1, "seen": 1}}))

    return [_folder(make)]


def packs() -> list[Bundle]:
    from reddino.pretraining.data.pack_writer import PackedImage, pack_images
    from reddino.smears.failures import Failures

    image = np.zeros((7, 9, 3), np.uint8)
    rows = [
        PackedImage({"path": f"{n}.png", "source": "lab"}, 4.0, np.array([[2.0, 3.0]]), lambda: image)
        for n in "ab"
    ]
    return [_folder(lambda folder: pack_images(rows, folder / "pack", failures=Failures()))]


def score_documents() -> list[Bundle]:
    mean = {"weighted_f1": 0.5, "balanced_accuracy": 0.5}
    scores = {"probe": {"mean": mean, "std": mean, "low": mean, "high": mean, "folds": [mean]}}
    result = {"task": "t", "model": "m", "scores": scores, "classes": ["a"], "groups": 2, "rows": 4}
    return [{"s.json": json.dumps({"results": [result]}).encode()}]


def run_folders() -> list[Bundle]:
    from reddino.pretraining.run.recipe import dump_recipe, read_recipe

    description = {
        "data": "0" * 16, "images": 2, "threads": 1, "torch": "2.8", "precision": "fp32", "processes": 1,
        "version": "0.1", "parameters": 10, "started": "2026-01-01",
    }  # fmt: skip
    metrics = "".join(
        json.dumps({"step": step, "loss": 1.0, "lr": 1e-3, "dino": 1.0, "ibot": 1.0}) + "\n"
        for step in (1, 2)
    )
    recipe = dump_recipe(read_recipe("vit-tiny-scratch"))
    return [
        {
            "run.json": json.dumps(description).encode(),
            "recipe.yaml": recipe.encode(),
            "metrics.jsonl": metrics.encode(),
        }
    ]


def checkpoints() -> list[Bundle]:
    """Checkpoints as one process and as several write them, and one with code in a tensor's place."""
    from fuzz_networks import small_networks
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    from reddino.pretraining.run.checkpoint import save_checkpoint

    networks, optimizer = small_networks()
    one = _folder(lambda folder: save_checkpoint(folder, 3, networks, optimizer, keep=1))

    def several(content: dict[str, object]) -> Bundle:
        def make(folder: Path) -> None:
            save(content, storage_writer=FileSystemWriter(folder / "step-000000003"), no_dist=True)

        return _folder(make)

    tensors: dict[str, object] = {f"networks.{name}": value for name, value in networks.state_dict().items()}
    code = {**tensors, next(iter(tensors)): CodeInPlace()}
    return [one, several(tensors), several(code)]


class CodeInPlace:
    """Leaves the witness when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({WITNESS!r}, 'w').close()",)
