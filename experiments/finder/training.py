"""Teach the network: crops of lessons from all laboratories alike, turned, recoloured, blurred."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finder.network import STEP, StarNetwork, star_loss
from finder.pictures import FINE, Lesson, Picture
from finder.targets import RAYS, Floats

_log = logging.getLogger(__name__)
#: Side of a crop in pixels, crops a step.
CROP, BATCH = 96, 16
#: Share of the crops that are of synthetic smears, where there are real ones.
DRAWN = 0.35


@dataclass(frozen=True)
class Course:
    """How long and how fast to learn: steps, the greatest rate, the seed of crops and first weights."""

    steps: int
    rate: float = 3e-3
    seed: int = 0


def normalised(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return a picture (H, W, 3) with its background at 0 and its spread at 1, whatever light and stain."""
    values = np.asarray(pixels, np.float32)
    sample = values[::3, ::3].reshape(-1, 3)
    ground = np.percentile(sample, 90, axis=0)
    return np.asarray((values - ground) / (sample.std() + 4.0), np.float32)


def turned(rays: NDArray[np.uint8], flip: bool, swap: bool) -> NDArray[np.uint8]:
    """Return distances (h, w, 16) of a picture mirrored left to right, and then with x and y exchanged."""
    turn = np.arange(RAYS)
    if flip:
        rays = rays[:, ::-1][..., (RAYS // 2 - turn) % RAYS]
    if swap:
        rays = rays.transpose(1, 0, 2)[..., (RAYS // 4 - turn) % RAYS]
    return rays


def recoloured(pixels: Picture, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a picture as another stain, camera and focus might show it: (H, W, 3), about 0 to 255."""
    values = pixels.astype(np.float32) / 255
    values = values ** np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    if rng.random() < 0.8:
        mix = np.eye(3) + rng.normal(0, 0.18, (3, 3))
        if rng.random() < 0.2:
            mix = mix[rng.permutation(3)]
        values = values @ mix.astype(np.float32)
    if rng.random() < 0.4:
        values = cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.3, 1.3)))
    elif rng.random() < 0.3:
        soft = cv2.GaussianBlur(values, (0, 0), 1.2)
        values = values + np.float32(rng.uniform(0.2, 1.0)) * (values - soft)
    tilt = np.linspace(-1, 1, values.shape[1], dtype=np.float32) * np.float32(rng.normal(0, 0.04))
    values = values * (1 + tilt)[None, :, None]
    values = values + rng.normal(0, rng.uniform(0, 0.03), values.shape).astype(np.float32)
    return np.asarray(255 * values, np.float32)


def _crop(lesson: Lesson, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    high, wide = (max(0, side - CROP) // STEP for side in lesson.pixels.shape[:2])
    top, left = int(rng.integers(0, high + 1)), int(rng.integers(0, wide + 1))
    side = CROP // STEP
    grid = (slice(top, top + side), slice(left, left + side))
    # light and stain are those of a larger part than the crop, as they are when cells are looked for
    margin = CROP
    y, x = max(0, STEP * top - margin), max(0, STEP * left - margin)
    part = recoloured(lesson.pixels[y : STEP * top + CROP + margin, x : STEP * left + CROP + margin], rng)
    part = normalised(part)[STEP * top - y :, STEP * left - x :][:CROP, :CROP]
    flip, swap = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    upside = bool(rng.random() < 0.5)
    planes: list[NDArray[Any]] = [part, lesson.depth[grid], lesson.known[grid], lesson.outlined[grid]]
    rays = turned(lesson.rays[grid], flip, swap)
    if flip:
        planes = [plane[:, ::-1] for plane in planes]
    if swap:
        planes = [plane.swapaxes(0, 1) for plane in planes]
    if upside:
        planes = [plane[::-1] for plane in planes]
        rays = rays[::-1][..., -np.arange(RAYS) % RAYS]
    filled = []
    for plane, length in zip([*planes, rays], [CROP, side, side, side, side], strict=True):
        values = np.asarray(plane, np.float32)
        missing = [(0, length - n) for n in values.shape[:2]] + [(0, 0)] * (values.ndim - 2)
        filled.append(np.pad(values, missing))
    return tuple(filled)


def batch(lessons: Sequence[Lesson], chances: Floats, rng: np.random.Generator) -> list[Tensor]:
    """Return pixels (n, 3, s, s), and depth, weight, outlined (n, s', s') and rays (n, 16, s', s')."""
    drawn = [_crop(lessons[row], rng) for row in rng.choice(len(lessons), BATCH, p=chances).tolist()]
    pixels, depth, known, outlined, rays = (np.stack(planes) for planes in zip(*drawn, strict=True))
    return [
        torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))),
        torch.from_numpy(depth / 255),
        torch.from_numpy(known),
        torch.from_numpy(outlined),
        torch.from_numpy(np.ascontiguousarray(rays.transpose(0, 3, 1, 2)) / np.float32(FINE)),
    ]


def chances(lessons: Sequence[Lesson]) -> Floats:
    """Return how likely each lesson is to be drawn (n,): laboratories alike, synthetic ones by `DRAWN`."""
    labs = np.array([lesson.lab for lesson in lessons])
    real = sorted(set(labs.tolist()) - {"synthetic"})
    found = np.zeros(len(labs))
    for lab in set(labs.tolist()):
        share = (DRAWN if lab == "synthetic" else (1 - DRAWN) / len(real)) if real else 1.0
        found[labs == lab] = share / (labs == lab).sum()
    return np.asarray(found / found.sum())


def teach(network: StarNetwork, lessons: Sequence[Lesson], course: Course) -> StarNetwork:
    """Teach a network in place and return it; a function of its arguments on one thread of one machine."""
    rng = np.random.default_rng([course.seed, len(lessons)])
    optimiser = torch.optim.AdamW(network.parameters(), lr=course.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, course.rate, course.steps, pct_start=0.15)
    likely = chances(lessons)
    network.train()
    network.to(memory_format=torch.channels_last)
    start, losses = time.process_time(), []
    for step in range(course.steps):
        pixels, depth, known, outlined, rays = batch(lessons, likely, rng)
        with torch.autocast("cpu", torch.bfloat16):
            answers = network(pixels.contiguous(memory_format=torch.channels_last))
        loss = star_loss(answers.float(), depth, rays, known, outlined)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            spent = time.process_time() - start
            _log.info("step %d: loss %.4f, %.0f s of the processor", step + 1, np.mean(losses[-50:]), spent)
    return network.eval()
