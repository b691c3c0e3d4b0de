"""Training pictures: scenes of a material with faults, and views of them as different cameras take them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.colours import Palette, draw_palette
from vision.engine.synthesis.faults import FAULT_KINDS, draw_fault
from vision.engine.synthesis.fields import FIELD_SIZE, blurred, log_uniform, random_sign
from vision.engine.synthesis.objects import place_object
from vision.engine.synthesis.sources import FieldBank

CANVAS_SIZE = 160
VIEW_SIZE = 128
#: Side of the mask that a view comes with: one value for 4 x 4 pixels.
MASK_SIZE = 32
MAX_FAULTS = 2
OBJECT_SHARE = 0.25
FAULT_COUNT_SHARES = (0.25, 0.5, 0.25)
#: Change of brightness of the faintest fault, where faults are easy and where they are hard.
_FAINTEST = (45.0, 12.0)
_STRONGEST = 90.0


@dataclass(frozen=True)
class Scene:
    """What canvases of one scene share: `material` is a row of the bank, `faults` positions in FAULT_KINDS.

    `zoom` is the scale at which the material is seen, `amplitudes` are the faults' changes of brightness.
    """

    material: int
    zoom: float
    is_object: bool
    faults: tuple[int, ...]
    amplitudes: tuple[float, ...]
    palette: Palette


@dataclass(frozen=True)
class Canvas:
    """`image` (160, 160, 3) float32 RGB, about 0 to 255; `mask` (160, 160) float32, 1 where any fault is."""

    image: np.ndarray
    mask: np.ndarray


def draw_scene(rng: Generator, bank: FieldBank, difficulty: float = 1.0) -> Scene:
    """A surface of one of the bank's materials, or a part made of it, with 0 to 2 faults.

    At `difficulty` 0 every fault is plain to see, at 1 some are faint.
    """
    count = rng.choice(len(FAULT_COUNT_SHARES), p=FAULT_COUNT_SHARES)
    faults = tuple(int(fault) for fault in rng.choice(len(FAULT_KINDS), count, replace=False))
    faintest = _FAINTEST[0] + difficulty * (_FAINTEST[1] - _FAINTEST[0])
    return Scene(
        material=int(rng.integers(bank.surfaces.shape[0])),
        zoom=log_uniform(rng, 0.75, 1.5),
        is_object=rng.uniform() < OBJECT_SHARE,
        faults=faults,
        amplitudes=tuple(log_uniform(rng, faintest, _STRONGEST) * random_sign(rng, 0.6) for _ in faults),
        palette=draw_palette(rng, len(faults)),
    )


def draw_canvas(rng: Generator, bank: FieldBank, scene: Scene) -> Canvas:
    """Another piece of the scene's material with faults of the same kinds in other places."""
    piece = bank.surfaces[scene.material, rng.integers(bank.surfaces.shape[1])]
    side = int(min(FIELD_SIZE, CANVAS_SIZE / (scene.zoom * log_uniform(rng, 0.9, 1.1))))
    x, y = rng.integers(0, FIELD_SIZE - side + 1, 2)
    shrinking = cv2.INTER_AREA if side > CANVAS_SIZE else cv2.INTER_LINEAR
    cut = np.ascontiguousarray(piece[y : y + side, x : x + side])
    grey = cv2.resize(cut, (CANVAS_SIZE, CANVAS_SIZE), interpolation=shrinking).astype(np.float32)
    if scene.is_object:
        grey = place_object(rng, grey, bank)
    image = scene.palette.lay_over(grey)
    everywhere = np.zeros((CANVAS_SIZE, CANVAS_SIZE), np.float32)
    details = zip(scene.faults, scene.amplitudes, scene.palette.faults, scene.palette.contrasts, strict=True)
    for fault, amplitude, hue, contrast in details:
        amplitude = amplitude * float(np.exp(rng.normal(0, 0.15)))
        changed, mask = draw_fault(FAULT_KINDS[fault], grey, rng, bank, amplitude=amplitude)
        change = contrast * (changed - grey)
        grey = grey + change
        image = image + change[..., None] + mask[..., None] * hue
        everywhere = np.maximum(everywhere, mask)
    return Canvas(np.clip(image, -40, 300), everywhere)


def draw_view(rng: Generator, canvas: Canvas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One photograph of a canvas.

    Returns the picture (128, 128, 3) uint8, the mask (32, 32) uint8 of its faults, 0 to 255, and the affine
    transform (2, 3) float32 from pixels of the canvas to pixels of the view.
    """
    transform = _placement(rng)
    shape = (VIEW_SIZE, VIEW_SIZE)
    image = cv2.warpAffine(
        canvas.image, transform, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    mask = cv2.warpAffine(canvas.mask, transform, shape, flags=cv2.INTER_LINEAR)
    cell = VIEW_SIZE // MASK_SIZE
    # Widened first, so that a hairline does not slip between the samples.
    mask = cv2.dilate(mask, np.ones((3, 3), np.uint8))[1::cell, 1::cell]
    return _photographed(rng, image), np.round(mask * 255).astype(np.uint8), transform.astype(np.float32)


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
    """Light gradient, vignetting, contrast, gamma, white balance, blur, noise; rarely a negative, if grey."""
    is_grey = not np.ptp(image, axis=2).any()
    if is_grey:
        image = image[..., :1]
    if rng.uniform() < 0.5:
        y, x = np.mgrid[:VIEW_SIZE, :VIEW_SIZE].astype(np.float32) / VIEW_SIZE - 0.5
        slope = rng.normal(0, 22, 2)
        light = slope[0] * x + slope[1] * y
        if rng.uniform() < 0.3:
            light = light - (x * x + y * y) * rng.uniform(0, 90)
        image = image + light[..., None].astype(np.float32)
    mean = image.mean()
    image = (image - mean) * log_uniform(rng, 0.55, 1.6) + mean + rng.normal(0, 22)
    if rng.uniform() < 0.3:
        image = 255 * np.clip(image / 255, 0, 1) ** log_uniform(rng, 0.6, 1.6)
    if not is_grey:
        image = image * np.exp(rng.normal(0, 0.04, 3)).astype(np.float32)
    image = image.astype(np.float32)
    chance = rng.uniform()
    if chance < 0.25:
        image = blurred(image, log_uniform(rng, 0.4, 1.4))
    elif chance < 0.4:
        small = int(VIEW_SIZE * rng.uniform(0.5, 0.9))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (VIEW_SIZE, VIEW_SIZE))
    image = image.reshape(VIEW_SIZE, VIEW_SIZE, -1)  # OpenCV drops a single channel
    if rng.uniform() < 0.5:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * log_uniform(rng, 1, 9)
    if is_grey and rng.uniform() < 0.06:
        image = 255 - image
    image = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return np.broadcast_to(image, (VIEW_SIZE, VIEW_SIZE, 3))
