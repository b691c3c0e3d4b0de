"""The twelve kinds of fault, drawn into a grey picture together with their masks.

Lengths are written for pictures of 160 px and scale with the picture. Every drawing takes a `_Scene` and
returns the changed picture, (s, s) float32 with values of about 0 to 255, and the mask, (s, s) float32 from
0 to 1 (sometimes a little above; `draw_fault` clips it).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import blurred, log_uniform, random_sign, sigmoid
from vision.engine.synthesis.shapes import fill, irregular_polygon, stroke, wandering_path
from vision.engine.synthesis.sources import FieldSource

REFERENCE_SIZE = 160


@dataclass(frozen=True)
class _Scene:
    image: np.ndarray
    rng: Generator
    fields: FieldSource
    amplitude: float
    """Change of brightness, with its sign."""

    @property
    def size(self) -> int:
        return self.image.shape[0]

    @property
    def unit(self) -> float:
        """Pixels for one pixel of the reference size."""
        return self.size / REFERENCE_SIZE

    def point(self, margin: float) -> np.ndarray:
        """A position (x, y), at least `margin` of the side away from the border."""
        return self.rng.uniform(margin, 1 - margin, 2) * self.size

    def sheet(self) -> np.ndarray:
        """An empty 8-bit picture, in which lines are drawn smoothly."""
        return np.zeros((self.size, self.size), np.uint8)

    def soften(self, sheet: np.ndarray, sigma: float) -> np.ndarray:
        """A drawn sheet as a mask from 0 to 1, blurred by `sigma` reference pixels."""
        return blurred(sheet.astype(np.float32) / 255, sigma * self.unit)

    def slow(self) -> np.ndarray:
        return self.fields.slow(self.rng, self.size)

    def shifted(self, mask: np.ndarray, dx: float, dy: float) -> np.ndarray:
        """The mask moved by (dx, dy) reference pixels."""
        return np.roll(mask, (round(dy * self.unit), round(dx * self.unit)), (0, 1))

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        y, x = np.mgrid[: self.size, : self.size].astype(np.float32)
        return y, x


Drawn = tuple[np.ndarray, np.ndarray]


def _region(scene: _Scene, smallest: float, largest: float, sharpness: float | None = None) -> np.ndarray:
    """A cloud-shaped mask about `smallest` to `largest` of the picture wide."""
    rng, size = scene.rng, scene.size
    radius, elongation = log_uniform(rng, smallest, largest) * size / 2, log_uniform(rng, 0.5, 2)
    centre = scene.point(0.12)
    y, x = scene.positions()
    distance = ((x - centre[0]) / (radius * elongation)) ** 2 + ((y - centre[1]) / (radius / elongation)) ** 2
    sharpness = sharpness or log_uniform(rng, 2, 20)
    return sigmoid(sharpness * (0.8 - distance + 0.8 * scene.slow()))


def _scratch(scene: _Scene) -> Drawn:
    rng, sheet, angle = scene.rng, scene.sheet(), scene.rng.uniform(0, np.pi)
    for _ in range(1 + int(rng.poisson(0.8))):
        length = log_uniform(rng, 0.2, 1.2) * scene.size
        angle += rng.normal(0, 0.15)
        start = scene.point(0.1) - np.array([np.cos(angle), np.sin(angle)]) * length / 2
        path = wandering_path(
            rng, tuple(start), angle, length, float(rng.choice([0, 0.01, 0.03])), step=3 * scene.unit
        )
        stroke(sheet, path, rng.uniform(120, 255), rng.integers(1, 4) * scene.unit)
    mask = scene.soften(sheet, log_uniform(rng, 0.4, 1.2)) * np.clip(0.9 + 0.5 * scene.slow(), 0.1, 1.3)
    image = scene.image + scene.amplitude * mask
    if rng.uniform() < 0.3:  # the raised edge of a groove
        image = image - scene.amplitude * 0.5 * scene.shifted(mask, 1, 1)
    return image, mask


def _crack(scene: _Scene) -> Drawn:
    rng, sheet = scene.rng, scene.sheet()

    def branch(start: tuple[float, float], angle: float, length: float, width: float, depth: int) -> None:
        smooth = rng.uniform() < 0.5
        wobble = 0.25 if smooth else log_uniform(rng, 0.25, 0.7)
        path = wandering_path(rng, start, angle, length, wobble, step=3 * scene.unit, smooth=smooth)
        for first in range(0, len(path) - 1, 5):
            thickness = width * (1 - 0.6 * first / len(path)) + rng.normal(0, 0.4) * scene.unit
            stroke(sheet, path[first : first + 6], 255, thickness)
        if depth == 2:
            return
        for _ in range(rng.poisson(0.9)):
            fork = tuple(path[rng.integers(len(path))])
            turn = random_sign(rng) * rng.uniform(0.3, 1.2)
            branch(fork, angle + turn, length * rng.uniform(0.2, 0.6), width * 0.6, depth + 1)

    length, width = log_uniform(rng, 0.25, 1.1) * scene.size, log_uniform(rng, 1, 3.5) * scene.unit
    branch(tuple(scene.point(0.1)), rng.uniform(0, 2 * np.pi), length, width, 0)
    mask = scene.soften(sheet, log_uniform(rng, 0.4, 0.9))
    depth = 1.2 * abs(scene.amplitude)
    return scene.image + (-depth if rng.uniform() < 0.9 else depth) * mask, mask


def _pit(scene: _Scene) -> Drawn:
    rng, sheet = scene.rng, scene.sheet()
    count = int(log_uniform(rng, 1, 25))
    radius = log_uniform(rng, 1.2, 9) * (1 if count < 8 else 0.6)
    centre, scatter = scene.point(0.1), log_uniform(rng, 0.05, 0.5) * scene.size
    for _ in range(count):
        place = centre + rng.normal(0, scatter, 2) if count > 1 else centre
        outline = irregular_polygon(
            rng,
            tuple(place),
            radius * scene.unit * np.exp(rng.normal(0, 0.4)),
            corners=9,
            irregularity=0.2,
            elongation=log_uniform(rng, 0.7, 1.4),
            angle=rng.uniform(0, np.pi),
        )
        fill(sheet, outline, 255)
    mask = scene.soften(sheet, log_uniform(rng, 0.5, 1.5))
    light, reach = rng.uniform(0, 2 * np.pi), max(1, 0.4 * radius)
    rim = np.clip(scene.shifted(mask, reach * np.cos(light), reach * np.sin(light)) - mask, 0, 1)
    depth = abs(scene.amplitude)
    floor = -depth if rng.uniform() < 0.8 else depth
    return scene.image + floor * mask + depth * rng.uniform(0, 0.9) * rim, mask


def _stain(scene: _Scene) -> Drawn:
    mask, strength = _region(scene, 0.15, 0.9), 0.6 * scene.amplitude
    if scene.rng.uniform() < 0.3:  # dried: darkest at its border
        return scene.image + strength * (4 * mask * (1 - mask) + 0.2 * mask), mask
    return scene.image + strength * mask, mask


def _dent(scene: _Scene) -> Drawn:
    rng, centre = scene.rng, scene.point(0.15)
    radius, elongation = log_uniform(rng, 0.04, 0.2) * scene.size, log_uniform(rng, 0.5, 2)
    angle, light = rng.uniform(0, 2 * np.pi, 2)
    y, x = scene.positions()
    x, y = x - centre[0], y - centre[1]
    u = (x * np.cos(angle) + y * np.sin(angle)) / (radius * elongation)
    v = (-x * np.sin(angle) + y * np.cos(angle)) / (radius / elongation)
    mask = np.exp(-0.5 * (u * u + v * v))
    slope = (u * np.cos(light) + v * np.sin(light)) * mask
    return scene.image + 1.6 * abs(scene.amplitude) * slope, mask


def _inclusion(scene: _Scene) -> Drawn:
    rng, sheet, angle, centre = scene.rng, scene.sheet(), scene.rng.uniform(0, np.pi), scene.point(0.15)
    along = np.array([np.cos(angle), np.sin(angle)])
    for _ in range(int(log_uniform(rng, 1, 9))):
        place = centre + along * rng.normal(0, 0.22) * scene.size + rng.normal(0, 3, 2) * scene.unit
        outline = irregular_polygon(
            rng,
            tuple(place),
            log_uniform(rng, 2, 9) * scene.unit,
            corners=14,
            irregularity=0.5,
            elongation=log_uniform(rng, 1.3, 3.2),
            angle=angle + rng.normal(0, 0.1),
        )
        fill(sheet, outline, rng.uniform(130, 255))
    mask = scene.soften(sheet, log_uniform(rng, 0.4, 1)) * np.clip(1 + 0.4 * scene.slow(), 0.3, 1.3)
    return scene.image + scene.amplitude * mask, mask


def _missing(scene: _Scene) -> Drawn:
    rng, sheet, centre = scene.rng, scene.sheet(), scene.point(0.2)
    if rng.uniform() < 0.6:  # most pieces break from an edge
        centre[rng.integers(2)] = rng.choice([0, scene.size])
    outline = irregular_polygon(
        rng,
        tuple(centre),
        log_uniform(rng, 6, 30) * scene.unit,
        corners=int(rng.integers(5, 14)),
        irregularity=0.45,
        elongation=log_uniform(rng, 0.7, 1.5),
        angle=rng.uniform(0, np.pi),
    )
    fill(sheet, outline, 255)
    mask = scene.soften(sheet, 0.7)
    behind = rng.uniform(-20, 235) + 0.15 * scene.fields.surface(rng, scene.size)
    rim = np.clip(scene.shifted(mask, 2, 2) - mask, 0, 1)
    return scene.image * (1 - mask) + behind * mask + rim * rng.uniform(-60, 60), mask


def _scale(scene: _Scene) -> Drawn:
    rng = scene.rng
    flakes = sigmoid(log_uniform(rng, 3, 15) * (scene.slow() - rng.uniform(-0.5, 0.7)))
    mask = _region(scene, 0.3, 1.2, sharpness=8) * flakes
    crust = scene.fields.surface(rng, scene.size)
    crust = 0.7 * scene.image.mean() + 0.6 * scene.amplitude + 0.8 * (crust - crust.mean())
    return scene.image * (1 - 0.7 * mask) + crust * mask, mask


def _fray(scene: _Scene) -> Drawn:
    rng, sheet, centre = scene.rng, scene.sheet(), scene.point(0.15)
    angle = rng.uniform(0, 2 * np.pi)
    for _ in range(int(log_uniform(rng, 4, 25))):
        start = centre + rng.normal(0, log_uniform(rng, 3, 9), 2) * scene.unit
        length = log_uniform(rng, 8, 45) * scene.unit
        path = wandering_path(
            rng, tuple(start), angle + rng.normal(0, 0.5), length, 0.18, step=3 * scene.unit
        )
        stroke(sheet, path, rng.uniform(120, 255), scene.unit)
    mask = 1.3 * scene.soften(sheet, 0.6)
    return scene.image + scene.amplitude * mask, mask


def _crazing(scene: _Scene) -> Drawn:
    where = _region(scene, 0.5, 1.6, sharpness=3)
    lines = np.clip(scene.fields.cracks(scene.rng, scene.size) / 3, 0, 1) * where
    return scene.image - 0.7 * scene.amplitude * lines, 0.6 * where + lines


def _uneven(scene: _Scene) -> Drawn:
    rng, angle = scene.rng, scene.rng.uniform(0, 2 * np.pi)
    y, x = scene.positions()
    across = np.cos(angle) * (x - scene.size / 2) + np.sin(angle) * (y - scene.size / 2)
    across = across - rng.uniform(-0.3, 0.3) * scene.size
    width = log_uniform(rng, 0.04, 0.3) * scene.size
    mask = np.exp(-0.5 * (across / width) ** 2) * np.clip(1 + 0.5 * scene.slow(), 0.2, 1.6)
    return scene.image + 0.7 * scene.amplitude * mask, mask


def _foreign(scene: _Scene) -> Drawn:
    mask, rng = _region(scene, 0.12, 0.7, sharpness=15), scene.rng
    matter = scene.fields.surface(rng, scene.size) * rng.uniform(0.6, 1) + 0.2 * scene.image.mean()
    return scene.image * (1 - mask) + matter * mask, mask


_DRAWINGS: dict[str, Callable[[_Scene], Drawn]] = {
    "scratch": _scratch,
    "crack": _crack,
    "pit": _pit,
    "stain": _stain,
    "dent": _dent,
    "inclusion": _inclusion,
    "missing": _missing,
    "scale": _scale,
    "fray": _fray,
    "crazing": _crazing,
    "uneven": _uneven,
    "foreign": _foreign,
}
#: Every kind of fault; its position is the class that the network's fault head predicts.
FAULT_KINDS: tuple[str, ...] = tuple(_DRAWINGS)


def draw_fault(
    kind: str,
    image: np.ndarray,
    rng: Generator,
    fields: FieldSource,
    *,
    amplitude: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A grey picture with one fault of that kind, and the fault's mask.

    `image` is (s, s) float32, about 0 to 255, and stays as it is. `amplitude` is the change of brightness
    with its sign; without it one is drawn. Returns (s, s) float32 twice; the mask is between 0 and 1.
    Raises ValueError for a kind that is not in FAULT_KINDS.
    """
    if kind not in _DRAWINGS:
        raise ValueError(f"There is no fault kind {kind!r}. Known are: {', '.join(FAULT_KINDS)}.")
    if amplitude is None:
        amplitude = log_uniform(rng, 14, 90) * random_sign(rng, 0.6)
    changed, mask = _DRAWINGS[kind](_Scene(image, rng, fields, amplitude))
    return changed.astype(np.float32), np.clip(mask, 0, 1).astype(np.float32)
