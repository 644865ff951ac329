"""What Embedding Atlas is given: the map, the rows, their pictures, and loopback alone."""

from __future__ import annotations

import io
from importlib import util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from row_colours import colour_of

from reddino.cli import main
from reddino.embedding.embeddings import Embeddings
from reddino.figures.atlas import atlas_command
from reddino.figures.overview import Overview


def test_save_atlas_data__holds_every_row_with_its_place_and_picture(
    embeddings: Embeddings, tmp_path: Path
) -> None:
    overview = Overview.of(embeddings, images=tmp_path / "images", method="pca")
    overview.save_atlas_data(tmp_path / "atlas.parquet")
    rows = pq.read_table(tmp_path / "atlas.parquet")
    assert rows.column("map_y").to_pylist() == pytest.approx(overview.xy[:, 1].tolist(), abs=1e-5)
    for row in (0, 30, 47):
        file = rows.column("image")[row].as_py()["bytes"]
        pixels = np.asarray(Image.open(io.BytesIO(file)))
        assert pixels[32, 32].tolist() == pytest.approx(colour_of(row), abs=4)


def test_atlas_command__serves_on_loopback_and_computes_nothing() -> None:
    command = atlas_command(Path("atlas.parquet"), images=True, port=6000)
    options = dict(pairwise(command))
    assert (options["--host"], options["--port"]) == ("127.0.0.1", "6000")
    assert (options["--x"], options["--y"], options["--image"]) == ("map_x", "map_y", "image")
    assert "--disable-projection" in command
    assert "--image" not in atlas_command(Path("atlas.parquet"), images=False)


@pytest.mark.skipif(util.find_spec("embedding_atlas") is not None, reason="embedding-atlas is installed")
def test_explore_serve__without_it_says_what_to_install_before_any_work(
    table_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", str(table_folder), "--out", str(table_folder / "figures"), "--serve"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "embedding-atlas is not installed: pip install 'reddino[atlas]'" in said
    assert not (table_folder / "figures").exists()
