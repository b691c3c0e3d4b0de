"""What the gallery's parts lie on: benches, mats, cloths and trays."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import FIELD_SIZE, filtered_noise, power_law, unit_grid
from vision.engine.synthesis.forms import DRAWN_SIZE
from vision.engine.synthesis.patterns import cell_heights

Bed = tuple[np.ndarray, np.ndarray]
"""Height in pixels (256, 256) float32 and colour (256, 256, 3) float32: beds lie out of focus, so half the
resolution is enough."""


@lru_cache(maxsize=16)
def _gain(exponent: float, anisotropy: float = 1.0, corner: float = 1.0) -> np.ndarray:
    return power_law(exponent, anisotropy=anisotropy, corner=corner)


def _noise(rng: Generator, exponent: float, anisotropy: float = 1.0, corner: float = 1.0) -> np.ndarray:
    return filtered_noise(rng, _gain(exponent, anisotropy, corner))


def _coloured(colour: tuple[float, float, float], tone: np.ndarray) -> np.ndarray:
    return np.asarray(colour, np.float32) * tone[..., None]


def _rib(position: np.ndarray, count: float, width: float) -> np.ndarray:
    """1 on lines that repeat `count` times over the picture, each `width` of the distance wide."""
    distance = np.abs((position * count) % 1 - 0.5)
    return np.clip((width - distance) * 12 + 0.5, 0, 1)


def _bench(rng: Generator) -> Bed:
    """Painted steel, worn and a little dirty."""
    dirt = np.clip(_noise(rng, 1.9), 0, None)
    speck = np.clip(_noise(rng, 0.6) - 2.6, 0, 1)
    return 0.25 * _noise(rng, 1.2), _coloured((0.30, 0.335, 0.36), 1 - 0.10 * dirt - 0.25 * speck)


def _cloth(rng: Generator) -> Bed:
    """A blue wipe with soft folds."""
    y, x = unit_grid(FIELD_SIZE)
    weave = np.sin(2 * np.pi * 64 * x) * np.sin(2 * np.pi * 64 * y)
    folds = _noise(rng, 2.8)
    return 6 * folds + 0.4 * weave, _coloured((0.13, 0.22, 0.36), 1 + 0.10 * weave + 0.05 * _noise(rng, 0.8))


def _wood(rng: Generator) -> Bed:
    """A workbench of beech."""
    y, _ = unit_grid(FIELD_SIZE)
    bend = _noise(rng, 2.4, 5)
    rings = np.sin(2 * np.pi * (9 * y + 0.9 * bend))
    fibre = _noise(rng, 0.7, 30, 10)
    return 0.3 * fibre, _coloured((0.50, 0.34, 0.20), 1 + 0.09 * rings + 0.09 * fibre)


def _granite(rng: Generator) -> Bed:
    """A surface plate of dark granite."""
    grain = _noise(rng, 0.5, 1, 30)
    tone = 1 + 0.25 * np.clip(grain - 0.6, 0, 2) - 0.15 * np.clip(-grain - 0.8, 0, 2)
    return np.zeros_like(grain), _coloured((0.22, 0.225, 0.23), tone)


def _cardboard(rng: Generator) -> Bed:
    """The bottom of a transport box, corrugation showing through."""
    y, _ = unit_grid(FIELD_SIZE)
    waves = np.sin(2 * np.pi * 34 * (y + 0.002 * _noise(rng, 2.2)))
    fibre = _noise(rng, 0.8, 4, 12)
    return 0.35 * waves + 0.2 * fibre, _coloured((0.54, 0.415, 0.275), 1 + 0.035 * fibre + 0.02 * waves)


def _paper(rng: Generator) -> Bed:
    """White paper, a little creased."""
    crease = np.abs(_noise(rng, 2.4))
    return 5 * crease + 0.1 * _noise(rng, 0.8), _coloured((0.74, 0.74, 0.73), 1 + 0.015 * _noise(rng, 1.0))


def _foam(rng: Generator) -> Bed:
    """The dark foam of a part-specific tray."""
    cells = cell_heights(rng, 6000)
    return 0.8 * cells, _coloured((0.13, 0.13, 0.14), 1 + 0.15 * cells)


def _mat(rng: Generator) -> Bed:
    """A green cutting mat with its grid."""
    y, x = unit_grid(FIELD_SIZE)
    place = rng.uniform(0, 1, 2)
    wide = np.maximum(_rib(x + place[0], 5, 0.012), _rib(y + place[1], 5, 0.012))
    cuts = np.clip(_noise(rng, 0.9, 60, 8) - 2.4, 0, 1)
    colour = _coloured((0.10, 0.27, 0.21), 1 + 0.06 * _noise(rng, 1.6) - 0.3 * cuts)
    return 0.1 * _noise(rng, 0.8), colour + 0.28 * wide[..., None] * np.array([0.8, 1, 0.75], np.float32)


def _tray(rng: Generator) -> Bed:
    """A grey plastic tray with ribs in its bottom."""
    y, x = unit_grid(FIELD_SIZE)
    place = rng.uniform(0, 1, 2)
    ribs = np.maximum(_rib(x + place[0], 3.5, 0.05), _rib(y + place[1], 3.5, 0.05))
    scuffs = np.clip(_noise(rng, 1.0, 20, 6) - 1.6, 0, 1)
    return 3 * ribs, _coloured((0.20, 0.27, 0.36), 1 + 0.03 * _noise(rng, 1.4) + 0.25 * scuffs)


_BEDS: dict[str, Callable[[Generator], Bed]] = {
    "bench": _bench,
    "cloth": _cloth,
    "wood": _wood,
    "granite": _granite,
    "cardboard": _cardboard,
    "paper": _paper,
    "foam": _foam,
    "mat": _mat,
    "tray": _tray,
}


def draw_bed(name: str, rng: Generator) -> Bed:
    """Height (512, 512) in pixels and colour (512, 512, 3) of a bed, float32, slightly turned."""
    height, colour = _BEDS[name](rng)
    both = np.dstack([height, colour]).astype(np.float32)
    zoom = DRAWN_SIZE / FIELD_SIZE
    turn = cv2.getRotationMatrix2D((FIELD_SIZE / 2,) * 2, float(rng.normal(0, 6)), zoom * 1.05)
    turn[:, 2] += (DRAWN_SIZE - FIELD_SIZE) / 2
    both = cv2.warpAffine(
        both, turn, (DRAWN_SIZE,) * 2, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return both[..., 0], np.ascontiguousarray(both[..., 1:])
