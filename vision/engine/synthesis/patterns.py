"""Texture families with a plan: cells, grains, weaves and networks of cracks (see `textures`)."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import (
    FIELD_SIZE,
    blurred,
    displaced,
    filtered_noise,
    log_uniform,
    power_law,
    standardised,
    unit_grid,
)

Texture = Callable[[Generator], np.ndarray]


def random_angle(params: Generator) -> float:
    """An angle in rad: often along an axis, as machined surfaces are photographed."""
    return float(params.choice([0.0, np.pi / 2, params.uniform(0, np.pi)]))


def _voronoi(rng: Generator, count: int, jitter: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest of `count` seeds and that seed's number, each (256, 256).

    With `jitter` the seeds lie on a grid, up to that share of its step beside their places.
    """
    seeds = np.full((FIELD_SIZE, FIELD_SIZE), 255, np.uint8)
    if jitter is None:
        points = rng.integers(0, FIELD_SIZE, (count, 2))
    else:
        side = max(2, int(np.sqrt(count)))
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) + 0.5
        points = (grid + rng.uniform(-jitter, jitter, grid.shape)) * FIELD_SIZE / side
        points = np.clip(points, 0, FIELD_SIZE - 1).astype(int)
    seeds[points[:, 1], points[:, 0]] = 0
    return cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)


def _borders(labels: np.ndarray) -> np.ndarray:
    return ((labels != np.roll(labels, 1, 0)) | (labels != np.roll(labels, 1, 1))).astype(np.uint8)


def _warped(rng: Generator, field: np.ndarray, amplitude: float, gain: np.ndarray) -> np.ndarray:
    return displaced(field, amplitude * filtered_noise(rng, gain), amplitude * filtered_noise(rng, gain))


def cell_heights(rng: Generator, count: int) -> np.ndarray:
    """Domes between creases, as on leather: (256, 256) float32, standardised."""
    _, labels = _voronoi(rng, count)
    to_crease = cv2.distanceTransform(1 - _borders(labels), cv2.DIST_L2, 3)
    return _warped(rng, standardised(np.minimum(blurred(to_crease, 0.8), 4)), 2, power_law(2.0))


def crack_lines(rng: Generator, count: int) -> np.ndarray:
    """A closed network of fine bent lines around about `count` fields: (256, 256) float32, 0 to 1."""
    _, labels = _voronoi(rng, count)
    lines = _warped(rng, blurred(_borders(labels).astype(np.float32), 0.5), 3, power_law(1.8))
    return np.clip(1.5 * lines, 0, 1)


def cells(params: Generator) -> Texture:
    """Cells told apart by their borders: foam, leather, orange peel, tiles."""
    count, width = int(log_uniform(params, 12, 1200)), log_uniform(params, 1, 4)
    jitter = params.uniform(0.1, 0.5) if params.uniform() < 0.4 else None
    domed, amplitude, bend = params.uniform() < 0.5, params.uniform(0, 5), power_law(2.0)
    noise, weight = power_law(params.uniform(0.5, 2)), params.uniform(0, 0.5)

    def draw(rng: Generator) -> np.ndarray:
        distance, labels = _voronoi(rng, count, jitter)
        if not domed:
            to_border = cv2.distanceTransform(1 - _borders(labels), cv2.DIST_L2, 3)
            distance = np.minimum(to_border, width * 3)
        field = _warped(rng, standardised(distance), amplitude, bend)
        return standardised(field) + weight * filtered_noise(rng, noise)

    return draw


def grains(params: Generator) -> Texture:
    """Grains of different tone or inner direction: crystals, galvanised sheet, granite, carbon fibre tow."""
    count, width = int(log_uniform(params, 12, 1200)), log_uniform(params, 1, 4)
    kind = str(params.choice(["toned", "hatched", "outlined"]))
    amplitude, bend = params.uniform(0, 5), power_law(2.0)
    noise, weight = power_law(params.uniform(0.5, 2)), params.uniform(0, 0.5)
    y, x = unit_grid(FIELD_SIZE)

    def draw(rng: Generator) -> np.ndarray:
        _, labels = _voronoi(rng, count)
        if kind == "hatched":
            angle = rng.uniform(0, 2 * np.pi, labels.max() + 1)[labels]
            field = np.sin(30 * width * (np.cos(angle) * x + np.sin(angle) * y))
        else:
            field = rng.standard_normal(labels.max() + 1).astype(np.float32)[labels]
            if kind == "outlined":
                field = field - 6 * blurred(_borders(labels).astype(np.float32), width * 0.6)
        field = _warped(rng, standardised(field), amplitude, bend)
        return standardised(field) + weight * filtered_noise(rng, noise)

    return draw


def _two_waves(params: Generator) -> Callable[[Generator], tuple[np.ndarray, np.ndarray]]:
    """Phases of two crossing waves, slightly bent, each (256, 256)."""
    first = log_uniform(params, 4, 50)
    second = first * float(params.choice([1, 1, 0.5, 2, params.uniform(0.5, 2)]))
    angle = random_angle(params)
    other = angle + float(params.choice([np.pi / 2, np.pi / 3, params.uniform(0.3, 1.5)]))
    amplitude, bend = params.uniform(0, 0.6) / first, power_law(2.0)
    y, x = unit_grid(FIELD_SIZE)

    def draw(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        shift = amplitude * filtered_noise(rng, bend)
        start = rng.uniform(0, 2 * np.pi, 2)
        u = (np.cos(angle) * x + np.sin(angle) * y + shift) * 2 * np.pi * first + start[0]
        v = (np.cos(other) * x + np.sin(other) * y + shift) * 2 * np.pi * second + start[1]
        return u, v

    return draw


def periodic(params: Generator) -> Texture:
    """Stripes, grids, dots and perforations."""
    waves, sharpness = _two_waves(params), log_uniform(params, 0.8, 8)
    kind = str(params.choice(["stripes", "checks", "grid", "dots"]))
    noise, weight = power_law(params.uniform(0.4, 2)), params.uniform(0, 0.5)

    def draw(rng: Generator) -> np.ndarray:
        u, v = waves(rng)
        first, second = np.sin(u), np.sin(v)
        if kind == "stripes":
            field = np.tanh(sharpness * first)
        elif kind == "checks":
            field = np.tanh(sharpness * first * second)
        elif kind == "grid":
            field = np.tanh(sharpness * (np.maximum(first, second) - 0.6))
        else:
            field = np.tanh(sharpness * (first + second - 0.8))
        return standardised(field) + weight * filtered_noise(rng, noise)

    return draw


def weave(params: Generator) -> Texture:
    """Threads that pass over and under each other: cloth, wire mesh, prepreg."""
    waves = _two_waves(params)
    noise, weight = power_law(params.uniform(0.4, 2)), params.uniform(0, 0.5)

    def draw(rng: Generator) -> np.ndarray:
        u, v = waves(rng)
        over = np.sin(u / 2) * np.sin(v / 2) > 0
        field = np.where(over, np.abs(np.sin(u)), np.abs(np.sin(v)))
        return standardised(field) + weight * filtered_noise(rng, noise)

    return draw


def crackle(params: Generator) -> Texture:
    """A network of fine dark lines that comes and goes: glaze, old paint, dried mud, heat checks."""
    count, width = int(log_uniform(params, 25, 900)), params.uniform(0.5, 1.6)
    amplitude, bend = params.uniform(1, 6), power_law(params.uniform(1.3, 2.2))
    stretch, angle = log_uniform(params, 1, 3), params.uniform(0, 180)
    bare, fading = params.uniform(-0.8, 0.6), power_law(2.0)
    noise, weight = power_law(params.uniform(0.4, 1.8)), params.uniform(0.2, 1.2)

    def draw(rng: Generator) -> np.ndarray:
        _, labels = _voronoi(rng, count)
        lines = blurred(_borders(labels).astype(np.float32), width)
        if stretch > 1.2:
            lines = cv2.resize(lines, None, fx=stretch, fy=1)[:, :FIELD_SIZE]
            turn = cv2.getRotationMatrix2D((FIELD_SIZE / 2, FIELD_SIZE / 2), angle, 1.0)
            lines = cv2.warpAffine(lines, turn, (FIELD_SIZE,) * 2, borderMode=cv2.BORDER_REFLECT)
        lines = _warped(rng, np.ascontiguousarray(lines), amplitude, bend)
        lines = lines * np.clip((filtered_noise(rng, fading) - bare) * 3, 0, 1)
        return weight * filtered_noise(rng, noise) - standardised(lines)

    return draw
