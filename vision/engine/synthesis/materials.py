"""The materials and products of the gallery: how each surface looks up close, and what is made of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import band_pass, filtered_noise, power_law, unit_grid
from vision.engine.synthesis.forms import DRAWN_SIZE
from vision.engine.synthesis.patterns import cell_heights
from vision.engine.synthesis.shapes import stroke, wandering_path

Surface = Callable[[Generator], tuple[np.ndarray, np.ndarray]]
"""Draws (height, tone), each (512, 512) float32: relief in units of the material's bump, and a factor of
the colour around 1."""


@dataclass(frozen=True)
class Product:
    """A product of one material.

    `colour` is RGB from 0 to 1; `bump` is the strength of the relief in pixels, `gloss` the strength of
    reflections and `roughness` their blur (0 a mirror, 1 matt). A `metal` reflects in its own colour.
    `rusts` says whether iron is in it. `form` is one of the forms, or "sheet" when the surface fills the
    picture; `bed` is what the part lies on, `thickness` how high it stands, and `edge` how wide its edge is
    rounded, both in pixels.
    """

    name: str
    colour: tuple[float, float, float]
    surface: Surface
    bump: float
    gloss: float
    roughness: float
    form: str = "sheet"
    bed: str = "bench"
    thickness: float = 22.0
    edge: float = 6.0
    metal: bool = False
    rusts: bool = False


@lru_cache(maxsize=64)
def _power(exponent: float, anisotropy: float = 1.0, angle: float = 0.0, corner: float = 1.0) -> np.ndarray:
    return power_law(exponent, anisotropy=anisotropy, angle=angle, corner=corner, size=DRAWN_SIZE)


@lru_cache(maxsize=16)
def _band(frequency: float, width: float) -> np.ndarray:
    return band_pass(frequency, width, size=DRAWN_SIZE)


@lru_cache(maxsize=16)
def _coarse_power(exponent: float) -> np.ndarray:
    return power_law(exponent, size=DRAWN_SIZE // 4)


def clouds(rng: Generator, exponent: float = 2.0) -> np.ndarray:
    """A slow field, mean 0, standard deviation 1: (512, 512) float32."""
    field = filtered_noise(rng, _coarse_power(exponent))
    return cv2.resize(field, (DRAWN_SIZE, DRAWN_SIZE), interpolation=cv2.INTER_CUBIC)


def grain(rng: Generator, exponent: float = 0.9, corner: float = 20.0) -> np.ndarray:
    """A fine field, mean 0, standard deviation 1: (512, 512) float32."""
    return filtered_noise(rng, _power(exponent, corner=corner))


def _wear(rng: Generator, count: int) -> np.ndarray:
    """Hairlines from handling: (512, 512) float32, 0 to about 0.3."""
    sheet = np.zeros((DRAWN_SIZE, DRAWN_SIZE), np.uint8)
    for _ in range(count):
        start = tuple(rng.uniform(0, DRAWN_SIZE, 2))
        path = wandering_path(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(20, 140), 0.02, step=12)
        stroke(sheet, path, rng.uniform(20, 80))
    return sheet.astype(np.float32) / 255


def _brushed(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    lines = filtered_noise(rng, _power(0.9, 70, 0.0, 6))
    return lines - 0.8 * _wear(rng, 14), 1 + 0.05 * lines + 0.04 * clouds(rng)


def _ground(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    lines = filtered_noise(rng, _power(0.8, 25, 0.6, 10))
    return lines - 0.8 * _wear(rng, 16), 1 + 0.04 * lines + 0.03 * clouds(rng)


def _turned(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Concentric marks of the lathe."""
    y, x = unit_grid(DRAWN_SIZE)
    radius = np.hypot(x - 0.5, y - 0.5)
    profile = np.convolve(rng.standard_normal(DRAWN_SIZE + 2), np.ones(3) / 3, mode="valid")
    marks = np.interp(radius, np.linspace(0, 0.75, DRAWN_SIZE), profile.astype(np.float32))
    marks = marks.astype(np.float32)
    return 0.8 * marks + 0.15 * grain(rng, 0.7), 1 + 0.05 * marks + 0.03 * clouds(rng)


def _cast(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """The skin that moulding sand leaves."""
    bumps = filtered_noise(rng, _band(60, 0.5))
    sand = grain(rng, 1.2)
    return 0.7 * bumps + 0.8 * sand, 1 + 0.05 * sand + 0.07 * clouds(rng, 1.8)


def _smooth(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    slow = clouds(rng, 2.6)
    return 0.3 * grain(rng, 0.5, 40) + slow, 1 + 0.02 * slow


def _rubber(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Matt, with the bloom and the dust that rubber gathers."""
    bloom = np.clip(clouds(rng, 1.8), 0, None)
    dust = grain(rng, 0.4, 60)
    return 0.5 * dust + clouds(rng, 2.6), 1 + 0.10 * bloom + 0.12 * np.clip(dust - 2.2, 0, None)


def _orange_peel(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    return filtered_noise(rng, _band(45, 0.35)), 1 + 0.012 * grain(rng, 0.2, 60)


def _sparked(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """The fine even grain that a sparked mould leaves on plastics."""
    texture = filtered_noise(rng, _band(95, 0.3))
    return texture, 1 + 0.015 * texture + 0.012 * clouds(rng)


def _grained(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Leather: domed cells between creases."""
    domes = cv2.resize(cell_heights(rng, 900), (DRAWN_SIZE,) * 2, interpolation=cv2.INTER_CUBIC)
    domes = np.clip(domes, -2.2, 0.9)
    return domes + 0.2 * grain(rng, 0.6, 50), 1 + 0.06 * clouds(rng) + 0.07 * domes


def _cloth(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Linen weave: round threads over and under each other."""
    count = 40
    y, x = unit_grid(DRAWN_SIZE)
    bend, slub = 0.10 / count * clouds(rng, 2.2), clouds(rng, 1.2)
    start = rng.uniform(0, 2 * np.pi, 2)
    u = (x + bend) * 2 * np.pi * count + start[0]
    v = (y - bend) * 2 * np.pi * count + start[1]
    over = 0.5 + 0.5 * np.tanh(3 * np.sin(u / 2) * np.sin(v / 2))
    warp, weft = np.abs(np.sin(u / 2)) ** 0.7, np.abs(np.sin(v / 2)) ** 0.7
    height = (over * warp + (1 - over) * weft).astype(np.float32)
    hair = grain(rng, 0.6, 30)
    return 2 * height + 0.5 * hair, 1 + 0.30 * (height - 0.7) + 0.05 * hair + 0.05 * slub


def _laminate(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Carbon fibre twill under clear resin: tows that catch the light by their direction."""
    y, x = unit_grid(DRAWN_SIZE)
    tows, start = 15, rng.uniform(0, 1, 2)
    bend = 0.002 * clouds(rng, 2.4)
    u, v = (x + bend) * tows + start[0], (y + bend) * tows + start[1]
    along = (np.floor(u) + np.floor(v)) % 4 < 2
    fine = filtered_noise(rng, _power(0.6, 30))
    across = filtered_noise(rng, _power(0.6, 30, np.pi / 2))
    arch = np.where(along, np.sin(np.pi * (u % 1)), np.sin(np.pi * (v % 1)))
    tone = np.where(along, 1.30 + 0.16 * across, 0.62 + 0.10 * fine)
    return clouds(rng, 2.6) + 0.1 * arch.astype(np.float32), (tone * (0.75 + 0.35 * arch)).astype(np.float32)


_STEEL, _ALUMINIUM, _IRON = (0.56, 0.57, 0.59), (0.70, 0.71, 0.73), (0.33, 0.325, 0.32)
PRODUCTS: dict[str, Product] = {
    product.name: product
    for product in (
        Product("steel_sheet", _STEEL, _brushed, 0.15, 0.6, 0.30, metal=True, rusts=True),
        Product(
            "machined_gear", (0.52, 0.53, 0.55), _ground, 0.20, 0.65, 0.28,
            "gear", "cloth", 30, 5, metal=True, rusts=True,
        ),
        Product(
            "aluminium_plate", _ALUMINIUM, _ground, 0.15, 0.55, 0.34, "bracket", "wood", 14, 4, metal=True
        ),
        Product(
            "brake_disc", (0.50, 0.50, 0.52), _turned, 0.24, 0.6, 0.30,
            "bearing_ring", "granite", 32, 6, metal=True, rusts=True,
        ),
        Product("iron_casting", _IRON, _cast, 0.8, 0.16, 0.8, "impeller", "cardboard", 30, 9, rusts=True),
        Product(
            "cast_housing", (0.47, 0.47, 0.465), _cast, 0.55, 0.22, 0.7, "flange", "tray", 34, 8, metal=True
        ),
        Product("rubber_seal", (0.10, 0.10, 0.108), _rubber, 0.16, 0.10, 0.6, "lip_seal", "paper", 26, 14),
        Product("leather_panel", (0.43, 0.245, 0.135), _grained, 0.75, 0.10, 0.6),
        Product("ceramic_tile", (0.80, 0.79, 0.75), _smooth, 0.05, 0.16, 0.08, "seal_plate", "foam", 24, 5),
        Product("painted_panel", (0.07, 0.20, 0.45), _orange_peel, 0.10, 0.22, 0.10),
        Product("plastic_housing", (0.74, 0.72, 0.66), _sparked, 0.30, 0.07, 0.6, "housing", "mat", 30, 10),
        Product("carbon_laminate", (0.17, 0.17, 0.18), _laminate, 0.05, 0.20, 0.06),
        Product("woven_cloth", (0.62, 0.58, 0.48), _cloth, 0.8, 0.0, 1.0, "mat", "bench", 10, 4),
    )
}  # fmt: skip
