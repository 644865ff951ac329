"""Copies: the same picture stored again, scaled, turned or taken twice is found; similar ones are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from reddino.checks.copies import picture_sides
from reddino.checks.inspection import inspect_pictures
from reddino.smears.copies import candidates, find_copies, middle_agreement
from reddino.smears.failures import Failures
from reddino.smears.findings import Finding
from reddino.smears.hashes import image_hash
from reddino.smears.manifest import Manifest
from reddino.smears.sketches import grey_square, orientations, sketch_from_hex, sketch_of

Picture = np.ndarray


def field(seed: int, height: int = 240, width: int = 320) -> Picture:
    """A bright field with forty dark discs."""
    draw = np.random.default_rng(seed)
    image = np.full((height, width, 3), (214, 208, 225), np.uint8)
    for _ in range(40):
        x, y, radius = int(draw.integers(width)), int(draw.integers(height)), int(draw.integers(9, 15))
        cv2.circle(image, (x, y), radius, tuple(int(v) for v in draw.integers(90, 180, 3)), -1)
        cv2.circle(image, (x, y), radius // 3, (200, 190, 200), -1)
    return np.clip(image + draw.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def cell(seed: int, side: int = 80) -> Picture:
    """A crop of one round cell that was cut out along its outline."""
    draw = np.random.default_rng(seed)
    image = np.zeros((side, side, 3), np.uint8)
    cv2.circle(image, (side // 2, side // 2), side // 2 - 6 + int(draw.integers(3)), (190, 150, 170), -1)
    cv2.circle(image, (side // 2, side // 2), side // 6, (210, 190, 205), -1)
    noise = draw.normal(0, 4, image.shape) * (image > 0)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def stored(image: Picture, quality: int = 60) -> Picture:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [1, quality])[1], 1))


def sets_of(pictures: list[Picture]) -> list[tuple[int, ...]]:
    return find_copies([sketch_of(one) for one in pictures], lambda number: grey_square(pictures[number]))


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "the same": lambda image: image.copy(),
    "stored anew": stored,
    "smaller": lambda image: cv2.resize(image, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, None, fx=1.6, fy=1.6),
    "stretched to a square": lambda image: cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA),
    "brighter": lambda image: np.clip(image * 1.1 + 8, 0, 255).astype(np.uint8),
    "taken a pixel aside": lambda image: np.roll(image, (2, 3), (0, 1)),
    "turned": lambda image: np.rot90(image).copy(),
    "mirrored and stored anew": lambda image: stored(np.ascontiguousarray(image[:, ::-1])),
}


@pytest.mark.parametrize("how", COPIES)
def test_find_copies__finds_a_copy_of_a_field(how: str) -> None:
    pictures = [field(seed) for seed in range(6)]
    pictures.insert(4, COPIES[how](pictures[1]))
    assert sets_of(pictures) == [(1, 4)]


def test_find_copies__fields_of_their_own_are_none() -> None:
    assert sets_of([field(seed) for seed in range(40)]) == []


def test_find_copies__an_eyepiece_or_an_empty_field_proves_nothing() -> None:
    mask = np.zeros((240, 320, 1), np.uint8)
    cv2.circle(mask, (160, 120), 118, 1, -1)
    draw = np.random.default_rng(0)
    empty = [
        np.clip(np.full((240, 320, 3), 220) + draw.normal(0, 2, (240, 320, 3)), 0, 255).astype(np.uint8)
        for _ in range(12)
    ]
    assert sets_of([np.maximum(field(seed) * mask, 1) for seed in range(12)]) == []
    assert sets_of([stored(one) for one in empty]) == []
    assert sets_of([np.full((240, 320, 3), 255, np.uint8) for _ in range(5)]) == []


def test_find_copies__crops_of_cells_are_copies_only_with_equal_pixels() -> None:
    crops = [cell(seed) for seed in range(30)]
    assert min(np.bitwise_count(image_hash(crops[0]) ^ image_hash(one)).sum() for one in crops[1:]) <= 10
    assert sets_of(crops) == []
    turned = np.rot90(crops[3], 3)[:, ::-1].copy()
    assert sets_of([*crops, crops[7].copy(), turned]) == [(3, 31), (7, 30)]
    # A larger one, which counts as a field by its size, is known by what is black in it.
    assert sets_of([cv2.resize(one, (224, 224)) for one in crops]) == []


def test_candidates__name_the_orientation() -> None:
    image = field(0, 240, 240)
    for number, turned in enumerate(orientations(image)):
        thumbnails = [sketch_of(np.ascontiguousarray(one)).thumbnail for one in (image, turned)]
        ((one, other, bits, turn, sure),) = candidates(thumbnails)
        assert (one, other, turn, sure) == (0, 1, number, True)
        assert bits <= 10
        square = np.ascontiguousarray(list(orientations(grey_square(image)))[turn])
        assert middle_agreement(square, grey_square(np.ascontiguousarray(turned))) > 0.95


def test_sketch__survives_as_digits() -> None:
    for image in (field(1), cell(1)):
        sketch = sketch_of(image)
        again = sketch_from_hex(sketch.as_hex())
        assert again is not None
        assert again.as_hex() == sketch.as_hex()
        assert (again.hashes == image_hash(image)).all()
        assert sketch_from_hex(sketch.as_hex()[:32]) is None
    assert sketch_of(field(1)).thumbnail is not None
    assert sketch_of(cell(1)).thumbnail is None


def check(folder: Path, pictures: dict[str, Picture], **columns: list[str]) -> list[Finding]:
    for name, image in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), image)
    manifest = Manifest(pa.table({"path": list(pictures), **columns}), folder)
    return [one for one in inspect_pictures(manifest, Failures()) if one.kind.startswith("same picture")]


def test_check__names_copies_on_two_sides_of_a_split(tmp_path: Path) -> None:
    (found,) = check(
        tmp_path,
        {"train/a.png": field(0), "train/b.png": field(1), "valid/c.png": stored(field(0))},
        source=["lab", "lab", "lab"],
        patient=["p", "q", "r"],
    )
    assert (found.kind, found.count, found.harmless) == ("same picture under several names", 1, False)
    assert found.first == "valid/c.png, as train/a.png"
    assert "(1 under several patients, 1 on several sides of a split)" in found.message


def test_check__copies_of_one_group_are_harmless(tmp_path: Path) -> None:
    pictures = {"a.png": field(0), "b.png": field(0)}
    (found,) = check(tmp_path, pictures, group=["g", "g"])
    assert (found.kind, found.harmless) == ("same picture within one group", True)
    (found,) = check(tmp_path, pictures, group=["g", "g"], split=["train", "test"])
    assert not found.harmless
    assert check(tmp_path, {"a.png": field(0), "c.png": field(2)}) == []


def test_picture_sides__by_folder_or_column() -> None:
    paths = ["x/train/1.png", "Valid/2.png", "testing/3.png", "trained/4.png", "train.png"]
    made = Manifest(pa.table({"path": paths, "split": [None, None, None, "test", None]}), Path())
    assert picture_sides(made) == ["train", "validation", "test", "test", ""]
