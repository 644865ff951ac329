"""The photograph: from dye maps to pixels, by a source's light, optics, sensor and file format."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.synthetic.canvas import noise_plane
from reddino.synthetic.paint import paint
from reddino.synthetic.scene import Scene, Slide
from reddino.synthetic.sources import Source

Picture = NDArray[np.float32]


def picture_size(scene: Scene, source: Source) -> tuple[int, int]:
    """Return the height and width in pixels of a scene as the source photographs it."""
    return round(scene.height * source.px_per_um), round(scene.width * source.px_per_um)


def _resized(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = size
    way = cv2.INTER_LINEAR if width > maps.shape[1] else cv2.INTER_AREA
    return np.asarray(cv2.resize(maps, (width, height), interpolation=way), dtype=np.float32)


def absorption(maps: NDArray[np.float32], slide: Slide, source: Source) -> Picture:
    """Return the optical density (natural logarithm) of each colour.

    By the law of Beer and Lambert, those of the dyes add up.
    """
    day = source.day
    dyes = np.array([source.haemoglobin, source.blue, source.chromatin, source.rim]).T
    strength = np.array([slide.haemoglobin**day, slide.blue**day, slide.chromatin**day, 1.0])
    return np.asarray(maps @ (dyes * strength).T.astype(np.float32), dtype=np.float32)


def _light(rng: np.random.Generator, size: tuple[int, int], source: Source) -> tuple[Picture, Picture]:
    """Return the light where nothing absorbs.

    It is given as its fall over the field (H, W) and its colour (3,), full scale 1.
    """
    height, width = size
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)
    cx, cy = 0.2 * rng.standard_normal(2)
    turn = rng.uniform(0.0, 2.0 * np.pi)
    fall = source.vignette * float(rng.uniform(0.7, 1.3)) / 2.0
    tilt = source.slope * float(rng.standard_normal())
    across = tilt * np.cos(turn) * x - fall * (x - cx) ** 2
    down = tilt * np.sin(turn) * y - fall * (y - cy) ** 2
    field = (1.0 + across[None, :] + down[:, None]).astype(np.float32)
    exposure = float(np.exp(0.04 * source.day * rng.standard_normal()))
    balance = np.exp(0.02 * source.day * rng.standard_normal(3))
    return field, (np.array(source.background) / 255.0 * balance * exposure).astype(np.float32)


def _optics(rng: np.random.Generator, picture: Picture, source: Source) -> Picture:
    """Apply defocus, and focus and magnify the colours a little differently."""
    focus = source.blur * float(np.exp(0.25 * rng.standard_normal()))
    height, width = picture.shape[:2]
    channels = []
    for channel, factor in enumerate(source.colour_blur):
        plane = np.ascontiguousarray(picture[..., channel])
        sigma = focus * factor * source.px_per_um
        if sigma > 0.3:
            plane = cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        if source.fringe and channel != 1:
            zoom = 1.0 + source.fringe * (1 - channel)
            shift = (1.0 - zoom) / 2.0
            warp = np.array([[zoom, 0.0, shift * (width - 1)], [0.0, zoom, shift * (height - 1)]])
            plane = cv2.warpAffine(plane, warp, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        channels.append(plane)
    return np.asarray(cv2.merge(channels), dtype=np.float32)


def _noise(rng: np.random.Generator, size: tuple[int, int], source: Source) -> Picture:
    """Return the sensor noise at full brightness: grains of grey, and coarser blotches of colour."""
    height, width = size
    grey = rng.standard_normal((height, width), dtype=np.float32)
    if source.grain > 0.3:
        grey = cv2.GaussianBlur(grey, (0, 0), source.grain) * np.float32(1.0 + 2.0 * source.grain)
    small = (int(height / 2.5) + 2, int(width / 2.5) + 2, 3)
    blotches = rng.standard_normal(small, dtype=np.float32) * np.float32(source.colour_noise)
    noise = cv2.resize(blotches, (width, height), interpolation=cv2.INTER_LINEAR)
    noise += np.float32(source.noise) * grey[..., None]
    return np.asarray(noise, dtype=np.float32)


def _sensor(rng: np.random.Generator, picture: Picture, source: Source) -> Picture:
    """Apply noise (more where it is bright), sharpening, colour and tone."""
    noise = _noise(rng, (picture.shape[0], picture.shape[1]), source)
    noise *= np.sqrt(picture)
    noise += picture
    picture = noise
    if source.halo:
        soft = cv2.GaussianBlur(picture, (0, 0), source.halo_um * source.px_per_um)
        cv2.addWeighted(picture, 1.0 + source.halo, soft, -source.halo, 0.0, dst=picture)
    if source.saturation != 1.0:
        grey = picture.mean(axis=2, keepdims=True) * np.float32(1.0 - source.saturation)
        picture *= np.float32(source.saturation)
        picture += grey
    if source.contrast != 1.0:
        picture *= np.float32(source.contrast)
        picture += np.float32((1.0 - source.contrast) / 2.0)
    np.clip(picture, 0.0, 1.0, out=picture)
    if source.gamma != 1.0:
        picture **= np.float32(1.0 / source.gamma)
    if source.black:
        picture *= np.float32(1.0 - source.black)
        picture += np.float32(source.black)
    return picture


def photograph(maps: NDArray[np.float32], scene: Scene, source: Source, seed: int) -> NDArray[np.uint8]:
    """Photograph painted dye maps (`paint(scene)`); see `render_field`."""
    rng = np.random.default_rng([seed, zlib.crc32(source.name.encode())])
    size = picture_size(scene, source)
    density = absorption(_resized(maps, size), scene.slide, source)
    # ground that is not quite clear: fine, and fixed to the slide
    ground = noise_plane(np.random.default_rng([scene.texture, 7]), size, 0.7 * source.px_per_um)
    density += np.float32(source.granular) * ground[..., None]
    field, colour = _light(rng, size, source)
    np.negative(density, out=density)
    picture = np.exp(density, out=density)
    picture *= field[..., None] * colour
    picture = _sensor(rng, _optics(rng, picture, source), source)
    picture *= np.float32(255.0)
    return np.asarray(np.rint(picture), dtype=np.uint8)


def render_field(scene: Scene, source: Source, seed: int) -> NDArray[np.uint8]:
    """Photograph a scene in a laboratory, before compression; a pure function of its arguments.

    Args:
        scene: what lies on the slide.
        source: the laboratory.
        seed: focus, light and noise of this photograph; not negative.

    Returns:
        (H, W, 3) uint8 RGB; H and W follow from the scene's size and the source's pixels a cell.
    """
    return photograph(paint(scene), scene, source, seed)


def encode(picture: NDArray[np.uint8], source: Source) -> bytes:
    """Return the file contents of an RGB picture in the source's format (JPEG of its quality, or PNG)."""
    # a noisy picture hardly gets smaller by trying harder
    png = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    options = png if source.jpeg is None else [cv2.IMWRITE_JPEG_QUALITY, source.jpeg]
    done, contents = cv2.imencode(source.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture as {source.suffix}")
    return contents.tobytes()
