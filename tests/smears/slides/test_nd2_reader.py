"""ND2 files, of which no program at hand writes one: what the library `nd2` returns is laid out right."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from slide_files import smear

from reddino.smears.decode import decode_image, read_header
from reddino.smears.failures import ImageError
from reddino.smears.opening import open_data

SMEAR = smear(60, 40)


class FakeFile:
    """An `nd2.ND2File` of frames by number, each as `read_frame` returns it."""

    sizes: Mapping[str, int] = MappingProxyType({})
    frames: Any = None
    names: tuple[str, ...] = ()
    flags: tuple[str, ...] = ("brightfield",)
    emission: float | None = None
    bits = 8
    is_legacy = False

    def __init__(self, path: str) -> None:
        self.path = path
        self.dtype = np.dtype(np.asarray(self.frames).dtype)
        self.attributes = SimpleNamespace(bitsPerComponentSignificant=self.bits)
        shown = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
        channels = [
            SimpleNamespace(
                channel=SimpleNamespace(
                    name=name,
                    color=SimpleNamespace(r=shown[at % 3][0], g=shown[at % 3][1], b=shown[at % 3][2]),
                    emissionLambdaNm=self.emission,
                ),
                microscope=SimpleNamespace(objectiveMagnification=100.0, modalityFlags=list(self.flags)),
            )
            for at, name in enumerate(self.names)
        ]
        self.metadata = SimpleNamespace(channels=channels)

    def voxel_size(self) -> Any:
        return SimpleNamespace(x=0.065, y=0.065, z=1.0)

    def read_frame(self, number: int) -> Any:
        return np.asarray(self.frames)[number]

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def nd2_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path that `nd2` opens as a `FakeFile`."""
    module = ModuleType("nd2")
    module.ND2File = FakeFile  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nd2", module)
    (tmp_path / "a.nd2").write_bytes(b"nd2")
    return tmp_path / "a.nd2"


def holds(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    for name, value in values.items():
        monkeypatch.setattr(FakeFile, name, value)


def test_nd2__colours_of_positions_and_planes(nd2_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [smear(60, 40, seed) for seed in range(6)]  # position by position, plane by plane
    holds(
        monkeypatch, sizes={"P": 2, "Z": 3, "Y": 40, "X": 60, "S": 3}, frames=frames, names=("Brightfield",)
    )
    assert read_header(f"{nd2_file}::s1").planes == 3
    np.testing.assert_array_equal(decode_image(f"{nd2_file}::s1", plane=3), frames[5][:, :, ::-1])
    monkeypatch.setattr(FakeFile, "is_legacy", True)  # of JPEG 2000 pictures, which have red first
    (nd2_file.parent / "b.nd2").write_bytes(b"legacy")
    np.testing.assert_array_equal(decode_image(f"{nd2_file.parent / 'b.nd2'}::s1", plane=3), frames[5])
    manifest = open_data(nd2_file)
    assert manifest.strings("path") == ["a.nd2::s0", "a.nd2::s1"]
    assert manifest.strings("um_per_px") == ["0.065", "0.065"]


def test_nd2__grey_channels_that_are_called_by_their_colours(
    nd2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [SMEAR.transpose(2, 0, 1).astype(np.uint16) * 16]
    sizes = {"C": 3, "Y": 40, "X": 60}
    holds(monkeypatch, sizes=sizes, frames=frames, names=("Red", "Green", "Blue"), bits=12)
    expected = np.rint(SMEAR.astype(np.float32) * 16 * np.float32(255 / 4095))
    np.testing.assert_array_equal(decode_image(nd2_file), expected)


def test_nd2__fluorescence_is_refused_or_taken_as_grey(
    nd2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"Y": 40, "X": 60}
    holds(monkeypatch, sizes=sizes, frames=[SMEAR[:, :, 0]], names=("FITC",), flags=("fluorescence",))
    with pytest.raises(ImageError, match=r"does not call red, green and blue \(FITC\)"):
        decode_image(nd2_file)
    np.testing.assert_array_equal(decode_image(nd2_file, grey_channel=1)[:, :, 2], SMEAR[:, :, 0])


def test_nd2__one_channel_of_transmitted_light_is_grey(
    nd2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(monkeypatch, sizes={"Y": 40, "X": 60}, frames=[SMEAR[:, :, 0]], names=("BF",), emission=520.0)
    np.testing.assert_array_equal(decode_image(nd2_file)[:, :, 1], SMEAR[:, :, 0])


def test_nd2__frames_that_are_not_all_there_are_refused(
    nd2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library makes zeros of them."""
    holds(monkeypatch, sizes={"Y": 40, "X": 60, "S": 3}, frames=[SMEAR], names=("BF",))
    usual = FakeFile.__init__
    bomb = b"12345678" + zlib.compress(bytes(10**7))
    cases: list[tuple[dict[int, int], str | None, str]] = [
        ({}, None, "frame 1 is missing"),
        ({0: 4}, None, "frame 1 is cut"),
        ({0: 4}, "lossless", "unpacks to more than its pixels"),
    ]
    for number, (offsets, compression, words) in enumerate(cases):

        def start(self: Any, path: str, offsets: Any = offsets, compression: Any = compression) -> None:
            usual(self, path)
            self._rdr = SimpleNamespace(_frame_offsets=offsets, _load_chunk=lambda name: bomb)
            sizes = {"heightPx": 40, "widthPx": 60, "componentCount": 3, "compressionType": compression}
            self.attributes = SimpleNamespace(bitsPerComponentSignificant=8, **sizes)

        monkeypatch.setattr(FakeFile, "__init__", start)
        path = nd2_file.parent / f"{number}.nd2"
        path.write_bytes(b"nd2")
        with pytest.raises(ImageError, match=words):
            decode_image(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sizes": {"T": 5, "Y": 40, "X": 60, "S": 3}}, "holds 5 points in time"),
        ({"frames": [SMEAR.astype(np.float32)]}, "samples of kind float32"),
        ({"frames": [SMEAR[:30]]}, "a frame of 60 x 30 pixels"),
        ({"sizes": {"Y": 40_000, "X": 60_000, "S": 3}}, "is too large"),
    ],
)
def test_nd2__what_is_not_read_is_refused(
    nd2_file: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], words: str
) -> None:
    usual: dict[str, Any] = {"sizes": {"Y": 40, "X": 60, "S": 3}, "frames": [SMEAR], "names": ("BF",)}
    holds(monkeypatch, **(usual | values))
    with pytest.raises(ImageError, match=words):
        decode_image(nd2_file)
