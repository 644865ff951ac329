"""A folder in which one file in twenty is broken: the pass ends and lists exactly those, with the reasons."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from reddino.embedding.table import read_embeddings

WHOLE = 171
#: Path in the folder and what its reason must say.
BROKEN = {
    "bomb.png": "too large: 30000 x 30000 pixels, 200 million are allowed",
    "closed": "the folder cannot be listed",
    "empty.png": "the file is empty",
    "forbidden.png": "no permission to read it",
    "half.jpg": "truncated",
    "half.png": "truncated",
    "link.png": "the file does not exist",
    "sub/text.png": "is not a PNG, JPEG, BMP, TIFF or WebP image",
    "x.png": "is a folder",
}

# Root may read everything, so the pass runs as nobody where the tests run as root. What it needs is loaded
# before: nobody may not be allowed to read the checkout.
PASS = """
import json, os, sys
from pathlib import Path
import reddino
import reddino
from reddino.smears.failures import Failures
folder = Path(sys.argv[1])
reddino.embed(folder / "warm", "colour-histogram", folder / "warm-table", image_size=16)
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
failures = Failures()
report = reddino.embed(folder / "images", "colour-histogram", folder / "t", image_size=16, failures=failures)
print(json.dumps([report.rows, report.failed, report.images, list(failures)]))
"""


def png_chunk(kind: bytes, content: bytes) -> bytes:
    length, check = len(content).to_bytes(4, "big"), zlib.crc32(kind + content).to_bytes(4, "big")
    return length + kind + content + check


def bomb() -> bytes:
    """A valid black PNG of 30,000 x 30,000 pixels of one bit, in about a hundred kilobytes."""
    side = (30_000).to_bytes(4, "big")
    line = bytes(1 + 30_000 // 8)
    squeeze = zlib.compressobj(9)
    packed = b"".join(squeeze.compress(line * 1000) for _ in range(30)) + squeeze.flush()
    header = png_chunk(b"IHDR", side + side + b"\x01\x00\x00\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not below pytest's own folder, which only its user may enter."""
    made = Path(tempfile.mkdtemp(prefix="reddino-broken-"))
    made.chmod(0o777)
    yield made
    (made / "images" / "closed").chmod(0o700)
    shutil.rmtree(made)


def draw_images(images: Path) -> None:
    (images / "sub").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for i in range(WHOLE):
        name = f"{'sub/' if i % 3 else ''}image{i:03d}{['.png', '.jpg', '.tif', '.bmp'][i % 4]}"
        cv2.imwrite(str(images / name), draw.integers(0, 256, (24, 30, 3), dtype=np.uint8))
    for broken, whole in (("half.png", "image000.png"), ("half.jpg", "image009.jpg")):
        content = (images / whole).read_bytes()
        (images / broken).write_bytes(content[: len(content) // 2])
    (images / "empty.png").write_bytes(b"")
    (images / "sub/text.png").write_text("This is a text that somebody has renamed.\n")
    (images / "bomb.png").write_bytes(bomb())
    (images / "link.png").symlink_to("nowhere.png")
    (images / "x.png").mkdir()
    shutil.copy(images / "image000.png", images / "forbidden.png")
    (images / "forbidden.png").chmod(0)
    (images / "closed").mkdir()
    shutil.copy(images / "image000.png", images / "closed")
    (images / "closed").chmod(0)
    (images / "notes.txt").write_text("not an image by its name, so nobody expects it to be one")


def test_embed__a_folder_with_one_broken_file_in_twenty_lists_exactly_those(folder: Path) -> None:
    draw_images(folder / "images")
    assert len((folder / "images" / "bomb.png").read_bytes()) < 200_000
    (folder / "warm").mkdir()
    shutil.copy(folder / "images" / "image000.png", folder / "warm")
    done = subprocess.run(
        [sys.executable, "-c", PASS, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    rows, failed, images, failures = json.loads(done.stdout)
    assert len(BROKEN) / (WHOLE + len(BROKEN)) == 0.05
    # The two folders are not among the images that were to be opened.
    assert (rows, failed, images) == (WHOLE, len(BROKEN), WHOLE + len(BROKEN) - 2)
    with (folder / "t" / "failures.csv").open(newline="") as file:
        listed = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert listed.keys() == BROKEN.keys()
    for path, reason in listed.items():
        assert BROKEN[path] in reason, path
    assert dict(failures) == listed
    paths = read_embeddings(folder / "t").strings("path")
    assert len(set(paths)) == len(paths) == WHOLE
    assert not set(paths) & BROKEN.keys()


def test_embed__a_folder_of_broken_files_alone_says_so(tmp_path: Path) -> None:
    import reddino
    from reddino.foundations.errors import RedDinoError

    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "empty.png").write_bytes(b"")
    with pytest.raises(RedDinoError, match=r"no image could be embedded: .*empty\.png \(the file is empty\)"):
        reddino.embed(tmp_path / "images", "colour-histogram", tmp_path / "t", image_size=16)
    assert (tmp_path / "t" / "failures.csv").read_text() == "path,reason\nempty.png,the file is empty\n"
