"""The materials and products of the gallery: how each surface looks up close, and what is made of it."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import band_pass, filtered_noise, power_law, unit_grid
from vision.engine.synthesis.patterns import cell_heights

Surface = Callable[[Generator, int], tuple[np.ndarray, np.ndarray]]
"""Draws (height, tone), each (size, size) float32: relief in units of the material's bump, and a factor of
the colour around 1."""


@dataclass(frozen=True)
class Product:
    """A product of one material.

    `colour` is RGB from 0 to 1; `bump` is the strength of the relief, `gloss` the strength and `polish` the
    sharpness of highlights. `form` is one of the outlines of `objects`, or "sheet" when the surface fills the
    picture; `bed` is the colour of what a part lies on.
    """

    name: str
    colour: tuple[float, float, float]
    surface: Surface
    bump: float
    gloss: float
    polish: float
    form: str = "sheet"
    bed: tuple[float, float, float] = (0.32, 0.34, 0.36)


def _tone(field: np.ndarray, strength: float) -> np.ndarray:
    return 1 + strength * field


def _brushed(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    lines = filtered_noise(rng, power_law(0.9, anisotropy=70, corner=6, size=size))
    clouds = filtered_noise(rng, power_law(2.4, size=size))
    return lines, _tone(lines, 0.06) + 0.03 * clouds


def _ground(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    lines = filtered_noise(rng, power_law(0.8, anisotropy=25, angle=0.6, corner=10, size=size))
    return lines, _tone(lines, 0.04)


def _turned(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Concentric marks of the lathe."""
    y, x = unit_grid(size)
    radius = np.hypot(x - 0.5, y - 0.5)
    profile = np.convolve(rng.standard_normal(size + 2), np.ones(3) / 3, mode="valid").astype(np.float32)
    marks = np.interp(radius, np.linspace(0, 0.75, size), profile).astype(np.float32)
    grain = filtered_noise(rng, power_law(0.7, corner=20, size=size))
    return 0.7 * marks + 0.4 * grain, _tone(marks, 0.06) + 0.03 * grain


def _cast(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    bumps = filtered_noise(rng, band_pass(60, 0.5, size=size))
    clouds = filtered_noise(rng, power_law(1.8, size=size))
    return bumps + 0.6 * filtered_noise(rng, power_law(1.2, corner=20, size=size)), _tone(clouds, 0.06)


def _smooth(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    dust = filtered_noise(rng, power_law(0.5, corner=40, size=size))
    clouds = filtered_noise(rng, power_law(2.6, size=size))
    return 0.3 * dust + clouds, _tone(clouds, 0.02)


def _orange_peel(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    peel = filtered_noise(rng, band_pass(45, 0.35, size=size))
    flakes = filtered_noise(rng, power_law(0.2, corner=60, size=size))
    return peel, _tone(flakes, 0.015)


def _sparked(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The fine even grain that a sparked mould leaves on plastics."""
    grain = filtered_noise(rng, band_pass(95, 0.3, size=size))
    return grain, _tone(grain, 0.02)


def _grained(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Leather: domed cells between creases."""
    domes = cv2.resize(cell_heights(rng, 900), (size, size), interpolation=cv2.INTER_CUBIC)
    clouds = filtered_noise(rng, power_law(2.0, size=size))
    pores = filtered_noise(rng, power_law(0.6, corner=50, size=size))
    return domes + 0.15 * pores, _tone(clouds, 0.05) + 0.05 * domes


def _threads(rng: Generator, size: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, x = unit_grid(size)
    bend = 0.12 / count * filtered_noise(rng, power_law(2.2, size=size))
    start = rng.uniform(0, 2 * np.pi, 2)
    u = (x + bend) * 2 * np.pi * count + start[0]
    v = (y - bend) * 2 * np.pi * count + start[1]
    return np.sin(u / 2) * np.sin(v / 2) > 0, np.abs(np.sin(u / 2)), np.abs(np.sin(v / 2))


def _cloth(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    over, warp, weft = _threads(rng, size, 34)
    hair = filtered_noise(rng, power_law(0.6, corner=30, size=size))
    height = np.where(over, warp, weft).astype(np.float32)
    return 2 * height + 0.4 * hair, _tone(height - 0.7, 0.35) + 0.04 * hair


def _laminate(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Carbon fibre twill under clear resin: tows that catch the light by their direction."""
    y, x = unit_grid(size)
    tows, start = 14, rng.uniform(0, 1, 2)
    column, row = np.floor(x * tows + start[0]), np.floor(y * tows + start[1])
    along = (column + row) % 4 < 2
    fine = filtered_noise(rng, power_law(0.6, anisotropy=30, size=size))
    across = filtered_noise(rng, power_law(0.6, anisotropy=30, angle=np.pi / 2, size=size))
    arch = np.where(
        along, np.sin(np.pi * ((x * tows + start[0]) % 1)), np.sin(np.pi * ((y * tows + start[1]) % 1))
    )
    tone = np.where(along, 1.25 + 0.15 * across, 0.7 + 0.12 * fine)
    return (0.3 * arch).astype(np.float32), (tone * (0.75 + 0.35 * arch)).astype(np.float32)


_STEEL, _ALUMINIUM = (0.60, 0.61, 0.63), (0.72, 0.73, 0.75)
PRODUCTS: dict[str, Product] = {
    product.name: product
    for product in (
        Product("steel_sheet", _STEEL, _brushed, 0.10, 0.35, 12),
        Product("machined_gear", (0.55, 0.56, 0.58), _ground, 0.10, 0.45, 14, "gear", (0.20, 0.22, 0.26)),
        Product("aluminium_plate", _ALUMINIUM, _ground, 0.06, 0.35, 12, "slab", (0.16, 0.18, 0.20)),
        Product("brake_disc", (0.46, 0.46, 0.47), _turned, 0.12, 0.35, 10, "ring", (0.55, 0.52, 0.47)),
        Product("iron_casting", (0.34, 0.33, 0.33), _cast, 0.28, 0.12, 6, "disc", (0.62, 0.60, 0.56)),
        Product("rubber_seal", (0.11, 0.11, 0.12), _smooth, 0.06, 0.16, 9, "ring", (0.70, 0.71, 0.72)),
        Product("leather_panel", (0.46, 0.27, 0.15), _grained, 0.30, 0.14, 8),
        Product("ceramic_tile", (0.80, 0.79, 0.74), _smooth, 0.03, 0.25, 40, "slab", (0.30, 0.27, 0.24)),
        Product("painted_panel", (0.10, 0.26, 0.52), _orange_peel, 0.05, 0.30, 30),
        Product("plastic_housing", (0.76, 0.74, 0.68), _sparked, 0.10, 0.10, 8, "slab", (0.25, 0.33, 0.38)),
        Product("carbon_laminate", (0.20, 0.20, 0.22), _laminate, 0.06, 0.35, 25),
        Product("woven_cloth", (0.62, 0.58, 0.48), _cloth, 0.22, 0.02, 4),
    )
}
