"""Training pictures: a canvas with faults, and views of it as different cameras would take them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.faults import FAULT_KINDS, draw_fault
from vision.engine.synthesis.fields import FIELD_SIZE, blurred, log_uniform
from vision.engine.synthesis.objects import place_object
from vision.engine.synthesis.sources import FieldBank

CANVAS_SIZE = 160
VIEW_SIZE = 128
#: Side of the masks that a view comes with: one value for 4 x 4 pixels.
MASK_SIZE = 32
MAX_FAULTS = 2
OBJECT_SHARE = 0.25
FAULT_COUNT_SHARES = (0.25, 0.5, 0.25)


@dataclass(frozen=True)
class Canvas:
    """`image` (160, 160) float32; `masks` of the same size from 0 to 1, one for each of the `faults`.

    `material` is a row of the bank, `faults` are positions in FAULT_KINDS.
    """

    image: np.ndarray
    material: int
    faults: tuple[int, ...]
    masks: tuple[np.ndarray, ...]


def draw_canvas(rng: Generator, bank: FieldBank) -> Canvas:
    """A surface of one of the bank's materials, or a part made of it, with 0 to 2 faults."""
    material = int(rng.integers(bank.surfaces.shape[0]))
    piece = bank.surfaces[material, rng.integers(bank.surfaces.shape[1])]
    side = int(min(FIELD_SIZE, CANVAS_SIZE / log_uniform(rng, 0.75, 1.5)))
    x, y = rng.integers(0, FIELD_SIZE - side + 1, 2)
    shrinking = cv2.INTER_AREA if side > CANVAS_SIZE else cv2.INTER_LINEAR
    cut = np.ascontiguousarray(piece[y : y + side, x : x + side])
    image = cv2.resize(cut, (CANVAS_SIZE, CANVAS_SIZE), interpolation=shrinking).astype(np.float32)
    if rng.uniform() < OBJECT_SHARE:
        image = place_object(rng, image, bank)
    count = rng.choice(len(FAULT_COUNT_SHARES), p=FAULT_COUNT_SHARES)
    faults = tuple(int(fault) for fault in rng.choice(len(FAULT_KINDS), count, replace=False))
    masks = []
    for fault in faults:
        image, mask = draw_fault(FAULT_KINDS[fault], image, rng, bank)
        masks.append(mask)
    return Canvas(np.clip(image, -40, 300), material, faults, tuple(masks))


def draw_view(rng: Generator, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """One photograph of a canvas.

    Returns the picture (128, 128) uint8, and the masks (2, 32, 32) uint8 of its faults in their order,
    0 to 255; unused ones are empty.
    """
    transform = _placement(rng)
    shape = (VIEW_SIZE, VIEW_SIZE)
    image = cv2.warpAffine(
        canvas.image, transform, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    masks = np.zeros((MAX_FAULTS, MASK_SIZE, MASK_SIZE), np.uint8)
    cell = VIEW_SIZE // MASK_SIZE
    for number, mask in enumerate(canvas.masks):
        seen = cv2.warpAffine(mask, transform, shape, flags=cv2.INTER_LINEAR)
        # Widened first, so that a hairline does not slip between the samples.
        seen = cv2.dilate(seen, np.ones((3, 3), np.uint8))[1::cell, 1::cell]
        masks[number] = np.round(seen * 255).astype(np.uint8)
    return _photographed(rng, image), masks


def _placement(rng: Generator) -> np.ndarray:
    """Zoom, turn, shift and mirroring from canvas to view, as a (2, 3) affine matrix."""
    zoom = log_uniform(rng, 0.72, 1.15) * VIEW_SIZE / (0.86 * CANVAS_SIZE)
    angle = rng.normal(0, 12) if rng.uniform() < 0.7 else rng.uniform(-180, 180)
    centre = CANVAS_SIZE / 2 + rng.uniform(-0.07, 0.07, 2) * CANVAS_SIZE
    transform = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), float(angle), zoom)
    transform[:, 2] += VIEW_SIZE / 2 - CANVAS_SIZE / 2
    for axis in (0, 1):
        if rng.uniform() < 0.5:
            transform[axis] = -transform[axis]
            transform[axis, 2] += VIEW_SIZE
    return transform


def _photographed(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Light gradient, vignetting, contrast, gamma, blur, noise and, rarely, a negative."""
    if rng.uniform() < 0.5:
        y, x = np.mgrid[:VIEW_SIZE, :VIEW_SIZE].astype(np.float32) / VIEW_SIZE - 0.5
        slope = rng.normal(0, 22, 2)
        image = image + slope[0] * x + slope[1] * y
        if rng.uniform() < 0.3:
            image = image - (x * x + y * y) * rng.uniform(0, 90)
    mean = image.mean()
    image = (image - mean) * log_uniform(rng, 0.55, 1.6) + mean + rng.normal(0, 22)
    if rng.uniform() < 0.3:
        image = 255 * np.clip(image / 255, 0, 1) ** log_uniform(rng, 0.6, 1.6)
    chance = rng.uniform()
    if chance < 0.25:
        image = blurred(image, log_uniform(rng, 0.4, 1.4))
    elif chance < 0.4:
        small = int(VIEW_SIZE * rng.uniform(0.5, 0.9))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (VIEW_SIZE, VIEW_SIZE))
    if rng.uniform() < 0.5:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * log_uniform(rng, 1, 9)
    if rng.uniform() < 0.06:
        image = 255 - image
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
