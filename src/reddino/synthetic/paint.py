"""Dye maps of a scene: how much of each dye lies over each point, before any laboratory photographs it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.synthetic.bystanders import Platelet, Speck, WhiteCell
from reddino.synthetic.canvas import (
    BLUE,
    CHROMATIN,
    HAEMOGLOBIN,
    PX_PER_UM,
    REFRACTION,
    Plane,
    Tile,
    cover,
    noise_plane,
)
from reddino.synthetic.cells import Mark, Pallor, RedCell, Ring
from reddino.synthetic.scene import Scene


def _pallor_fraction(pallor: Pallor, u: Plane, v: Plane) -> Plane:
    """Return how much of a pallor's depth applies at cell coordinates u, v (radii).

    It is 1 in the middle and 0 outside.
    """
    c, s = np.cos(pallor.angle), np.sin(pallor.angle)
    du, dv = u - np.float32(pallor.x), v - np.float32(pallor.y)
    a = (np.float32(c) * du + np.float32(s) * dv) / np.float32(pallor.length)
    b = np.float32(c) * dv - np.float32(s) * du
    if pallor.bend:
        b = b - np.float32(pallor.bend * pallor.length) * a * a
    b = b / np.float32(pallor.width)
    away = np.sqrt(a * a + b * b)
    # clipped: exp of a far-away point would overflow in float32
    return np.asarray(1.0 / (1.0 + np.exp(np.minimum((away - 1.0) / np.float32(pallor.soft), 30.0))))


def _haemoglobin(cell: RedCell, depth: Plane, u: Plane, v: Plane) -> Plane:
    """Return the thickness of haemoglobin over a cell, 1 on the plateau of a normal one."""
    ramp = 1.0 - np.clip(depth / np.float32(cell.edge * cell.diameter), 0.0, 1.0)
    thick = np.float32(1.0) - np.float32(0.38) * ramp * ramp
    if cell.dome:
        dome = np.sqrt(np.clip(1.0 - u * u - v * v, 0.0, 1.0))
        thick = thick * np.float32(1.0 - 0.45 * cell.dome) + np.float32(0.62 * cell.dome) * dome
    keep = np.ones_like(thick)
    for pallor in cell.pallors:
        keep *= 1.0 - np.float32(pallor.depth) * _pallor_fraction(pallor, u, v)
    return np.asarray(thick * keep * cover(depth) * np.float32(cell.density))


def _rim(depth: Plane, strength: float) -> Plane:
    """Return the refraction at a boundary: a dark line just inside, a faint bright one outside."""
    depth = np.clip(depth, -3.0, 3.0)
    inner = np.exp(-np.square((depth - np.float32(0.16)) / np.float32(0.22)))
    outer = np.exp(-np.square((depth + np.float32(0.38)) / np.float32(0.28)))
    return np.asarray(np.float32(strength) * (inner - np.float32(0.3) * outer), dtype=np.float32)


def _paint_ring(layers: NDArray[np.float32], ring: Ring, x: Plane, y: Plane, inside: Plane) -> None:
    """Add a parasite to the layers of a cell's tile, in place; x and y in micrometres from its centre."""
    c, s = np.float32(np.cos(ring.angle)), np.float32(np.sin(ring.angle))
    a, b = c * x + s * y, (c * y - s * x) / np.float32(ring.squash)
    away = np.sqrt(a * a + b * b)
    band = np.exp(-np.square((away - np.float32(ring.radius)) / np.float32(ring.thickness)))
    # the ring is thickest on the side of its (first) chromatin dot and may almost close on the other
    first = ring.dots[0]
    side = 0.65 + 0.35 * (a * np.float32(first[0]) + b * np.float32(first[1])) / (
        ring.radius * away + np.float32(0.1)
    )
    layers[..., BLUE] += np.float32(0.62 * ring.strength) * band * side * inside
    vacuole = cover(np.float32(ring.radius) - away, 0.5)
    layers[..., HAEMOGLOBIN] *= 1.0 - np.float32(0.3) * vacuole
    for px, py, size in ring.dots:
        near = ((a - np.float32(px)) ** 2 + (b - np.float32(py)) ** 2) / np.float32(size) ** 2
        layers[..., CHROMATIN] += np.float32(0.68 * ring.strength) * np.exp(-(near**2)) * inside


def _paint_mark(layers: NDArray[np.float32], mark: Mark, tile: Tile, inside: Plane) -> None:
    """Add a mark to the layers of a cell's tile, in place."""
    # an outline beyond the field is endlessly far away
    depth = np.clip(tile.depth(mark.outlines), -50.0, 50.0)
    fraction = np.exp(-np.square(depth / np.float32(mark.line))) if mark.line else cover(depth, mark.soft)
    if not mark.outside:
        fraction = fraction * inside
    if mark.haemoglobin != 1.0:
        layers[..., HAEMOGLOBIN] *= 1.0 - np.float32(1.0 - mark.haemoglobin) * fraction
    if mark.grain:
        noise = noise_plane(np.random.default_rng([mark.texture, 13]), tile.shape, 3.5)
        fraction = fraction * np.clip(1.0 + np.float32(mark.grain) * noise, 0.0, 2.0)
    layers += fraction[..., None] * np.array(mark.dyes, dtype=np.float32)
    np.maximum(layers[..., :REFRACTION], 0.0, out=layers[..., :REFRACTION])


def _paint_red_cell(maps: NDArray[np.float32], cell: RedCell) -> None:
    reach = float(np.hypot(*cell.outline.T).max()) + 1.2
    tile = Tile(maps, cell.x, cell.y, reach)
    if tile.empty:
        return
    x, y = tile.axes()
    radius = cell.diameter / 2.0
    c, s = np.float32(np.cos(cell.angle) / radius), np.float32(np.sin(cell.angle) / radius)
    depth = tile.depth([cell.outline])
    layers = np.zeros((*tile.shape, 4), dtype=np.float32)
    layers[..., HAEMOGLOBIN] = _haemoglobin(cell, depth, c * x + s * y, c * y - s * x)
    layers[..., REFRACTION] = _rim(depth, cell.rim)
    if cell.blue:
        layers[..., BLUE] = np.float32(0.35 * cell.blue) * layers[..., HAEMOGLOBIN]
    inside = cover(depth)
    for mark in cell.marks:
        _paint_mark(layers, mark, tile, inside)
    if cell.rings:
        for ring in cell.rings:
            _paint_ring(
                layers, ring, x - np.float32(ring.x * radius), y - np.float32(ring.y * radius), inside
            )
    if cell.blur > 0.08:
        layers = cv2.GaussianBlur(layers, (0, 0), cell.blur * PX_PER_UM, borderType=cv2.BORDER_REPLICATE)
    tile.maps += layers


def _paint_white_cell(maps: NDArray[np.float32], cell: WhiteCell) -> None:
    tile = Tile(maps, cell.x, cell.y, float(np.hypot(*cell.outline.T).max()) + 1.0)
    if tile.empty:
        return
    rng = np.random.default_rng([cell.texture, 4])
    body = cover(tile.depth([cell.outline]), 0.4)
    nucleus = cover(tile.depth(cell.lobes), 0.45) * (body > 0)
    clumps = noise_plane(rng, tile.shape, 5.0) + noise_plane(rng, tile.shape, 10.0)
    grains = np.clip(noise_plane(rng, tile.shape, 3.0), -1.0, 2.5)
    cytoplasm = body * (1.0 - nucleus)
    tile.maps[..., HAEMOGLOBIN] += (
        np.float32(cell.eosin) * cytoplasm * (0.8 + np.float32(cell.granules) * grains)
    )
    tile.maps[..., BLUE] += np.float32(cell.blue) * cytoplasm * (1.0 + 0.1 * clumps)
    tile.maps[..., CHROMATIN] += (
        np.float32(cell.chromatin) * nucleus * np.clip(1.0 + 0.13 * clumps, 0.55, 1.5)
    )
    tile.maps[..., CHROMATIN] += np.float32(0.09 * cell.granules) * cytoplasm * (1.0 + grains)


def _paint_platelet(maps: NDArray[np.float32], platelet: Platelet) -> None:
    tile = Tile(maps, platelet.x, platelet.y, float(np.hypot(*platelet.outline.T).max()) + 0.8)
    if tile.empty:
        return
    grains = noise_plane(np.random.default_rng([platelet.texture, 5]), tile.shape, 4.5)
    depth = tile.depth([platelet.outline])
    body = cover(depth, 0.9) * np.float32(platelet.strength)
    # granules gather in the middle and leave a pale margin
    middle = np.clip(depth / np.float32(0.3 * platelet.diameter), 0.0, 1.0)
    tile.maps[..., CHROMATIN] += body * (0.18 + 0.5 * middle) * np.clip(1.0 + 0.22 * grains, 0.4, 1.6)
    tile.maps[..., BLUE] += 0.18 * body


def _paint_speck(maps: NDArray[np.float32], speck: Speck) -> None:
    tile = Tile(maps, speck.x, speck.y, 3.0 * speck.radius + 0.2)
    if tile.empty:
        return
    x, y = tile.axes()
    grain = np.float32(speck.strength) * np.exp(-(x * x + y * y) / np.float32(speck.radius**2))
    tile.maps[..., REFRACTION if speck.dust else CHROMATIN] += (3.0 if speck.dust else 0.7) * grain


def _paint_plasma(maps: NDArray[np.float32], scene: Scene) -> None:
    """Paint the protein of dried plasma, which makes cells and ground slightly uneven."""
    height, width = maps.shape[:2]
    rng = np.random.default_rng([scene.texture, 6])
    small = (height // 4 + 1, width // 4 + 1)
    uneven = 1.0 + np.float32(0.02) * (noise_plane(rng, small, 2.3) + noise_plane(rng, small, 7.5))
    film = np.float32(scene.slide.plasma) * np.clip(1.0 + 0.5 * noise_plane(rng, small, 22.0), 0.0, 3.0)
    maps[..., HAEMOGLOBIN] *= cv2.resize(uneven, (width, height))
    maps[..., HAEMOGLOBIN] += cv2.resize(film, (width, height))


def paint(scene: Scene) -> NDArray[np.float32]:
    """Paint the dye maps of a scene, before the slide's own stain strengths.

    Returns:
        (H, W, 4) float32 at `PX_PER_UM`: haemoglobin (eosin), blue (cytoplasm), chromatin (purple) and
        refraction (negative where light is gained).
    """
    shape = (round(scene.height * PX_PER_UM), round(scene.width * PX_PER_UM))
    maps = np.zeros((*shape, 4), dtype=np.float32)
    for cell in scene.cells:
        _paint_red_cell(maps, cell)
    _paint_plasma(maps, scene)
    for white_cell in scene.white_cells:
        _paint_white_cell(maps, white_cell)
    for platelet in scene.platelets:
        _paint_platelet(maps, platelet)
    for speck in scene.specks:
        _paint_speck(maps, speck)
    return maps
