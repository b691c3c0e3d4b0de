"""Coloured photographs of parts and materials with one fault each, for demonstrations and tests.

A photograph is rendered from relief and colour: a fault changes either or both, and the light then shows it
as a camera would see it.
"""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.faults import FAULT_KINDS, draw_fault
from vision.engine.synthesis.fields import blurred, filtered_noise, power_law, unit_grid
from vision.engine.synthesis.materials import PRODUCTS, Product
from vision.engine.synthesis.objects import draw_outline
from vision.engine.synthesis.patterns import crack_lines
from vision.engine.synthesis.sources import FieldSource, FreshFields

__all__ = ["FAULT_KINDS", "MATERIALS", "NO_FAULT", "draw_fault_image"]

#: Names of what can be photographed.
MATERIALS: tuple[str, ...] = tuple(PRODUCTS)
NO_FAULT = "none"
_DRAWN_SIZE = 512
_ATTEMPTS = 40
_MID_GREY = 128.0
# Share of the part's surface that a fault takes.
_SMALLEST_SHARE = {"missing": 0.015, "stain": 0.02, "scale": 0.02, "crazing": 0.05, "foreign": 0.008}
_LARGEST_SHARE = {"pit": 0.03, "missing": 0.12, "inclusion": 0.06, "foreign": 0.12}


@dataclass
class _Part:
    """What lies in front of the camera; every array is (s, s) or (s, s, 3) float32 at the drawn size.

    `height` in pixels, `colour` RGB from 0 to 1, `inside` 1 on the part and 0 beside it.
    """

    product: Product
    height: np.ndarray
    colour: np.ndarray
    inside: np.ndarray


def draw_fault_image(
    kind: str, seed: int, size: int = 512, *, material: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A photograph of a part with one fault, and where the fault is.

    `kind` is one of FAULT_KINDS, or "none" for a good part; `material` is one of MATERIALS, by default one
    that the seed chooses. Pictures of one material show the same product: alike, never identical. Same
    arguments, same picture. Returns the picture (size, size, 3) uint8 RGB, and the mask (size, size) float32
    from 0 to 1, empty for a good part. Raises ValueError for unknown names and for a size under 32 pixels.
    """
    if kind not in (*FAULT_KINDS, NO_FAULT):
        raise ValueError(f"There is no fault kind {kind!r}. Known are: {', '.join(FAULT_KINDS)}, {NO_FAULT}.")
    if material is not None and material not in PRODUCTS:
        raise ValueError(f"There is no material {material!r}. Known are: {', '.join(MATERIALS)}.")
    if size < 32:
        raise ValueError(f"A picture has at least 32 pixels a side, not {size}.")
    if material is None:
        material = str(np.random.default_rng([5, seed]).choice(MATERIALS))
    # crc32, because Python's own hash of a text differs from run to run.
    rng = np.random.default_rng([6, seed, zlib.crc32(material.encode()), zlib.crc32(kind.encode())])
    fields = FreshFields()
    part = _draw_part(rng, PRODUCTS[material])
    mask = np.zeros((_DRAWN_SIZE, _DRAWN_SIZE), np.float32)
    if kind != NO_FAULT:
        mask = _place_fault(kind, rng, part, fields)
        _apply_fault(kind, rng, part, mask, fields)
    picture = _photograph(rng, part)
    shrinking = cv2.INTER_AREA if size < _DRAWN_SIZE else cv2.INTER_LINEAR
    picture = cv2.resize(picture, (size, size), interpolation=shrinking)
    mask = cv2.resize(mask, (size, size), interpolation=shrinking)
    return np.clip(np.round(picture * 255), 0, 255).astype(np.uint8), np.clip(mask, 0, 1)


def _draw_part(rng: Generator, product: Product) -> _Part:
    size = _DRAWN_SIZE
    height, tone = product.surface(rng, size)
    height = height * product.bump * 4
    colour = np.asarray(product.colour, np.float32) * tone[..., None]
    inside = np.ones((size, size), np.float32)
    if product.form != "sheet":
        inside = _product_outline(rng, product)
        depth = blurred(cv2.distanceTransform((inside > 0.5).astype(np.uint8), cv2.DIST_L2, 5), 1.5)
        height = height + _rounded_edge(depth, 14.0 if product.gloss < 0.3 else 8.0)
    return _Part(product, height.astype(np.float32), colour.astype(np.float32), inside)


def _product_outline(rng: Generator, product: Product) -> np.ndarray:
    """The product's own outline, slightly moved and turned: it never lies twice in the same place."""
    size = _DRAWN_SIZE
    identity = np.random.default_rng([7, zlib.crc32(product.name.encode())])
    outline = draw_outline(product.form, identity, size)
    turn = rng.uniform(-180, 180) if product.form in ("ring", "gear") else rng.normal(0, 3)
    moments = cv2.moments(outline)
    centre = (moments["m10"] / moments["m00"], moments["m01"] / moments["m00"])
    place = cv2.getRotationMatrix2D(centre, float(turn), float(rng.uniform(0.96, 1.04)))
    place[:, 2] += size / 2 - np.asarray(centre) + rng.normal(0, 0.015 * size, 2)
    return cv2.warpAffine(outline, place, (size, size), flags=cv2.INTER_LINEAR)


def _rounded_edge(depth: np.ndarray, width: float) -> np.ndarray:
    """Height of an edge rounded over `width` pixels, from the distance to the outline."""
    return width * np.sqrt(1 - (1 - np.clip(depth / width, 0, 1)) ** 2)


def _place_fault(kind: str, rng: Generator, part: _Part, fields: FieldSource) -> np.ndarray:
    """The mask (s, s) of a fault of fitting size that lies on the part.

    Draws until one fits, and takes the best one if none does.
    """
    plain = np.full((_DRAWN_SIZE, _DRAWN_SIZE), _MID_GREY, np.float32)
    outline = (part.inside > 0.02) & (part.inside < 0.98)
    breaks_off = kind == "missing" and part.product.form != "sheet"
    smallest = _SMALLEST_SHARE.get(kind, 0.004)
    largest = _LARGEST_SHARE.get(kind, 0.25)
    best, best_flaw = np.zeros_like(plain), np.inf
    for _ in range(_ATTEMPTS):
        _, mask = draw_fault(kind, plain, rng, fields)
        area = float(mask.sum()) + 1e-6
        on_part = float((mask * part.inside).sum()) / area
        share = area * on_part / float(part.inside.sum())
        flaw = max(0.0, (0.3 if breaks_off else 0.9) - on_part)
        flaw += max(0.0, 1 - share / smallest) + max(0.0, share / largest - 1)
        if breaks_off and np.count_nonzero(outline & (mask > 0.5)) < 8:
            flaw += 0.5
        if flaw < best_flaw:
            best, best_flaw = mask, flaw
        if flaw == 0:
            break
    return best * (part.inside > 0.02)


def _blend(part: _Part, mask: np.ndarray, colour: np.ndarray, opacity: float) -> None:
    weight = np.clip(mask * opacity, 0, 1)[..., None]
    part.colour = part.colour * (1 - weight) + colour * weight


def _apply_fault(kind: str, rng: Generator, part: _Part, mask: np.ndarray, fields: FieldSource) -> None:
    """Change the part's relief and colour as a fault of that kind would."""
    base = np.asarray(part.product.colour, np.float32)
    dark = base * rng.uniform(0.15, 0.4)
    bare = np.clip(base * 0.5 + rng.uniform(0.4, 0.5), 0, 0.95)
    contrasting = dark if base.mean() > 0.25 else bare
    slow = fields.slow(rng, _DRAWN_SIZE)[..., None]
    grain = filtered_noise(rng, power_law(0.9, corner=20, size=_DRAWN_SIZE))
    rust = np.array([0.36, 0.19, 0.09], np.float32) * np.clip(1 + 0.25 * slow, 0.4, 1.7)
    match kind:
        case "scratch":
            part.height = part.height - 2.2 * mask
            _blend(part, mask, bare if base.mean() < 0.5 else dark, rng.uniform(0.5, 0.8))
        case "crack":
            part.height = part.height - 3.5 * mask
            _blend(part, mask, dark * 0.5, 0.9)
        case "pit":
            part.height = part.height - 5 * blurred(mask, 1.5)
            _blend(part, mask, dark, 0.65)
        case "stain":
            tints = np.array([[0.45, 0.30, 0.14], [0.16, 0.14, 0.12], [0.55, 0.52, 0.40]], np.float32)
            tints = tints[np.abs(tints - base).sum(axis=1) > 0.25]  # those that show on this colour
            liquid = tints[rng.integers(len(tints))] * np.clip(1 + 0.15 * slow, 0.6, 1.5)
            _blend(part, mask, liquid, rng.uniform(0.4, 0.7))
        case "dent":
            part.height = part.height - rng.uniform(16, 30) * mask
        case "inclusion":
            part.height = part.height + 1.2 * mask * (1 + 0.6 * grain)
            matter = contrasting * np.clip(1 + 0.3 * grain[..., None], 0.4, 1.8)
            _blend(part, mask, matter, rng.uniform(0.75, 0.95))
        case "missing":
            _break_off(rng, part, mask, grain)
        case "scale":
            part.height = part.height + mask * (3 + 1.2 * grain)
            _blend(part, mask, rust * np.clip(1 + 0.25 * grain[..., None], 0.3, 1.8), 0.85)
        case "fray":
            part.height = part.height + 2.5 * mask
            _blend(part, mask, np.clip(base * 0.6 + 0.38, 0, 0.95), 0.8)
        case "crazing":
            lines = cv2.resize(crack_lines(rng, int(rng.integers(150, 400))), mask.shape)
            lines = lines * np.clip(2 * mask, 0, 1)
            part.height = part.height - 1.5 * lines
            _blend(part, lines, contrasting, 0.75)
        case "uneven":
            part.height = part.height + 0.5 * mask * grain
            factor = rng.uniform(0.45, 0.7) if base.mean() > 0.25 else rng.uniform(1.8, 2.6)
            _blend(part, mask, np.clip(base * factor, 0, 1), 0.8)
        case "foreign":
            matter = fields.surface(rng, _DRAWN_SIZE)[..., None] / 255
            paint = np.array(
                [[0.75, 0.62, 0.2], [0.2, 0.45, 0.25], [0.8, 0.8, 0.78], [0.5, 0.1, 0.1]], np.float32
            )
            part.height = part.height * (1 - 0.8 * mask) + 5 * blurred(mask, 2.0)
            _blend(part, mask, paint[rng.integers(len(paint))] * (0.7 + 0.5 * matter), 0.95)


def _break_off(rng: Generator, part: _Part, mask: np.ndarray, grain: np.ndarray) -> None:
    """At the outline the piece is gone; inside the surface a rough hollow is left."""
    if part.product.form != "sheet":
        part.inside = part.inside * (1 - mask)
    depth = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    part.height = part.height - np.minimum(depth, 10) + 1.5 * mask * grain
    base = np.asarray(part.product.colour, np.float32)
    inner = np.clip(base * rng.uniform(0.5, 0.8), 0, 1) * np.clip(1 + 0.2 * grain[..., None], 0.4, 1.6)
    _blend(part, mask, inner, 0.9)


def _photograph(rng: Generator, part: _Part) -> np.ndarray:
    """Light, lens and sensor: (s, s, 3) float32, about 0 to 1."""
    size, product = _DRAWN_SIZE, part.product
    y, x = unit_grid(size)
    angle = rng.normal(-2.2, 0.25)
    light = np.array([np.cos(angle) * 0.6, np.sin(angle) * 0.6, 0.8])
    height = blurred(part.height, 0.7)
    slope_x, slope_y = (cv2.Sobel(height, -1, *order, ksize=3) / 8 for order in ((1, 0), (0, 1)))
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    diffuse = np.clip((-slope_x * light[0] - slope_y * light[1] + light[2]) / length, 0, None)
    # The half vector drifts over the picture, so that the highlight sits on one side of it.
    half_x = 0.35 * light[0] + 0.5 * (x - 0.5)
    half_y = 0.35 * light[1] + 0.5 * (y - 0.5)
    half = (-slope_x * half_x - slope_y * half_y + 1) / length / np.sqrt(1 + half_x**2 + half_y**2)
    highlight = product.gloss * np.clip(half, 0, 1) ** (2 * product.polish)
    lit = part.colour * (0.30 + 0.85 * diffuse[..., None]) + 0.45 * highlight[..., None]

    inside = blurred(part.inside, 0.6)[..., None]
    bed = np.asarray(product.bed, np.float32) * (
        1 + 0.05 * filtered_noise(rng, power_law(1.2, corner=8, size=size))[..., None]
    )
    shadow = np.roll(blurred(part.inside, 9), (10, 8), (0, 1))[..., None]
    picture = lit * inside + bed * (1 - 0.55 * shadow) * (1 - inside)

    gradient = 1 + rng.normal(0, 0.10) * (x - 0.5) + rng.normal(-0.10, 0.08) * (y - 0.5)
    vignette = 1 - rng.uniform(0.15, 0.4) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    balance = 1 + rng.normal(0, 0.007, 3)
    picture = picture * (gradient * vignette)[..., None] * balance * rng.uniform(0.92, 1.08)
    picture = blurred(picture.astype(np.float32), rng.uniform(0.5, 0.9))
    noise = rng.standard_normal((size, size, 3), dtype=np.float32) * rng.uniform(0.006, 0.014)
    return np.clip(picture, 0, 1) ** 0.9 + noise
