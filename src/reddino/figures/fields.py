"""Patch tokens of a whole field: in one pass where it fits, else in overlapping tiles that blend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Images
from reddino.foundations.errors import RedDinoError
from reddino.rbc.illumination import lit_field

Plane = npt.NDArray[np.float32]

#: Fraction of a tile that the next one covers again.
OVERLAP = 0.5


class PatchEncoder(Protocol):
    """A network that gives patch tokens; `reddino.figures.vit_patches.ViTPatches` is one."""

    @property
    def input_size(self) -> int:
        """Return the side of the tiles that it takes, in pixels."""
        ...

    @property
    def patch_size(self) -> int:
        """Return the side of a patch in pixels."""
        ...

    def patch_tokens(self, images: Images, /) -> tuple[Plane, Plane]:
        """Return tokens (n, h, w, d) and attention (n, heads, h, w) of views (n, H, W, 3)."""
        ...


@dataclass(frozen=True)
class FieldTokens:
    """What a network makes of a field of h x w patches.

    Attributes:
        image: (h p, w p, 3) uint8, the part of the field that was seen, at the scale it was seen.
        tokens: (h, w, d).
        attention: (heads, h, w) of the class token, 1 = what each patch gets if attention is even; of no
            heads where the network has no class token.
        inside: (h, w) whether a patch shows the lit field, not the black surround of it.
    """

    image: Images
    tokens: Plane
    attention: Plane
    inside: npt.NDArray[np.bool_] = field(default_factory=lambda: np.ones((0, 0), np.bool_))

    def __post_init__(self) -> None:
        """Take every patch for the field's where none is given."""
        if self.inside.shape != self.tokens.shape[:2]:
            object.__setattr__(self, "inside", np.ones(self.tokens.shape[:2], np.bool_))

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return int(self.image.shape[0] // self.tokens.shape[0])


def encode_field(
    encoder: PatchEncoder,
    image: Images,
    *,
    tile: int | None = None,
    overlap: float = OVERLAP,
    scale: float = 1.0,
    batch: int = 8,
) -> FieldTokens:
    """Compute patch tokens and class-token attention of a field (H, W, 3).

    A field that is larger than a tile is encoded in overlapping tiles; where they overlap, their tokens are
    blended with weights that fall linearly towards each tile's edge, so that no seam shows. A field that fits
    into a tile is encoded in one pass. Up to p - 1 pixels are cut off the borders to make whole patches.

    Args:
        encoder: the network.
        image: the field.
        tile: side of a tile in pixels; None: the network's own input.
        overlap: fraction of a tile that its neighbour covers again, 0 to 0.9.
        scale: the field is resized by this first: 2 makes twice as many patches a side.
        batch: tiles that are encoded at once.

    Raises:
        RedDinoError: the field is smaller than a patch, overlap, tile or scale do not fit, or tokens are
            not finite.
    """
    patch = encoder.patch_size
    side = (encoder.input_size if tile is None else tile) // patch
    if side < 1 or not 0 <= overlap <= 0.9 or scale <= 0:
        raise RedDinoError(
            f"tiles of at least {patch} px, an overlap from 0 to 0.9 and a scale above 0 are needed, not "
            f"{tile}, {overlap} and {scale}"
        )
    seen = _whole_patches(_resized(image, scale), patch)
    grid = seen.shape[0] // patch, seen.shape[1] // patch
    step = max(1, round(side * (1 - overlap)))
    windows = [
        (top, left) for top in tile_starts(grid[0], side, step) for left in tile_starts(grid[1], side, step)
    ]
    height, width = min(side, grid[0]), min(side, grid[1])
    weights = blending_weights(height, width, side - step)
    tokens: Plane | None = None
    attention: Plane | None = None
    total = np.zeros(grid, np.float32)
    for first in range(0, len(windows), batch):
        chunk = windows[first : first + batch]
        squares = [
            seen[top * patch : (top + height) * patch, left * patch : (left + width) * patch]
            for top, left in chunk
        ]
        found, attended = _finite_tokens(encoder, np.stack(squares))
        if tokens is None or attention is None:
            tokens = np.zeros((*grid, found.shape[-1]), np.float32)
            attention = np.zeros((attended.shape[1], *grid), np.float32)
        for (top, left), one, heads in zip(chunk, found, attended, strict=True):
            rows, columns = slice(top, top + height), slice(left, left + width)
            tokens[rows, columns] += weights[..., None] * one
            attention[:, rows, columns] += weights * heads
            total[rows, columns] += weights
    assert tokens is not None and attention is not None
    tokens /= total[..., None]
    attention /= total
    return FieldTokens(seen, tokens, attention, patches_inside(seen, patch))


def patches_inside(image: Images, patch: int) -> npt.NDArray[np.bool_]:
    """Return which patches (h, w) of an image of whole patches show the lit field for the most part."""
    grid = image.shape[0] // patch, image.shape[1] // patch
    lit = lit_field(image).reshape(grid[0], patch, grid[1], patch).mean(axis=(1, 3))
    return np.asarray(lit > 0.5)


def _finite_tokens(encoder: PatchEncoder, squares: Images) -> tuple[Plane, Plane]:
    """Return the patch tokens of squares, and attention in units of an even distribution over the patches.

    Raises:
        RedDinoError: tokens are not finite.
    """
    tokens, attention = encoder.patch_tokens(squares)
    if not (np.isfinite(tokens).all() and np.isfinite(attention).all()):
        raise RedDinoError(
            "the network returned patch tokens that are not finite: its weights are damaged, or its training "
            "diverged"
        )
    # In these units, tiles can be compared.
    return tokens, attention / attention.mean(axis=(2, 3), keepdims=True)


def tile_starts(length: int, side: int, step: int) -> list[int]:
    """Return where tiles of `side` start along `length`, `step` apart; the last one ends with the field."""
    if length <= side:
        return [0]
    return [*range(0, length - side, step), length - side]


def blending_weights(height: int, width: int, ramp: int) -> Plane:
    """Return weights (height, width) that rise from each edge over `ramp` patches and are 1 in the middle."""
    sides = []
    for length in (height, width):
        place = np.arange(length)
        edge = np.minimum(place, length - 1 - place) + 1
        sides.append(np.minimum(edge / (ramp + 1), 1.0))
    return np.asarray(np.outer(*sides), dtype=np.float32)


def _resized(image: Images, scale: float) -> Images:
    if scale == 1.0:
        return image
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=mode), np.uint8)


def _whole_patches(image: Images, patch: int) -> Images:
    """Return the middle of an image (H, W, 3) that is made of whole patches."""
    height, width = (size // patch * patch for size in image.shape[:2])
    if not height or not width:
        raise RedDinoError(
            f"a field of {image.shape[1]} x {image.shape[0]} px is smaller than a patch of {patch} px"
        )
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])
