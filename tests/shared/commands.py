"""Every command that writes something, on inputs so small that it takes about a second."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from verb_server import Verbs

from reddino.foundations.provenance import hash_bytes
from reddino.networks.create_backbone import initialise
from reddino.networks.folder import ModelCard, save_model_folder

#: The recipe vit-tiny-scratch in miniature.
MICRO = (
    "model.depth=1", "data.patch_side=40", "data.patch_unit=px", "data.max_cell_diameter=null",
    "crops.global_size=56", "crops.local_size=28", "crops.local_count=2",
    "augmentation.operations=[Posterize, InvertImg]", "augmentation.choose=1", "head.hidden=32",
    "head.bottleneck=16", "head.prototypes=16", "run.samples=16", "run.batch=4", "run.precision=fp32",
    "runtime.workers=0", "runtime.threads=1", "online.every=0", "runtime.tensorboard=false",
    "runtime.checkpoint_every=1", "runtime.keep_checkpoints=2",
)  # fmt: skip

CELLS = "inputs/smears/manifest.csv"


@dataclass(frozen=True)
class Command:
    """A command whose results all lie in the folder `out`.

    Attributes:
        name: of the test.
        tokens: of the command line.
        varying: suffixes of files whose bytes tell the time: they are compared by name alone.
    """

    name: str
    tokens: tuple[str, ...]
    varying: tuple[str, ...] = ()


COMMANDS = (
    Command("manifest", ("manifest", "folder", "inputs/smears", "--out", "out/m.csv")),
    Command("synthesise", ("synthesise", "out/s", "--sources", "lilac", "--patients", "2", "--fields", "1")),
    Command("cells", ("cells", "inputs/smears", "--out", "out/c.parquet")),
    Command("pack", ("data", "pack", CELLS, "--out", "out/p"), (".npz",)),
    Command(
        "pretrain",
        ("pretrain", "vit-tiny-scratch", "--data", CELLS, "--out", "out/r", "--set", *MICRO),
        (".pt", ".npz", "metrics.jsonl"),
    ),
    Command("embed", ("embed", CELLS, "--model", "colour-histogram", "--out", "out/t")),
    Command("convert", ("convert", "inputs/table", "out/t.csv")),
    Command(
        "evaluate", ("evaluate", "inputs/table", "--folds", "2", "--out", "out/e.json", "--figures", "out/f")
    ),
    Command("batch", ("batch", "inputs/table", "--out", "out/b.json")),
    Command("fit", ("fit", "inputs/table", "--folds", "2", "--out", "out/c")),
    Command(
        "fit-smears",
        ("fit", CELLS, "--model", "colour-histogram", "--folds", "2", "--out", "out/c"),
    ),
    Command(
        "fit-fine-tune",
        (
            *("fit", CELLS, "--model", "untrained:test_efficientnet", "--fine-tune", "--epochs", "1"),
            *("--folds", "2", "--out", "out/c"),
        ),
    ),
    Command("labels", ("labels", "inputs/review.sqlite", "--out", "out/l.csv", "--kappas", "out/k.csv")),
    Command("predict", ("predict", "inputs/classifier", CELLS, "--out", "out/p.csv", "--overlays", "out/o")),
    Command(
        "slides",
        (
            *("slides", "inputs/predictions.csv", "--classifier", "inputs/classifier", "--images", CELLS),
            *("--fhir", "--out", "out/s"),
        ),
    ),
    Command(
        "explore",
        (
            "explore",
            "inputs/table",
            "--images",
            CELLS,
            "--method",
            "pca",
            "--formats",
            "png",
            "--out",
            "out/x",
        ),
    ),
    Command(
        "patches", ("patches", "inputs/smears", "--model", "inputs/model", "--fields", "1", "--out", "out/v")
    ),
    Command("report", ("report", "inputs/table", "--method", "pca", "--out", "out/r.html")),
    Command("table-filter", ("table", "filter", "inputs/table", "--where", "source=a", "--out", "out/t")),
    Command("table-sample", ("table", "sample", "inputs/table", "--rows", "9", "--out", "out/t")),
    Command("table-compact", ("table", "compact", "inputs/table", "--out", "out/t")),
    Command(
        "table-merge",
        ("table", "merge", "inputs/table", "inputs/table", "--doubles", "drop", "--out", "out/t"),
    ),
    Command(
        "search",
        (
            *("search", "inputs/table", "--like", "3", "--top", "5", "--images", CELLS, "--sheet"),
            *("--out", "out/h.csv"),
        ),
    ),
    Command(
        "search-index",
        ("search", "inputs/table", "--like", "3", "--index", "out/i", "--out", "out/h.csv"),
        ("index.json", ".faiss"),
    ),
    Command("export-hub", ("export", "inputs/model", "out/h", "--format", "hub")),
    Command(
        "export-openvino",
        ("export", "inputs/model", "out/i", "--format", "openvino"),
        (".xml", ".bin", ".json"),
    ),
)


def make_inputs(folder: Path, verbs: Verbs) -> None:
    """Smears of two sources with cells of two classes, a table of them, a classifier, and a network."""
    _draw(folder / "inputs" / "smears")
    card = ModelCard("vit_tiny_patch14", 42, depth=1, layer_scale=1.0)
    backbone = card.create()
    initialise(backbone, 0)
    save_model_folder(folder / "inputs" / "model", backbone, card)
    for tokens in (
        ("embed", CELLS, "--model", "colour-histogram", "--out", "inputs/table"),
        ("fit", "inputs/table", "--folds", "2", "--out", "inputs/classifier"),
        ("predict", "inputs/classifier", CELLS, "--out", "inputs/predictions.csv"),
        (
            *("labels", "inputs/review.sqlite", "--table", "inputs/table", "--images", CELLS),
            *("--add", CELLS, "--reader", "Ada"),
        ),
    ):
        ended = verbs.run(tokens, folder)
        assert ended.code == 0, ended.output


def _draw(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = []
    for source, shade in (("a", 235), ("b", 205)):
        for patient in range(4):
            image = rng.normal(shade, 4, (130, 130, 3))
            for number, (y, x) in enumerate((y, x) for y in (25, 65, 105) for x in (25, 65, 105)):
                colour = (60.0, 60.0, 170.0) if number % 2 else (130.0, 110.0, 180.0)
                cv2.circle(image, (x, y), 12, colour, -1)
                label = "dark" if number % 2 else "pale"
                name = f"{source}{patient}"
                rows.append(
                    [f"{name}.png", source, f"s{name}", f"p{name}", x - 12, y - 12, 24, 24, label, 24]
                )
            cv2.imwrite(str(folder / f"{source}{patient}.png"), np.clip(image, 0, 255).astype(np.uint8))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "source", "slide", "patient", "x", "y", "w", "h", "label", "cell_diameter"))
        writer.writerows(rows)


def contents(command: Command, folder: Path) -> dict[str, str]:
    """Every file and folder in `folder`, with a hash of the bytes that do not tell the time."""
    return {
        path.relative_to(folder).as_posix(): ""
        if path.is_dir() or path.name.endswith(command.varying or ("\0",))
        else hash_bytes(path.read_bytes())
        for path in folder.rglob("*")
    }
