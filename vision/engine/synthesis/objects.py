"""Outlines of parts, and a part of some material lying on a plain background."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import blurred, log_uniform
from vision.engine.synthesis.shapes import fill, irregular_polygon, stroke
from vision.engine.synthesis.sources import FieldSource

ROUND = 48  # corners that look like a circle


def _disc(rng: Generator, sheet: np.ndarray, centre: np.ndarray, radius: float) -> None:
    elongation, angle = log_uniform(rng, 0.6, 1.7), rng.uniform(0, np.pi)
    outline = irregular_polygon(
        rng, tuple(centre), radius, corners=ROUND, irregularity=0, elongation=elongation, angle=angle
    )
    fill(sheet, outline, 255)


def _plate(rng: Generator, sheet: np.ndarray, centre: np.ndarray, radius: float) -> None:
    corners, elongation = int(rng.integers(3, 8)), log_uniform(rng, 0.7, 1.4)
    outline = irregular_polygon(
        rng, tuple(centre), radius, corners=corners, irregularity=0.15, elongation=elongation
    )
    fill(sheet, outline, 255)


def _ring(rng: Generator, sheet: np.ndarray, centre: np.ndarray, radius: float) -> None:
    fill(sheet, irregular_polygon(rng, tuple(centre), radius, corners=ROUND, irregularity=0), 255)
    hole = radius * rng.uniform(0.2, 0.7)
    fill(sheet, irregular_polygon(rng, tuple(centre), hole, corners=ROUND, irregularity=0), 0)


def _gear(rng: Generator, sheet: np.ndarray, centre: np.ndarray, radius: float) -> None:
    points = int(rng.integers(6, 24)) * 4
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False) + rng.uniform(0, 2 * np.pi)
    radii = radius * (1 - 0.15 * ((np.arange(points) // 2) % 2))
    fill(sheet, centre + np.stack([radii * np.cos(turn), radii * np.sin(turn)], axis=1), 255)
    if rng.uniform() < 0.7:
        bore = radius * rng.uniform(0.15, 0.4)
        fill(sheet, irregular_polygon(rng, tuple(centre), bore, corners=ROUND, irregularity=0), 0)


def _bolt(rng: Generator, sheet: np.ndarray, centre: np.ndarray, radius: float) -> None:
    width, angle = log_uniform(rng, 0.05, 0.2) * sheet.shape[0], rng.uniform(0, 2 * np.pi)
    half = 0.9 * radius * np.array([np.cos(angle), np.sin(angle)])
    stroke(sheet, np.stack([centre - half, centre + half]), 255, max(2, width))
    corners = int(rng.choice([4, 6, ROUND]))
    head = width * log_uniform(rng, 0.8, 1.6)
    fill(sheet, irregular_polygon(rng, tuple(centre - half), head, corners=corners, irregularity=0), 255)


def _slab(rng: Generator, sheet: np.ndarray, centre: np.ndarray, radius: float) -> None:
    size = sheet.shape[0]
    top, bottom, left, right = (rng.uniform(0.02, 0.3, 4) * size).astype(int)
    sheet[top : size - bottom, left : size - right] = 255


_OUTLINES: dict[str, Callable[[Generator, np.ndarray, np.ndarray, float], None]] = {
    "disc": _disc,
    "plate": _plate,
    "ring": _ring,
    "gear": _gear,
    "bolt": _bolt,
    "slab": _slab,
}
OBJECT_KINDS: tuple[str, ...] = tuple(_OUTLINES)


def draw_outline(kind: str, rng: Generator, size: int) -> np.ndarray:
    """Where a part of that kind lies: (size, size) float32, 0 outside and 1 inside."""
    sheet = np.zeros((size, size), np.uint8)
    centre = size / 2 + rng.normal(0, 0.08 * size, 2)
    _OUTLINES[kind](rng, sheet, centre, rng.uniform(0.25, 0.48) * size)
    return blurred(sheet.astype(np.float32) / 255, 0.7 * size / 160)


def place_object(rng: Generator, material: np.ndarray, fields: FieldSource) -> np.ndarray:
    """A part cut from a piece of material, shaded at its edges, on a plain background.

    Takes and returns (s, s) float32, about 0 to 255.
    """
    size = material.shape[0]
    outline = draw_outline(str(rng.choice(OBJECT_KINDS)), rng, size)
    if rng.uniform() < 0.4:
        material = _with_features(rng, material)
    depth = cv2.distanceTransform((outline > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    bevel = log_uniform(rng, 1.5, 20) * size / 160
    shade = np.exp(-depth / bevel) * rng.uniform(-70, 70)
    slope = cv2.Sobel(np.minimum(depth, bevel), -1, 1, 0) * rng.uniform(-20, 20)
    background = rng.uniform(0, 255) + (fields.surface(rng, size) - 128) * rng.uniform(0, 0.3)
    return (material + shade + slope) * outline + background * (1 - outline)


def _with_features(rng: Generator, material: np.ndarray) -> np.ndarray:
    """Bosses and recesses that belong to the part, so that not every edge is a fault."""
    size = material.shape[0]
    for _ in range(rng.integers(1, 5)):
        sheet = np.zeros((size, size), np.uint8)
        corners = int(rng.choice([4, 6, ROUND]))
        radius, elongation = log_uniform(rng, 0.02, 0.14) * size, log_uniform(rng, 0.6, 1.6)
        place = tuple(rng.uniform(0.25, 0.75, 2) * size)
        outline = irregular_polygon(
            rng, place, radius, corners=corners, irregularity=0, elongation=elongation
        )
        fill(sheet, outline, 255)
        material = material + sheet.astype(np.float32) / 255 * rng.uniform(-70, 70)
    return material
