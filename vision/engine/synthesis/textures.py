"""Families of surface textures. Each family draws the parameters of one material, and returns its texture:
a function that draws one piece of that material from a generator, (256, 256) float32, standardised.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis import patterns
from vision.engine.synthesis.fields import (
    FIELD_SIZE,
    band_pass,
    blurred,
    filtered,
    filtered_noise,
    log_uniform,
    power_law,
    random_sign,
    sigmoid,
    standardised,
    unit_grid,
)
from vision.engine.synthesis.patterns import Texture, random_angle
from vision.engine.synthesis.shapes import fill, irregular_polygon, stroke, wandering_path

Family = Callable[[Generator], Texture]
MAX_FIBRES = 300


def _tone_curve(params: Generator) -> Callable[[np.ndarray], np.ndarray]:
    kind = params.choice(
        ["linear", "power", "threshold", "exponential", "wave"], p=[0.4, 0.15, 0.15, 0.15, 0.15]
    )
    gain, shift, sign = params.uniform(0.3, 1.2), params.uniform(-0.8, 0.8), random_sign(params)
    slope, waves = params.uniform(2, 8), params.uniform(0.8, 3)
    curves = {
        "linear": lambda field: field,
        "power": lambda field: np.sign(field) * np.abs(field) ** gain,
        "threshold": lambda field: np.tanh((field - shift) * slope),
        "exponential": lambda field: np.exp(np.clip(sign * gain * field, -4, 3)),
        "wave": lambda field: np.sin(field * waves),
    }
    return curves[str(kind)]


def rough(params: Generator) -> Texture:
    """Power-law roughness: cast, blasted and ground surfaces."""
    gain = power_law(
        params.uniform(0.4, 2.6),
        anisotropy=log_uniform(params, 1, 3),
        angle=params.uniform(0, np.pi),
        corner=log_uniform(params, 1, 10),
    )
    curve = _tone_curve(params)
    return lambda rng: curve(filtered_noise(rng, gain))


def brushed(params: Generator) -> Texture:
    """Long parallel grain: rolled, brushed and turned metal."""
    grain = power_law(
        params.uniform(0.5, 1.8),
        anisotropy=log_uniform(params, 5, 80),
        angle=random_angle(params),
        corner=log_uniform(params, 1, 20),
    )
    unevenness, weight = power_law(params.uniform(1, 2.5)), params.uniform(0, 0.6)
    return lambda rng: filtered_noise(rng, grain) + weight * filtered_noise(rng, unevenness)


def band(params: Generator) -> Texture:
    """One dominant grain size, oriented or not."""
    oriented = params.uniform() < 0.5
    gain = band_pass(
        log_uniform(params, 5, 80),
        params.uniform(0.1, 0.5),
        angle=params.uniform(0, np.pi) if oriented else None,
        spread=params.uniform(0.08, 0.5),
    )
    curve = _tone_curve(params)
    return lambda rng: curve(filtered_noise(rng, gain))


def leaves(params: Generator) -> Texture:
    """Dead leaves: flakes of power-law sizes that cover each other (chips, gravel, mica)."""
    count = int(log_uniform(params, 80, 600))
    smallest, largest = log_uniform(params, 1.5, 6), log_uniform(params, 8, 60)
    corners, irregularity = int(params.choice([3, 4, 5, 6, 24])), params.uniform(0, 0.4)
    elongation, angle = log_uniform(params, 1, 2.5), params.uniform(0, 2 * np.pi)
    scatter, softness = float(params.choice([0.1, np.pi])), params.uniform(0, 1.5)
    noise, weight = power_law(params.uniform(0.3, 1.5)), params.uniform(0, 0.3)

    def draw(rng: Generator) -> np.ndarray:
        field = np.full((FIELD_SIZE, FIELD_SIZE), rng.uniform(0, 255), np.float32)
        quantile = rng.uniform(size=count)
        radii = (smallest**-1.5 + quantile * (largest**-1.5 - smallest**-1.5)) ** (-1 / 1.5)
        for radius in np.sort(radii)[::-1]:
            outline = irregular_polygon(
                rng,
                tuple(rng.uniform(0, FIELD_SIZE, 2)),
                radius,
                corners=corners,
                irregularity=irregularity,
                elongation=elongation,
                angle=angle + rng.uniform(-scatter, scatter),
            )
            fill(field, outline, rng.uniform(0, 255))
        if softness > 0.3:
            field = blurred(field, softness)
        return standardised(field) + weight * filtered_noise(rng, noise)

    return draw


def turing(params: Generator) -> Texture:
    """Labyrinths and spots, by repeated filtering and thresholding of a band of noise."""
    oriented = params.uniform() < 0.4
    gain = band_pass(
        log_uniform(params, 8, 50),
        0.25,
        angle=params.uniform(0, np.pi) if oriented else None,
        spread=params.uniform(0.3, 0.9),
    )
    threshold, sharpness = params.uniform(-0.6, 0.6), log_uniform(params, 2, 8)
    rounds = int(params.integers(2, 7))
    noise, weight = power_law(params.uniform(0.4, 2)), params.uniform(0, 0.4)

    def draw(rng: Generator) -> np.ndarray:
        field = filtered_noise(rng, gain)
        for _ in range(rounds):
            field = filtered(np.tanh(2 * (field - threshold)), gain)
        field = standardised(np.tanh(sharpness * (field - threshold)))
        return field + weight * filtered_noise(rng, noise)

    return draw


def fibres(params: Generator) -> Texture:
    """Lines laid over each other: felt, paper, glass fibre, grinding marks."""
    count, length = int(log_uniform(params, 20, MAX_FIBRES)), log_uniform(params, 15, 250)
    angle, scatter = params.uniform(0, np.pi), float(params.choice([0.05, 0.3, 3.0]))
    wobble, width = log_uniform(params, 0.01, 0.5), int(params.integers(1, 4))
    tone = str(params.choice(["bright", "dark", "both"]))
    noise, weight = power_law(params.uniform(0.4, 2)), params.uniform(0.2, 1)

    def draw(rng: Generator) -> np.ndarray:
        field = np.zeros((FIELD_SIZE, FIELD_SIZE), np.float32)
        for _ in range(count):
            path = wandering_path(
                rng,
                tuple(rng.uniform(-20, FIELD_SIZE + 20, 2)),
                angle + rng.uniform(-scatter, scatter),
                length * rng.uniform(0.4, 1.5),
                wobble,
                step=4,
            )
            sign = {"bright": 1, "dark": -1}.get(tone) or random_sign(rng)
            stroke(field, path, sign * rng.uniform(0.3, 1), width)
        return standardised(blurred(field, 0.7)) + weight * filtered_noise(rng, noise)

    return draw


def marble(params: Generator) -> Texture:
    """Stripes bent by a slow field: veins, flow lines, wood."""
    frequency, amplitude = log_uniform(params, 3, 25), log_uniform(params, 0.02, 0.3)
    bend = power_law(
        params.uniform(1.5, 2.5), anisotropy=log_uniform(params, 1, 4), angle=params.uniform(0, np.pi)
    )
    angle, sharpness = params.uniform(0, np.pi), log_uniform(params, 0.5, 5)
    noise, weight = power_law(params.uniform(0.4, 1.5)), params.uniform(0, 0.4)
    y, x = unit_grid(FIELD_SIZE)

    def draw(rng: Generator) -> np.ndarray:
        phase = np.cos(angle) * x + np.sin(angle) * y + amplitude * filtered_noise(rng, bend)
        stripes = np.tanh(sharpness * np.sin(2 * np.pi * frequency * phase))
        return standardised(stripes) + weight * filtered_noise(rng, noise)

    return draw


def pitted(params: Generator) -> Texture:
    """Many small holes or grains, some with a lit rim: porous castings, sponges, blasted sheet."""
    count, radius = int(log_uniform(params, 15, 400)), log_uniform(params, 1.2, 9)
    size_spread, sign = params.uniform(0.1, 0.7), random_sign(params, 0.65)
    rimmed = params.uniform() < 0.5
    elongation, angle = log_uniform(params, 1, 3), params.uniform(0, np.pi)
    noise, weight = power_law(params.uniform(0.4, 2)), params.uniform(0.1, 0.8)
    softness = params.uniform(0.3, 1.5)

    def draw(rng: Generator) -> np.ndarray:
        field = np.zeros((FIELD_SIZE, FIELD_SIZE), np.float32)
        for _ in range(count):
            outline = irregular_polygon(
                rng,
                tuple(rng.uniform(0, FIELD_SIZE, 2)),
                radius * np.exp(rng.normal(0, size_spread)),
                corners=9,
                irregularity=0.25,
                elongation=elongation,
                angle=angle + rng.normal(0, 0.2),
            )
            value = sign * rng.uniform(0.5, 1)
            if rimmed:
                fill(field, outline + 0.75, -0.7 * value)
            fill(field, outline, value)
        return standardised(blurred(field, softness)) + weight * filtered_noise(rng, noise)

    return draw


def convolved(params: Generator) -> Texture:
    """A small random network of convolutions: structures that no formula of ours would give."""
    kernels = [params.standard_normal((int(params.choice([3, 5, 7, 11])),) * 2) for _ in range(6)]
    kernels = [(kernel - kernel.mean() * params.uniform(0.3, 1)).astype(np.float32) for kernel in kernels]
    shrinks = [int(params.choice([1, 1, 2, 4])) for _ in range(3)]
    joins = [np.maximum, np.multiply, lambda first, second: np.tanh(2 * first) + np.abs(second)]
    join = joins[params.integers(len(joins))]

    def draw(rng: Generator) -> np.ndarray:
        field = rng.standard_normal((FIELD_SIZE, FIELD_SIZE), dtype=np.float32)
        for layer, shrink in enumerate(shrinks):
            small = (FIELD_SIZE // shrink,) * 2
            field = cv2.resize(field, small, interpolation=cv2.INTER_AREA)
            first, second = (
                standardised(cv2.filter2D(field, -1, kernels[2 * layer + branch])) for branch in (0, 1)
            )
            field = cv2.resize(join(first, second), (FIELD_SIZE,) * 2, interpolation=cv2.INTER_CUBIC)
            field = standardised(field)
        return np.clip(field, -4, 4)

    return draw


def flat(params: Generator) -> Texture:
    """Nearly no texture: paint, plastics, polished metal."""
    grain, weight = power_law(params.uniform(0.2, 1.5)), params.uniform(0.1, 1.5)
    shade = power_law(3.0)
    return lambda rng: weight * filtered_noise(rng, grain) + filtered_noise(rng, shade)


def two_phase(params: Generator) -> Texture:
    """Two other textures, in patches or one modulating the other: alloys, worn coats, mixed grain."""
    first, second = (_draw_simple(params) for _ in range(2))
    patches = power_law(
        params.uniform(1.2, 2.6),
        anisotropy=log_uniform(params, 1, 5),
        angle=params.uniform(0, np.pi),
        corner=log_uniform(params, 1, 8),
    )
    threshold, sharpness = params.uniform(-0.8, 0.8), log_uniform(params, 3, 30)
    offset, modulate = params.uniform(-2, 2), params.uniform() < 0.33

    def draw(rng: Generator) -> np.ndarray:
        one, other = standardised(first(rng)), standardised(second(rng))
        if modulate:
            return one * np.exp(0.5 * other)
        share = sigmoid(sharpness * (filtered_noise(rng, patches) - threshold))
        return one * (1 - share) + (other * 0.7 + offset) * share

    return draw


_SIMPLE: tuple[Family, ...] = (
    rough, brushed, band, patterns.cells, patterns.grains, patterns.periodic, patterns.weave, leaves,
    turing, fibres, marble, pitted, patterns.crackle, convolved,
)  # fmt: skip
#: Every family; its position is the class that the network's family head predicts.
FAMILIES: tuple[Family, ...] = (*_SIMPLE, two_phase, flat)
#: Families of successive materials. Two-phase mixtures vary most, so they come more often.
FAMILY_CYCLE = (*range(len(FAMILIES)), FAMILIES.index(two_phase), FAMILIES.index(two_phase))


def _draw_simple(params: Generator) -> Texture:
    return _SIMPLE[params.integers(len(_SIMPLE))](params)


def material_family(material: int) -> int:
    """Position in FAMILIES of a material's family."""
    return FAMILY_CYCLE[material % len(FAMILY_CYCLE)]


def draw_material(material: int, pieces: int) -> np.ndarray:
    """`pieces` pieces of the material of that number: (pieces, 256, 256) uint8. Same number, same pieces."""
    params = np.random.default_rng([1, material])
    family = FAMILIES[material_family(material)]
    texture = family(params)
    level = params.uniform(70, 185)
    contrast = log_uniform(params, 3, 12) if family is flat else log_uniform(params, 9, 55)
    drawn = []
    for piece in range(pieces):
        rng = np.random.default_rng([2, material, piece])
        field = np.clip(standardised(texture(rng)), -3.5, 3.5)
        picture = level + rng.uniform(-15, 15) + contrast * rng.uniform(0.8, 1.2) * field
        drawn.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(drawn)
