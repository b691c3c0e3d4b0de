"""Where fault and object drawing gets its random fields: drawn afresh, or cut from a bank drawn once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import FIELD_SIZE, filtered_noise, log_uniform, power_law, standardised
from vision.engine.synthesis.patterns import crackle
from vision.engine.synthesis.textures import FAMILY_CYCLE, draw_material

SLOW_FIELDS = 200
CRACK_NETWORKS = 40
#: Banks of different seeds share no material up to this size. Whole cycles, so that row r has family r.
MATERIALS_APART = 10_000 * len(FAMILY_CYCLE)

Mapper = Callable[[Callable[[int], np.ndarray], Iterable[int]], Iterable[Any]]


class FieldSource(Protocol):
    """Random fields of any side; each method returns (size, size) float32."""

    def slow(self, rng: Generator, size: int) -> np.ndarray:
        """A smooth field, mean about 0, standard deviation about 1."""

    def surface(self, rng: Generator, size: int) -> np.ndarray:
        """A piece of some other material, 0 to 255."""

    def cracks(self, rng: Generator, size: int) -> np.ndarray:
        """A network of fine lines, 0 where there is none, up to about 6 on a line."""


def _draw_slow(rng: Generator) -> np.ndarray:
    gain = power_law(
        rng.uniform(1.2, 3),
        anisotropy=log_uniform(rng, 1, 3),
        angle=rng.uniform(0, np.pi),
        corner=log_uniform(rng, 1, 6),
    )
    return filtered_noise(rng, gain)


def _draw_cracks(rng: Generator) -> np.ndarray:
    return np.clip(-standardised(crackle(rng)(rng)), 0, 6)


def _cut(rng: Generator, field: np.ndarray, size: int, zoom: float) -> np.ndarray:
    """A random square of `field`, `zoom` of its side, perhaps turned or mirrored, scaled to `size`."""
    side = int(FIELD_SIZE * zoom)
    x, y = rng.integers(0, FIELD_SIZE - side + 1, 2)
    piece = field[y : y + side, x : x + side].astype(np.float32)
    if rng.uniform() < 0.5:
        piece = piece[::-1]
    if rng.uniform() < 0.5:
        piece = piece.T
    return cv2.resize(np.ascontiguousarray(piece), (size, size), interpolation=cv2.INTER_LINEAR)


class FreshFields:
    """Draws every field anew: for single pictures, where drawing a bank first would not pay."""

    def slow(self, rng: Generator, size: int) -> np.ndarray:
        return _cut(rng, _draw_slow(rng), size, log_uniform(rng, 0.3, 0.65))

    def surface(self, rng: Generator, size: int) -> np.ndarray:
        piece = draw_material(int(rng.integers(1 << 30)), 1)[0]
        return _cut(rng, piece, size, log_uniform(rng, 0.5, 1))

    def cracks(self, rng: Generator, size: int) -> np.ndarray:
        return _cut(rng, _draw_cracks(rng), size, log_uniform(rng, 0.45, 0.9))


@dataclass(frozen=True)
class FieldBank:
    """Fields drawn once and cut many times: some twenty times faster than `FreshFields`.

    `surfaces` is (materials, pieces, 256, 256) uint8; the others are (n, 256, 256) float16.
    """

    surfaces: np.ndarray
    slow_fields: np.ndarray
    crack_networks: np.ndarray

    def slow(self, rng: Generator, size: int) -> np.ndarray:
        return _cut(
            rng, self.slow_fields[rng.integers(len(self.slow_fields))], size, log_uniform(rng, 0.3, 0.65)
        )

    def surface(self, rng: Generator, size: int) -> np.ndarray:
        material, piece = rng.integers(self.surfaces.shape[0]), rng.integers(self.surfaces.shape[1])
        return _cut(rng, self.surfaces[material, piece], size, log_uniform(rng, 0.5, 1))

    def cracks(self, rng: Generator, size: int) -> np.ndarray:
        network = self.crack_networks[rng.integers(len(self.crack_networks))]
        return _cut(rng, network, size, log_uniform(rng, 0.45, 0.9))

    @classmethod
    def draw(
        cls,
        materials: int,
        pieces: int,
        seed: int,
        *,
        slow_fields: int = SLOW_FIELDS,
        crack_networks: int = CRACK_NETWORKS,
        run: Mapper = map,
    ) -> "FieldBank":
        """A bank of `materials` materials with `pieces` pieces each; `run` may map over several processes."""
        first = seed * MATERIALS_APART
        draw_pieces = partial(draw_material, pieces=pieces)
        rng = np.random.default_rng([3, seed])
        return cls(
            np.stack(list(run(draw_pieces, range(first, first + materials)))),
            np.stack([_draw_slow(rng) for _ in range(slow_fields)]).astype(np.float16),
            np.stack([_draw_cracks(rng) for _ in range(crack_networks)]).astype(np.float16),
        )

    def save(self, folder: Path) -> None:
        """Write the bank as three .npy files."""
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def load(cls, folder: Path) -> "FieldBank":
        """The bank that `save` wrote; the surfaces stay on disk, memory-mapped."""
        return cls(
            np.load(folder / "surfaces.npy", mmap_mode="r"),
            np.load(folder / "slow_fields.npy"),
            np.load(folder / "crack_networks.npy"),
        )
