"""Parquet files of ours have checksums of their pages, and a flipped bit is found when they are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.foundations.parquet import open_parquet, parquet_writer, write_parquet
from reddino.networks.training_images import SEEN, SeenImages, read_seen, write_seen
from reddino.smears.manifest import Manifest, read_manifest, write_manifest

ROWS = 4000


def flip(path: Path, place: int, bit: int = 3) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(bytes(content))


def middle_of_the_pages(path: Path) -> int:
    with open_parquet(path) as file:
        chunk = file.metadata.row_group(0).column(0)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        return int(start + chunk.total_compressed_size * 3 // 4)


@pytest.mark.parametrize("several", [False, True])
def test_open_parquet__finds_a_flipped_bit(tmp_path: Path, several: bool) -> None:
    table = pa.table({"a": np.random.default_rng(0).normal(size=ROWS)})
    if several:
        with parquet_writer(tmp_path / "t.parquet", table.schema) as writer:
            writer.write_table(table)
    else:
        write_parquet(table, tmp_path / "t.parquet")
    with open_parquet(tmp_path / "t.parquet") as file:
        assert file.read().equals(table)
    flip(tmp_path / "t.parquet", middle_of_the_pages(tmp_path / "t.parquet"))
    with open_parquet(tmp_path / "t.parquet") as file, pytest.raises(OSError, match="CRC checksum"):
        file.read()


def test_read_manifest__finds_a_flipped_bit(tmp_path: Path) -> None:
    paths = [f"{number * 7919 % 10007}.png" for number in range(ROWS)]
    write_manifest(Manifest(pa.table({"path": paths}), tmp_path), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").strings("path") == paths
    flip(tmp_path / "m.parquet", middle_of_the_pages(tmp_path / "m.parquet"))
    with pytest.raises(RedDinoError, match=r"m\.parquet cannot be read.*CRC"):
        read_manifest(tmp_path / "m.parquet")


def test_read_seen__finds_a_flipped_bit(tmp_path: Path) -> None:
    hashes = np.random.default_rng(0).integers(2**63, size=(ROWS, 2)).astype(np.uint64)
    write_seen(tmp_path, SeenImages(("lab",) * ROWS, hashes))
    path = tmp_path / SEEN
    flip(path, path.stat().st_size // 2)
    with pytest.raises(RedDinoError, match=r"cannot be read as a list of seen images: .*CRC"):
        read_seen(tmp_path)


def test_a_flipped_bit_anywhere__never_ends_the_process(tmp_path: Path) -> None:
    # Arrow ends it where a column is described as one that lacks no values, beside counts of those it lacks.
    table = pa.table({"path": ["a.png", None, "b.png"], "x": [0.5, None, 1.5]})
    path = tmp_path / "m.parquet"
    write_parquet(table, path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom reddino.foundations.errors import RedDinoError\n"
        "from reddino.foundations.parquet import read_parquet_file, reading_parquet\n"
        "path, whole = Path(sys.argv[1]), Path(sys.argv[1]).read_bytes()\n"
        # The columns are described after the pages.
        "for bit in range(len(whole) * 8 // 3, len(whole) * 8):\n"
        "    flipped = bytearray(whole)\n"
        "    flipped[bit // 8] ^= 1 << bit % 8\n"
        "    path.write_bytes(flipped)\n"
        "    try:\n"
        "        with reading_parquet(path, 'as a table'):\n"
        "            read_parquet_file(path)\n"
        "    except RedDinoError:\n        pass\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-500:]
