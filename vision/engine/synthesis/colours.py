"""Colour for drawn scenes: the brightness stays as it was drawn, hue and saturation are laid over it."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import log_uniform, sigmoid

#: Share of each channel in the brightness (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
GREY_SHARE = 0.5
#: Share of coloured scenes in which a fault shows in its hue more than in its brightness.
_HUE_FAULT_SHARE = 0.25
_FAINT = 0.25


def _hue(rng: Generator) -> np.ndarray:
    """A random direction of colour (3,) without any brightness, length 1."""
    direction = rng.normal(size=3)
    direction = direction - direction @ LUMA
    return (direction / np.linalg.norm(direction)).astype(np.float32)


@dataclass(frozen=True)
class Palette:
    """The colours of a scene: two of the material, as shares of its brightness, and one of each fault.

    `contrasts` are factors of each fault's change of brightness.
    """

    base: np.ndarray
    accent: np.ndarray
    faults: tuple[np.ndarray, ...]
    contrasts: tuple[float, ...]

    def lay_over(self, grey: np.ndarray) -> np.ndarray:
        """Colour a grey material (s, s): float32 (s, s, 3)."""
        tone = sigmoid(2 * (grey - grey.mean()) / (grey.std() + 1e-3))[..., None]
        return grey[..., None] * (1 + self.base * (1 - tone) + self.accent * tone)


_COLOURLESS = np.zeros(3, np.float32)


def draw_palette(rng: Generator, faults: int) -> Palette:
    """A palette for a material with that many faults; every second one is grey throughout."""
    if rng.uniform() < GREY_SHARE:
        return Palette(_COLOURLESS, _COLOURLESS, (_COLOURLESS,) * faults, (1.0,) * faults)
    base = _hue(rng) * log_uniform(rng, 0.02, 0.6)
    accent = base if rng.uniform() < 0.5 else _hue(rng) * log_uniform(rng, 0.02, 0.6)
    hues, contrasts = [], []
    for _ in range(faults):
        by_hue = rng.uniform() < _HUE_FAULT_SHARE
        tinted = by_hue or rng.uniform() < 0.5
        hues.append(_hue(rng) * log_uniform(rng, 12, 80) if tinted else _COLOURLESS)
        contrasts.append(_FAINT if by_hue else 1.0)
    return Palette(base, accent, tuple(hues), tuple(contrasts))
