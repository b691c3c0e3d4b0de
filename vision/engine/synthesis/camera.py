"""A camera over a bench: light, shadows, reflections, lens and sensor of the gallery's photographs.

The light is a soft box at the upper left and a weaker one opposite; what it does to a relief follows from
the relief's slopes (Blinn and Newell, Texture and reflection in computer generated images, 1976, for the
reflections).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import blurred, unit_grid

_SHADOW_STEPS = (3, 6, 10, 15, 22, 30)
#: Height that a ray of light loses for one pixel.
_SLOPE_OF_LIGHT = 0.85
_JPEG_QUALITY = (84, 94)
#: Colour of reflections that are not a metal's: a little cooler than the lamp.
_SKY = np.array([0.97, 1.0, 1.03], np.float32)


@dataclass
class Still:
    """What lies before the camera; arrays of (s, s), colour (s, s, 3), float32.

    `height` in pixels; `colour` from 0 to 1; `gloss` the strength of reflections and `roughness` their blur,
    both from 0 to 1; `metal` 1 where reflections take the colour.
    """

    height: np.ndarray
    colour: np.ndarray
    gloss: np.ndarray
    roughness: float
    metal: np.ndarray


def _moved(field: np.ndarray, dx: float, dy: float) -> np.ndarray:
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return cv2.warpAffine(field, move, field.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


def _broadly_blurred(field: np.ndarray, sigma: float) -> np.ndarray:
    """Blur of many pixels, made at a quarter of the resolution."""
    small = cv2.resize(field, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return cv2.resize(blurred(small, sigma / 4), field.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _fades(distance: np.ndarray, blur: float) -> np.ndarray:
    """1 well inside (positive distance), 0 well outside, smooth over about 4 times `blur`."""
    share = np.clip(distance * (0.25 / blur) + 0.5, 0, 1)
    return share * share * (3 - 2 * share)


def _soft_box(u: np.ndarray, v: np.ndarray, half: tuple[float, float], blur: float) -> np.ndarray:
    """Light from a rectangle around 0 as seen in direction (u, v), 0 to 1."""
    return _fades(half[0] - np.abs(u), blur) * _fades(half[1] - np.abs(v), blur)


def _shadows(height: np.ndarray, towards: tuple[float, float]) -> np.ndarray:
    """How much of the light is kept from each place, 0 to 1."""
    rise = np.zeros_like(height)
    for step in _SHADOW_STEPS:
        hit = _moved(height, -step * towards[0], -step * towards[1])
        np.maximum(rise, hit - height - _SLOPE_OF_LIGHT * step, out=rise)
    return blurred(np.clip(rise / 3, 0, 1), 2.0)


def light_up(rng: Generator, still: Still) -> np.ndarray:
    """The still under workshop light: (s, s, 3) float32, linear, about 0 to 1."""
    size = still.height.shape[0]
    y, x = unit_grid(size)
    angle = rng.normal(-2.25, 0.2)
    towards = (math.cos(angle), math.sin(angle))
    height = blurred(still.height, 0.7)
    slope_x, slope_y = (cv2.Sobel(height, -1, *order, ksize=3) / 8 for order in ((1, 0), (0, 1)))
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    facing = (0.55 * (-slope_x * towards[0] - slope_y * towards[1]) + 0.83) / length
    shadow = _shadows(height, towards)
    sunk = 0.11 * np.clip(blurred(height, 4) - height, 0, None)
    sunk += 0.02 * np.clip(_broadly_blurred(height, 14) - height, 0, None)
    cavity = cv2.exp(-sunk)
    direct = np.clip(facing, 0, None) * (1 - 0.75 * shadow)

    # Direction of the mirrored ray: it drifts over the picture, since the camera is near.
    centre = (0.36 + rng.normal(0, 0.04), 0.30 + rng.normal(0, 0.04))
    tilt_x, tilt_y = 2 * slope_x / length, 2 * slope_y / length
    u, v = 0.9 * (x - centre[0]) - tilt_x, 0.9 * (y - centre[1]) - tilt_y
    blur = 0.02 + 0.22 * still.roughness
    mirrored = _soft_box(u, v, (0.24, 0.17), blur)
    mirrored += 0.35 * _soft_box(u - 0.85, v - 0.65, (0.10, 0.45), blur)
    mirrored *= 1 - 0.6 * shadow
    room = 0.30 - 0.16 * np.clip(v, -1, 1)

    glow = still.gloss * (mirrored + 0.5 * room) * cavity
    dull = (0.34 + 0.72 * direct) * cavity
    polished = (0.26 + 0.52 * direct) * cavity + 1.35 * glow
    lit = still.colour * (dull + (polished - dull) * still.metal)[..., None]
    lit += (glow * (1 - still.metal))[..., None] * _SKY
    return lit


def expose(rng: Generator, scene: np.ndarray) -> np.ndarray:
    """Lens, sensor and compression: takes linear light, returns (s, s, 3) uint8 RGB."""
    size = scene.shape[0]
    y, x = unit_grid(size)
    scene = scene.astype(np.float32)
    # Depth of field: sharp in a band, softer before and behind it.
    focus, near = rng.uniform(0.45, 0.6), blurred(scene, rng.uniform(0.45, 0.7))
    far = cv2.blur(cv2.blur(scene, (4, 4)), (3, 3))
    softness = np.clip((np.abs(y - focus) - 0.24) * 2.2, 0, 0.9)[..., None]
    picture = (far - near) * softness
    picture += near
    picture += 0.06 * _broadly_blurred(np.clip(picture - 0.75, 0, None), 8)  # light that scatters in the lens

    falloff = 1 - rng.uniform(0.20, 0.42) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    falloff = falloff + rng.normal(0, 0.05) * (x - 0.5) - rng.uniform(0.02, 0.12) * (y - 0.5)
    balance = np.array([1.015, 1, 0.985]) + rng.normal(0, 0.005, 3)
    picture *= falloff[..., None] * (balance * rng.uniform(0.96, 1.08)).astype(np.float32)
    np.maximum(picture, 0, out=picture)
    picture /= 1 + np.maximum(picture - 0.72, 0)  # the shoulder of the tone curve
    picture = cv2.pow(picture, 0.88)

    shot = rng.standard_normal((size, size), dtype=np.float32) * rng.uniform(0.006, 0.012)
    tint = cv2.resize(rng.standard_normal((size // 2, size // 2, 3), dtype=np.float32), (size, size))
    shot *= 0.6 + 0.6 * cv2.sqrt(picture[..., 1])  # photons: bright places are noisier
    picture += shot[..., None] + 0.006 * tint
    pixels = cv2.convertScaleAbs(np.maximum(picture, 0), alpha=255)
    quality = int(rng.integers(*_JPEG_QUALITY))
    _, packed = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
