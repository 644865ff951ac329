"""Global and local crops of one patch: random resized crops, pixel operations, flips and quarter turns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from reddino.pretraining.augmentation.pixel_operations import PixelOperations, part_of_the_way
from reddino.pretraining.run.recipe_sections import ASPECT

Image = npt.NDArray[np.uint8]

_TRIES = 10
_COUNTERCLOCKWISE = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels: left, top, width, height."""

    x: int
    y: int
    width: int
    height: int


def random_crop_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    rng: np.random.Generator,
    aspect: tuple[float, float] = ASPECT,
) -> Box:
    """Draw the rectangle of a random resized crop (Szegedy et al. 2015, as DINO uses it).

    The area is uniform over `scale` (fractions of the image's area), the aspect ratio (width / height)
    log-uniform over `aspect`, the place uniform. A rectangle that does not fit is drawn again; after ten
    tries the largest centred one with an admissible aspect is taken.
    """
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
        crop_width = max(1, round(math.sqrt(area * ratio)))
        crop_height = max(1, round(math.sqrt(area / ratio)))
        if crop_width <= width and crop_height <= height:
            x = int(rng.integers(width - crop_width + 1))
            y = int(rng.integers(height - crop_height + 1))
            return Box(x, y, crop_width, crop_height)
    crop_width = min(width, max(1, round(height * aspect[1])))
    crop_height = min(height, max(1, round(width / aspect[0])))
    return Box((width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height)


def resize_square(image: Image, size: int) -> Image:
    """Resize (h, w, 3) uint8 to (size, size, 3): area averaging where it shrinks, bicubic where it grows.

    OpenCV's area mode averages only if no side grows, and its bicubic mode aliases as soon as a side shrinks,
    so a rectangle that does both is resized one side after the other.
    """
    height, width = image.shape[:2]
    if height == size and width == size:
        return image
    if (height < size < width) or (width < size < height):
        shrunk = (min(width, size), min(height, size))
        image = np.asarray(cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = image.shape[:2]
    mode = cv2.INTER_AREA if height >= size and width >= size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=mode), np.uint8)


def centred(image: Image, area: float) -> Image:
    """Cut the square in the middle of an image, of this fraction of its largest square's area; a view."""
    height, width = image.shape[:2]
    side = max(1, round(math.sqrt(area) * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


@dataclass(frozen=True)
class Orientation:
    """How a crop is flipped, and then turned counterclockwise by so many quarters."""

    flip_x: bool
    flip_y: bool
    quarters: int

    def of(self, crop: Image) -> Image:
        """Turn and flip an (s, s, 3) crop."""
        # OpenCV moves pixels twenty times faster than NumPy copies a reversed view.
        if self.flip_x or self.flip_y:
            crop = np.asarray(
                cv2.flip(crop, -1 if self.flip_x and self.flip_y else int(self.flip_x)), np.uint8
            )
        if self.quarters:
            crop = np.asarray(cv2.rotate(crop, _COUNTERCLOCKWISE[self.quarters]), np.uint8)
        return crop


def random_orientation(
    rng: np.random.Generator, horizontal: float, vertical: float, quarter_turn: float
) -> Orientation:
    """Draw how a crop is flipped and turned.

    Args:
        rng: draws the orientation.
        horizontal: probability of swapping left and right.
        vertical: probability of swapping top and bottom.
        quarter_turn: probability of turning by 0, 90, 180 or 270 degrees, each equally likely (0 is one of
            them in albumentations' `RandomRotate90` too).
    """
    flip_x, flip_y, turn = rng.random(3) < (horizontal, vertical, quarter_turn)
    quarters = int(rng.integers(4))
    return Orientation(bool(flip_x), bool(flip_y), quarters if turn else 0)


@dataclass(frozen=True)
class MultiCrop:
    """What a patch becomes: two global crops and `local_count` local ones.

    Attributes:
        global_size: side of a global crop in pixels.
        global_scale: smallest and largest fraction of the patch's area that a global crop covers.
        local_size: side of a local crop in pixels.
        local_scale: the same for local crops.
        local_count: local crops a patch; may be 0.
        operations: the pixel operations, applied to the resized crop before it is flipped and turned.
        horizontal_flip, vertical_flip, quarter_turn: probabilities, see `random_orientation`.
        aspect: smallest and largest width over height of a crop.
        teacher_strength: how far a teacher crop goes from the clean crop (0) to the student's (1).
    """

    global_size: int
    global_scale: tuple[float, float]
    local_size: int
    local_scale: tuple[float, float]
    local_count: int
    operations: PixelOperations
    horizontal_flip: float = 0.85
    vertical_flip: float = 0.85
    quarter_turn: float = 0.85
    aspect: tuple[float, float] = ASPECT
    teacher_strength: float = 1.0

    def __call__(self, image: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        """Crop `image` (H, W, 3) uint8 RGB; returns uint8 (2, g, g, 3) and (local_count, l, l, 3).

        The result is a function of `image` and the state of `rng` alone.
        """
        global_crops = np.empty((2, self.global_size, self.global_size, 3), np.uint8)
        local_crops = np.empty((self.local_count, self.local_size, self.local_size, 3), np.uint8)
        self.fill(image, rng, global_crops, local_crops)
        return global_crops, local_crops

    def fill(
        self,
        image: Image,
        rng: np.random.Generator,
        global_crops: Image,
        local_crops: Image,
        *,
        clean_crops: Image | None = None,
        teacher_crops: Image | None = None,
    ) -> None:
        """Write the crops into arrays shaped as in `__call__`, without an intermediate copy.

        Args:
            image: the patch.
            rng: is drawn from alike, whether clean crops are wanted or not.
            global_crops: (2, g, g, 3) to fill.
            local_crops: (local_count, l, l, 3) to fill.
            clean_crops: (2, c, c, 3) to fill with the global crops before pixel operations, flipped and
                turned as these are; c may be another size, to which the same rectangle is resized.
            teacher_crops: (2, g, g, 3) to fill with the global crops as the EMA teacher sees them.
        """
        for number, target in enumerate(global_crops):
            clean = None if clean_crops is None else clean_crops[number]
            teacher = None if teacher_crops is None else teacher_crops[number]
            self._crop(image, rng, self.global_scale, target, clean=clean, teacher=teacher)
        for target in local_crops:
            self._crop(image, rng, self.local_scale, target)

    def _crop(
        self,
        image: Image,
        rng: np.random.Generator,
        scale: tuple[float, float],
        target: Image,
        *,
        clean: Image | None = None,
        teacher: Image | None = None,
    ) -> None:
        size = target.shape[0]
        box = random_crop_box(image.shape[0], image.shape[1], scale, rng, self.aspect)
        part = image[box.y : box.y + box.height, box.x : box.x + box.width]
        resized = resize_square(part, size)
        changed = self.operations(resized, rng)
        orientation = random_orientation(rng, self.horizontal_flip, self.vertical_flip, self.quarter_turn)
        target[...] = orientation.of(changed)
        if teacher is not None:
            teacher[...] = orientation.of(part_of_the_way(resized, changed, self.teacher_strength))
        if clean is not None:
            same_size = clean.shape[0] == size
            clean[...] = orientation.of(resized if same_size else resize_square(part, clean.shape[0]))
