"""Outlines and lines in subpixel coordinates, drawn into a picture in place."""

import cv2
import numpy as np
from numpy.random import Generator

_SUBPIXEL_BITS = 3


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _line_type(canvas: np.ndarray) -> int:
    return cv2.LINE_AA if canvas.dtype == np.uint8 else cv2.LINE_8  # OpenCV smooths 8-bit pictures only


def irregular_polygon(
    rng: Generator,
    centre: tuple[float, float],
    radius: float,
    *,
    corners: int = 10,
    irregularity: float = 0.3,
    elongation: float = 1.0,
    angle: float = 0.0,
) -> np.ndarray:
    """Corners (n, 2) of a polygon around `centre` (x, y) whose radii vary by `irregularity` of the radius."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 2 * np.pi)
    radii = radius * (1 + irregularity * rng.uniform(-1, 1, corners))
    x, y = radii * np.cos(turn) * elongation, radii * np.sin(turn) / elongation
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], axis=1)


def fill(canvas: np.ndarray, outline: np.ndarray, value: float) -> None:
    """Fill an outline (n, 2) with a value."""
    cv2.fillPoly(canvas, [_fixed_point(outline)], float(value), _line_type(canvas), _SUBPIXEL_BITS)


def stroke(canvas: np.ndarray, path: np.ndarray, value: float, width: float = 1) -> None:
    """Draw an open path (n, 2) with a line `width` pixels wide."""
    thickness = max(1, round(width))
    cv2.polylines(
        canvas, [_fixed_point(path)], False, float(value), thickness, _line_type(canvas), _SUBPIXEL_BITS
    )


def wandering_path(
    rng: Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    wobble: float,
    *,
    step: float = 3.0,
    smooth: bool = True,
) -> np.ndarray:
    """Points (n, 2) of a line that leaves `start` (x, y) towards `angle` and bends by `wobble` rad a step.

    A smooth path bends like a thread; the other kind jags around its direction like a crack.
    """
    bends = rng.normal(0, wobble, max(2, int(length / step)))
    angles = angle + (np.cumsum(bends) if smooth else bends)
    x = start[0] + np.cumsum(np.cos(angles)) * step
    y = start[1] + np.cumsum(np.sin(angles)) * step
    return np.stack([x, y], axis=1)
