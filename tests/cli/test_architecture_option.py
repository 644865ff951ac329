"""The architecture of a plain state dict is named the same way in every command that opens a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from reddino import cli
from reddino.embedding.table import read_embeddings
from reddino.synthetic.write import write_smears

NAME = "test_efficientnet"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smears of one source, and weights that a training script saved."""
    folder = tmp_path_factory.mktemp("architecture")
    write_smears(folder / "s", sources=("lilac",), patients_per_source=4, fields_per_patient=1, field_um=60)
    torch.manual_seed(0)
    torch.save(timm.create_model(NAME, pretrained=False).state_dict(), folder / "w.pth")
    return folder


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


def test_architecture__is_an_option_of_every_command_that_opens_a_model(work: Path, tmp_path: Path) -> None:
    manifest, option = work / "s" / "manifest.csv", ("--architecture", NAME, "--device", "cpu")
    weights = ("--model", work / "w.pth", *option)
    assert run("embed", manifest, *weights, "--out", tmp_path / "t", "--image-size", "64") == 0
    named = ("--model", f"{NAME}@{work / 'w.pth'}", "--device", "cpu")
    assert run("embed", manifest, *named, "--out", tmp_path / "n", "--image-size", "64") == 0
    first, second = read_embeddings(tmp_path / "t"), read_embeddings(tmp_path / "n")
    assert np.array_equal(first.vectors, second.vectors)
    # Two classes that every fold holds.
    table = ("--label", "shape", "--folds", "2", "--image-size", "64", "--out", tmp_path / "c")
    lines = manifest.read_text("utf-8-sig").splitlines()
    rows = [f"{lines[0]},shape", *(f"{line},{'ab'[i % 2]}" for i, line in enumerate(lines[1:]))]
    (work / "s" / "halves.csv").write_text("\n".join(rows))
    assert run("fit", work / "s" / "halves.csv", *weights, *table) == 0
    assert (
        json.loads((tmp_path / "c" / "classifier.json").read_text())["weights_hash"]
        == first.meta["weights_hash"]
    )
    moved = ("--out", tmp_path / "p.csv", "--no-kinds")
    assert run("predict", tmp_path / "c", manifest, *weights, *moved) == 0
    assert run("patches", manifest, *weights, "--fields", "1", "--out", tmp_path / "patches") == 0
    scored = ("--data", work / "s" / "halves.csv", "--label", "shape", "--folds", "2", "--image-size", "64")
    models = ("--models", f"ours={work / 'w.pth'}", *option, "--tables", tmp_path / "tables")
    assert run("evaluate", *models, *scored, "--out", tmp_path / "e.json") == 0
    assert json.loads((tmp_path / "e.json").read_text())["results"][0]["model"] == "ours"


@pytest.mark.parametrize(
    "words",
    [
        ("fit", "s/manifest.csv", "--out", "x"),
        ("patches", "s/manifest.csv", "--out", "x"),
        ("embed", "s/manifest.csv", "--out", "x"),
        ("evaluate", "--models", "reddino-tiny", "--data", "s/manifest.csv"),
        ("predict", "c", "s/manifest.csv", "--out", "x.csv"),
    ],
)
def test_architecture__without_a_weights_file_is_refused(
    work: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(work)
    assert run(*words, "--architecture", NAME) == 1
    assert f"the architecture {NAME}" in " ".join(capsys.readouterr().err.split())
