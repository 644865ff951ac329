"""A full disk, as each library that writes files reports it, becomes one sentence."""

from __future__ import annotations

import errno
import os
import resource
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import save_file

from reddino.foundations.atomic import atomic_path
from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import no_space, writing

NUMBERS = np.random.default_rng(0).random(200_000)
SIZE = 100_000


@pytest.fixture
def _small_files() -> Iterator[None]:
    """No file may grow past `SIZE`: what a full disk looks like to the library that writes one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", NUMBERS.tobytes())


def _figure(kind: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        figure = Figure()
        figure.add_subplot().imshow(NUMBERS.reshape(400, 500))
        figure.savefig(path, format=kind, dpi=600)

    return write


def _image(path: Path) -> None:
    Image.fromarray((NUMBERS.reshape(400, 500) * 255).astype(np.uint8)).save(path, "PNG")


def _h5(path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["a"] = NUMBERS


WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: path.write_bytes(NUMBERS.tobytes()),
    "numpy": lambda path: np.save(path.open("wb"), NUMBERS),
    "torch": lambda path: torch.save(torch.from_numpy(NUMBERS), path),
    "safetensors": lambda path: save_file({"a": torch.from_numpy(NUMBERS)}, path),
    "parquet": lambda path: pq.write_table(pa.table({"a": NUMBERS}), path),
    "csv": lambda path: pacsv.write_csv(pa.table({"a": NUMBERS}), path),
    "zip": _zip,
    "png": _image,
    "figure as pdf": _figure("pdf"),
    "figure as svg": _figure("svg"),
    "hdf5": _h5,
}


@pytest.mark.usefixtures("_small_files")
@pytest.mark.parametrize("library", WRITERS)
def test_full_disk__of_every_library_is_one_sentence_and_leaves_nothing(tmp_path: Path, library: str) -> None:
    with (
        pytest.raises(
            RedDinoError, match=r"a\.out could not be written \(.*free some space and run the same"
        ),
        atomic_path(tmp_path / "a.out") as partial,
    ):
        WRITERS[library](partial)
    assert list(tmp_path.iterdir()) == []


def test_full_disk__names_the_result_and_no_draft(tmp_path: Path) -> None:
    with (
        pytest.raises(RedDinoError, match=rf"^{tmp_path} could not be written \(No space left"),
        writing(tmp_path / ".export.01234567.partial" / "finished" / "model"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_no_space__is_found_behind_other_errors() -> None:
    try:
        try:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        except OSError as error:
            raise RuntimeError("a worker failed") from error
    except RuntimeError as error:
        assert no_space(error) == os.strerror(errno.EDQUOT)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("(os error 2)"),
        KeyboardInterrupt("No space left on device"),
    ],
)
def test_no_space__is_nothing_else(error: BaseException) -> None:
    assert no_space(error) is None


def test_writing__leaves_other_errors_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path / "a"):
        (tmp_path / "absent").read_bytes()
