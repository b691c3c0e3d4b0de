"""A descriptor made by hand, without learning: what every network has to beat."""

import cv2
import numpy as np
from PIL import Image

_SIDE = 128
_CELLS = 4
_ORIENTATIONS = 9
_PATTERN_BINS = 10


def describe(image: Image.Image) -> np.ndarray:
    """Local binary patterns, oriented gradients and grey values of a picture: float32 (185,), unit length.

    Rotation-invariant uniform patterns (Ojala et al., 2002) at radius 1, 2 and 4, gradient orientations on a
    grid of 4 x 4 cells (Dalal and Triggs, 2005, without block overlap), and nine quantiles with mean and
    spread of the grey values. The histograms are square-rooted, so that no bin rules the others.
    """
    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), np.float32)
    patterns = [_binary_patterns(grey, radius) for radius in (1, 2, 4)]
    quantiles = np.quantile(grey, np.linspace(0.05, 0.95, 9)) / 255
    values = np.array([*quantiles, grey.mean() / 255, grey.std() / 128], np.float32)
    parts = [*patterns, _oriented_gradients(grey)]
    blocks = [np.sqrt(part / max(part.sum(), 1e-9)) for part in parts]
    blocks.append(values / max(float(np.linalg.norm(values)), 1e-9))
    joined = np.concatenate(blocks)
    return (joined / np.linalg.norm(joined)).astype(np.float32)


def _binary_patterns(grey: np.ndarray, radius: int) -> np.ndarray:
    """Histogram (10,) of the uniform patterns of 8 neighbours by number of ones; the last bin is the rest."""
    ring = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
    inner = grey[radius:-radius, radius:-radius]
    height, width = inner.shape
    bits = np.stack(
        [grey[radius * (1 + dy) :, radius * (1 + dx) :][:height, :width] >= inner for dy, dx in ring]
    )
    changes = (bits != np.roll(bits, 1, axis=0)).sum(axis=0)
    codes = np.where(changes <= 2, bits.sum(axis=0), _PATTERN_BINS - 1)
    return np.bincount(codes.ravel(), minlength=_PATTERN_BINS).astype(np.float32)


def _oriented_gradients(grey: np.ndarray) -> np.ndarray:
    """Gradient strength by cell and orientation, (4 * 4 * 9,)."""
    dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0)
    dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(dx, dy)
    orientation = ((np.arctan2(dy, dx) % np.pi) / np.pi * _ORIENTATIONS).astype(int) % _ORIENTATIONS
    y, x = np.indices(grey.shape) * _CELLS // _SIDE
    bins = (y * _CELLS + x) * _ORIENTATIONS + orientation
    return np.bincount(bins.ravel(), strength.ravel(), _CELLS * _CELLS * _ORIENTATIONS).astype(np.float32)
