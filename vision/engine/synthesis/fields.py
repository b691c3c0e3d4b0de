"""Random fields: the raw material of every drawn surface. Float32, made of numpy and FFTs."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator
from scipy import fft

#: Side of the square fields in pixels, unless told otherwise.
FIELD_SIZE = 256


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """A number between `low` and `high` (both positive), uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def random_sign(rng: Generator, negative: float = 0.5) -> int:
    """-1 with probability `negative`, else 1."""
    return -1 if rng.uniform() < negative else 1


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-values)), safe for large values."""
    return 1 / (1 + np.exp(-np.clip(values, -20, 20)))


def standardised(field: np.ndarray) -> np.ndarray:
    """The field with mean 0 and standard deviation 1, float32."""
    field = field - field.mean()
    return (field / (field.std() + 1e-6)).astype(np.float32)


@lru_cache(maxsize=4)
def frequency_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (y, x) of a real FFT in cycles per picture, each (size, size // 2 + 1) float32."""
    fy, fx = np.meshgrid(np.fft.fftfreq(size) * size, np.fft.rfftfreq(size) * size, indexing="ij")
    return fy.astype(np.float32), fx.astype(np.float32)


@lru_cache(maxsize=4)
def unit_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (y, x) from 0 to 1, each (size, size) float32."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    return y, x


def power_law(
    exponent: float,
    *,
    anisotropy: float = 1.0,
    angle: float = 0.0,
    corner: float = 1.0,
    size: int = FIELD_SIZE,
) -> np.ndarray:
    """Filter whose gain falls with frequency to the power `exponent`: the spectrum of most rough surfaces.

    Below `corner` (cycles per picture) the gain is flat; `anisotropy` stretches the grain along `angle`
    (rad).
    """
    fy, fx = frequency_grid(size)
    along = fx * np.cos(angle) + fy * np.sin(angle)
    across = -fx * np.sin(angle) + fy * np.cos(angle)
    gain = ((along * anisotropy) ** 2 + across**2 + corner**2) ** (-exponent / 2)
    gain[0, 0] = 0
    return gain.astype(np.float32)


def band_pass(
    frequency: float,
    width: float,
    *,
    angle: float | None = None,
    spread: float = 0.3,
    size: int = FIELD_SIZE,
) -> np.ndarray:
    """Filter around one `frequency` (cycles per picture), log-normal of `width`.

    With an `angle` (rad) only waves in that direction pass, within about `spread` rad.
    """
    fy, fx = frequency_grid(size)
    radius = np.hypot(fx, fy) + 1e-3
    gain = np.exp(-0.5 * (np.log(radius / frequency) / width) ** 2)
    if angle is not None:
        turn = (np.arctan2(fy, fx) - angle + np.pi / 2) % np.pi - np.pi / 2
        gain *= np.exp(-0.5 * (turn / spread) ** 2)
    gain[0, 0] = 0
    return gain.astype(np.float32)


def filtered(field: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """A square field passed through a filter of `power_law` or `band_pass`, standardised."""
    return standardised(fft.irfft2(fft.rfft2(field) * gain, s=field.shape))


def filtered_noise(rng: Generator, gain: np.ndarray) -> np.ndarray:
    """White noise passed through a filter: (size, size) float32, mean 0, standard deviation 1."""
    size = gain.shape[0]
    return filtered(rng.standard_normal((size, size), dtype=np.float32), gain)


def displaced(field: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The field read `dx`, `dy` pixels away from each position; mirrored at the border."""
    y, x = unit_grid(field.shape[0])
    size = field.shape[0]
    return cv2.remap(
        field,
        (x * size + dx).astype(np.float32),
        (y * size + dy).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def blurred(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of `sigma` pixels."""
    return cv2.GaussianBlur(field, (0, 0), sigma)
