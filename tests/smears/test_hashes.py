"""Hashes: the same picture stored again is found, another one is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from reddino.smears.failures import Failures
from reddino.smears.hashes import hash_images, image_hash, near_duplicates
from reddino.smears.readers import read_folder
from reddino.synthetic.write import write_smears


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("smears")
    write_smears(folder, sources=["lilac", "night"], patients_per_source=3, fields_per_patient=1, seed=0)
    paths = [path for path in sorted(folder.rglob("*.*")) if path.suffix in (".png", ".jpg")]
    images = [image for image in (cv2.imread(str(path)) for path in paths) if image is not None]
    assert len(images) == len(paths)
    return [image[..., ::-1] for image in images]


def stack(images: list[np.ndarray]) -> np.ndarray:
    return np.stack([image_hash(np.ascontiguousarray(image)) for image in images])


def test_near_duplicates__finds_a_picture_that_was_shrunk_and_stored_again(fields: list[np.ndarray]) -> None:
    small = [cv2.resize(image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA) for image in fields]
    stored = [np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [1, 80])[1], 1)) for image in small]
    assert near_duplicates(stack(stored), stack(fields)).all()


def test_near_duplicates__separates_fields(fields: list[np.ndarray]) -> None:
    assert len(fields) == 6
    hashes = stack(fields)
    for i in range(len(fields)):
        assert not near_duplicates(hashes[i : i + 1], np.delete(hashes, i, axis=0)).any()


def test_near_duplicates__equals_counting_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    known = draw.integers(2**63, size=(40, 2), dtype=np.uint64)
    flips = np.array(
        [sum(1 << int(b) for b in draw.choice(63, size=i, replace=False)) for i in range(21)], np.uint64
    )
    asked = known[:21].copy()
    asked[:, 1] ^= flips
    monkeypatch.setattr("reddino.smears.hashes._PAIRS", 100)
    expected = [
        any(sum(bin(int(a ^ b)).count("1") for a, b in zip(one, other, strict=True)) <= 10 for other in known)
        for one in asked
    ]
    assert near_duplicates(asked, known).tolist() == expected == [i <= 10 for i in range(21)]
    assert not near_duplicates(asked, known[:0]).any()


def test_hash_images__passes_over_what_cannot_be_read(tmp_path: Path, fields: list[np.ndarray]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), fields[0][..., ::-1])
    (tmp_path / "b.png").write_bytes(b"no image")
    failures = Failures()
    sources, hashes = hash_images(read_folder(tmp_path, source="lab"), failures)
    assert (sources, failures.count) == (["lab"], 1)
    assert np.array_equal(hashes[0], image_hash(np.ascontiguousarray(fields[0])))
