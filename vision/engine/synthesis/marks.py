"""What each kind of fault does to a part of the gallery where its mask is: relief, colour and gloss."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.fields import blurred, log_uniform
from vision.engine.synthesis.materials import Product, clouds, grain
from vision.engine.synthesis.patterns import crack_lines
from vision.engine.synthesis.shapes import stroke, wandering_path
from vision.engine.synthesis.sources import FieldSource

_RUST = np.array([0.33, 0.155, 0.065], np.float32)
_MILL_SCALE = np.array([0.105, 0.115, 0.135], np.float32)
_DARK_LIMIT = 0.25
_MATT = 0.5
#: Straw, brown, purple, blue and grey: oxide on hot steel, from cool to hot.
_TEMPER = np.array(
    [[0.62, 0.55, 0.38], [0.55, 0.38, 0.20], [0.36, 0.22, 0.36], [0.20, 0.30, 0.55], [0.38, 0.44, 0.50]],
    np.float32,
)
_METAL_CHIP = np.array([0.66, 0.67, 0.69], np.float32)
#: Flakes of packing, paint and seals, threads, splinters.
_MATTER = np.array(
    [[0.62, 0.47, 0.12], [0.12, 0.26, 0.16], [0.40, 0.12, 0.09], [0.07, 0.07, 0.08],
     [0.72, 0.71, 0.67], [0.50, 0.36, 0.20]],
    np.float32,
)  # fmt: skip


@dataclass
class Part:
    """A part before it is photographed; arrays of (s, s), colour (s, s, 3), float32.

    `height` in pixels, `colour` RGB from 0 to 1, `inside` 1 on the part and 0 beside it, `gloss` a factor of
    the product's own, `metal` 1 where reflections take the colour.
    """

    product: Product
    height: np.ndarray
    colour: np.ndarray
    inside: np.ndarray
    gloss: np.ndarray = field(init=False)
    metal: np.ndarray = field(init=False)

    def __post_init__(self):
        self.gloss = np.ones_like(self.height)
        self.metal = np.full_like(self.height, float(self.product.metal))

    @property
    def base(self) -> np.ndarray:
        """The product's own colour (3,)."""
        return np.asarray(self.product.colour, np.float32)

    @property
    def is_dark(self) -> bool:
        return bool(self.base.mean() < _DARK_LIMIT)

    def paint(self, mask: np.ndarray, colour: np.ndarray, opacity: float, gloss: float | None = None) -> None:
        """Blend a colour in; with `gloss` the place becomes a coat of that gloss, and no bare metal."""
        weight = np.clip(mask * opacity, 0, 1)
        self.colour = self.colour + (colour - self.colour) * weight[..., None]
        if gloss is not None:
            self.gloss = self.gloss + (gloss - self.gloss) * weight
            self.metal = self.metal * (1 - weight)


@dataclass
class _Stroke:
    """A fault about to be made: the part, where, and chance."""

    part: Part
    mask: np.ndarray
    rng: Generator
    fields: FieldSource

    def core(self, threshold: float) -> np.ndarray:
        """The mask narrowed to where it is stronger than `threshold`, 0 to 1 again."""
        return np.clip((self.mask - threshold) / (1 - threshold), 0, 1)

    def spine(self, share: float) -> np.ndarray:
        """The middle of lines: the mask narrowed to about `share` of its width everywhere, 0 to 1."""
        inner = cv2.distanceTransform((self.mask > 0.4).astype(np.uint8), cv2.DIST_L2, 5)
        widest = cv2.dilate(inner, np.ones((9, 9), np.uint8))
        return blurred(np.clip((inner / (widest + 0.3) - 1 + share) * 4, 0, 1), 0.7)

    def slow(self) -> np.ndarray:
        return self.fields.slow(self.rng, self.mask.shape[0])

    def toned(self, colour: np.ndarray, field: np.ndarray, strength: float) -> np.ndarray:
        """A colour whose brightness follows a field: (s, s, 3)."""
        return np.clip(colour * np.clip(1 + strength * field, 0.3, 1.9)[..., None], 0, 1)


def _bare(part: Part) -> np.ndarray:
    """What comes to light where the skin is broken."""
    if part.product.metal:
        return np.clip(part.base * 1.35, 0, 0.95)
    if part.product.name == "painted_panel":
        return np.array([0.60, 0.60, 0.58], np.float32)
    return np.clip(part.base * 1.05 + (0.36 if part.is_dark else 0.18), 0, 0.92)


def _scratch(made: _Stroke) -> None:
    part, rng = made.part, made.rng
    skips = np.clip(0.95 + 0.45 * made.slow(), 0.15, 1.2)
    groove = made.spine(0.6) * skips
    part.height = (
        part.height * (1 - 0.7 * groove)
        - 2.4 * groove
        + 1.0 * np.clip(blurred(groove, 2.0) - 0.6 * groove, 0, 1)
    )
    part.paint(groove, made.toned(_bare(part), grain(rng, 0.5), 0.15), rng.uniform(0.6, 0.85))
    # Grit seldom leaves one line alone.
    for _ in range(int(rng.integers(0, 3))):
        away = rng.normal(0, 6, 2)
        beside = cv2.warpAffine(made.spine(0.35), np.array([[1, 0, away[0]], [0, 1, away[1]]]), groove.shape)
        part.height = part.height - 0.8 * beside * skips
        part.paint(beside * skips, _bare(part), 0.35)


def _crack(made: _Stroke) -> None:
    part, rng = made.part, made.rng
    gap = np.clip(1.3 * made.spine(0.5) * np.clip(1.1 + 0.3 * made.slow(), 0.5, 1.3), 0, 1)
    part.height = part.height - 5 * gap - 0.8 * blurred(made.mask, 4)
    part.paint(blurred(made.mask, 2.0), part.base * 0.6, 0.3)
    part.paint(gap, part.base * rng.uniform(0.04, 0.12), 0.95, gloss=0.0)


def _pit(made: _Stroke) -> None:
    part, rng = made.part, made.rng
    mask = np.clip(2.5 * (blurred(made.mask, 2.5) - 0.3), 0, 1)  # no pit has corners
    hole = mask > 0.5
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    part.height = part.height - np.minimum(1.6 * blurred(depth, 0.8), 14) * (1 + 0.15 * grain(rng))
    rim = np.clip(blurred(mask, 2.5) - mask, 0, 1)
    part.height = part.height + 2.0 * rim
    if part.product.rusts:
        part.paint(blurred(made.mask, 6.0), made.toned(_RUST, clouds(rng), 0.2), 0.55, gloss=0.2)
    part.paint(mask, made.toned(part.base * 0.3, grain(rng), 0.3), 0.85, gloss=0.05)


def _stain(made: _Stroke) -> None:
    part, rng, mask = made.part, made.rng, made.mask
    slow = made.slow()
    edge = np.clip(4 * mask * (1 - mask), 0, 1)
    shines = part.product.metal and part.product.roughness < _MATT
    kinds = ["heat", "oil", "film"] if shines else ["oil", "film"]
    kind = str(rng.choice(kinds))
    if kind == "heat":
        heat = blurred(mask, 14)
        heat = heat * float(mask.max() / max(heat.max(), 1e-3))
        level = np.clip(heat + 0.06 * slow, 0, 1) * (len(_TEMPER) - 1)
        steps = np.arange(len(_TEMPER))
        tint = np.stack([np.interp(level, steps, _TEMPER[:, channel]) for channel in range(3)], axis=-1)
        part.paint(np.clip(heat * 1.3, 0, 1), tint.astype(np.float32), rng.uniform(0.65, 0.85))
    elif kind == "oil":
        tint = np.array([0.30, 0.20, 0.08], np.float32)
        if part.is_dark:
            tint = np.array([0.40, 0.34, 0.22], np.float32)
        part.paint(mask, made.toned(tint, slow, 0.12), rng.uniform(0.5, 0.66))
        part.paint(edge, tint * 0.6, 0.35)
        part.height = part.height * (1 - 0.3 * mask)
        part.gloss = part.gloss + 0.5 * mask
    else:
        tint = _RUST * 1.3 if part.product.rusts else np.array([0.42, 0.33, 0.20], np.float32)
        if part.is_dark:
            tint = np.array([0.55, 0.54, 0.50], np.float32)
        drops = np.clip(0.75 + 0.4 * slow, 0.1, 1.2)
        part.paint(mask * drops, made.toned(tint, grain(rng, 1.2, 8), 0.10), rng.uniform(0.38, 0.55))
        part.paint(edge * drops, tint * 0.8, rng.uniform(0.5, 0.7))
        part.gloss = part.gloss * (1 - 0.5 * mask)


def _dent(made: _Stroke) -> None:
    hollow = made.mask
    part, rng = made.part, made.rng
    spread = np.sqrt(float(hollow.sum()) / np.pi)  # pixels: a wide dent is deeper
    part.height = part.height - np.clip(rng.uniform(0.42, 0.62) * spread, 6, 30) * hollow
    part.height = part.height + 1.5 * np.clip(blurred(hollow, 9) - hollow, 0, 1)
    # The blow polishes the bottom a little and leaves a scuff.
    scuff = np.clip(hollow - 0.8, 0, 1) * 5 * np.clip(grain(rng, 0.6, 30), 0, 2)
    part.paint(scuff, _bare(part), 0.25)


def _inclusion(made: _Stroke) -> None:
    part, rng, grains = made.part, made.rng, grain(made.rng, 1.0, 14)
    slag = np.array([0.42, 0.37, 0.28], np.float32) if part.is_dark else part.base * 0.30
    body = made.core(0.25)
    part.paint(blurred(made.mask, 2.5), part.base * 0.5, 0.5)
    part.height = part.height - 2.0 * blurred(made.mask, 2.5) + 2.2 * body * (1 + 0.5 * grains)
    part.paint(body, made.toned(slag * rng.uniform(0.8, 1.2), grains, 0.30), 0.95, gloss=0.35)


def _missing(made: _Stroke) -> None:
    """At the outline the piece is gone and shows its fracture; inside the surface a rough hollow is left."""
    part, rng, mask = made.part, made.rng, made.mask
    rough = grain(rng, 1.3, 8)
    depth = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    fresh = np.clip(part.base * 1.15 + 0.06, 0, 0.9) if part.product.metal else _bare(part)
    part.height = part.height + (-np.minimum(0.9 * depth, 18) + 2.2 * mask * rough)
    part.paint(mask, made.toned(fresh * rng.uniform(0.7, 0.9), rough, 0.16), 0.92, gloss=0.15)
    if part.product.form != "sheet":
        # The fracture slopes, so a strip of it stays in sight before the piece is gone.
        part.inside = part.inside * np.clip(1.5 - (depth - rng.uniform(5, 9)) / 1.5 + rough, 0, 1)


def _scale(made: _Stroke) -> None:
    part, rng = made.part, made.rng
    flakes = grain(rng, 1.5, 6)
    crust = np.clip((made.mask - 0.25) * 2.2 + 0.3 * flakes * made.mask, 0, 1)
    fine = grain(rng)
    if part.product.rusts and part.product.metal:
        colour = made.toned(_MILL_SCALE, flakes, 0.30)
        border = np.clip(blurred(crust, 5) * 1.3 - crust, 0, 1)
        part.paint(border, _RUST, 0.55, gloss=0.2)
        gloss = 0.45
    elif part.product.rusts:
        share = np.clip(0.5 + 0.5 * flakes, 0, 1)[..., None]
        colour, gloss = (
            made.toned(_RUST * share + np.array([0.50, 0.27, 0.09]) * (1 - share), fine, 0.25),
            0.05,
        )
    else:
        lime = np.array([0.66, 0.64, 0.58], np.float32) if part.is_dark else np.array([0.46, 0.38, 0.27])
        colour, gloss = made.toned(lime.astype(np.float32), fine + flakes, 0.14), 0.05
    part.height = part.height * (1 - 0.5 * crust) + crust * (3.5 + 1.1 * flakes + 0.8 * fine)
    part.paint(crust, colour.astype(np.float32), 0.93, gloss=gloss)


def _fray(made: _Stroke) -> None:
    """Threads, or slivers of metal, that stand off; they reach beyond the outline."""
    part, rng = made.part, made.rng
    thread = made.core(0.25)
    if part.product.metal:
        colour, gloss = np.clip(part.base * 1.3, 0, 0.95), None
    elif part.product.name == "woven_cloth":
        colour, gloss = np.clip(part.base * 1.22, 0, 0.92), 0.0
    else:
        colour, gloss = _bare(part), 0.1
    around = blurred(made.mask, 5) * part.inside
    part.height = part.height + 2.5 * around * grain(rng)
    part.paint(around, part.base * 0.6, 0.4)
    part.inside = np.maximum(part.inside, np.clip(1.6 * thread, 0, 1))
    part.height = part.height + 7 * blurred(thread, 0.8)
    part.paint(thread, made.toned(colour, made.slow(), 0.15), 0.92, gloss=gloss)


def _crazing(made: _Stroke) -> None:
    part, rng = made.part, made.rng
    net = crack_lines(rng, int(log_uniform(rng, 170, 420)))
    net = cv2.resize(net, made.mask.shape, interpolation=cv2.INTER_CUBIC)
    net = np.clip((net - 0.25) / 0.75, 0, 1) * np.clip(1.6 * made.mask, 0, 1)
    net = net * np.clip(0.85 + 0.3 * made.slow(), 0.3, 1.1)
    part.height = part.height - 2.0 * net
    part.paint(blurred(net, 2.0), part.base * 0.7, 0.3)
    colour = _bare(part) if part.is_dark else part.base * 0.25
    part.paint(net, colour, 0.8, gloss=0.0)


def _uneven(made: _Stroke) -> None:
    """Another gloss, thickness or grain within one face."""
    part, rng, mask = made.part, made.rng, np.clip(made.mask * 1.2, 0, 1)
    streaks = clouds(rng, 1.4)
    if part.product.metal:
        part.height = part.height + 0.45 * mask * grain(rng, 0.7, 30)
    else:
        part.height = part.height + 0.9 * mask * clouds(rng, 1.2)
    factor = rng.uniform(1.5, 1.9) if part.is_dark else rng.uniform(0.55, 0.74)
    part.paint(mask, made.toned(np.clip(part.base * factor, 0, 1), streaks, 0.08), 0.85)
    part.gloss = part.gloss * (1 - 0.65 * mask)


def _foreign(made: _Stroke) -> None:
    """A chip, a flake, grains or fibres that lie on the part and throw a shadow."""
    part, rng = made.part, made.rng
    shape = str(rng.choice(["chip", "flake", "grains", "fibres"], p=[0.5, 0.2, 0.15, 0.15]))
    surface = made.fields.surface(rng, made.mask.shape[0]) / 128 - 1
    colour = _METAL_CHIP
    if shape != "chip":
        shows = np.abs(_MATTER - part.base).sum(axis=1) > 0.45  # on this part
        colour = _MATTER[rng.choice(np.flatnonzero(shows))]
    if shape == "fibres":
        made.mask = _fibres(made)
    elif shape == "grains":
        made.mask = made.mask * np.clip(3 * grain(rng, 0.3, 30) - 0.9, 0, 1)
    body = np.clip(made.mask * 1.3, 0, 1)
    inner = cv2.distanceTransform((body > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    dome = np.minimum(1.2 * blurred(inner, 1.2), rng.uniform(7, 12))
    lift = 3 if shape == "grains" else 6
    part.height = part.height * (1 - body) + body * (lift + dome + 1.4 * surface + 0.4 * grain(rng))
    part.paint(body, made.toned(colour, surface, 0.2), 0.97, gloss=0.5)
    if shape == "chip":
        part.metal = np.maximum(part.metal, body)
        part.gloss = part.gloss + (0.6 / max(part.product.gloss, 0.05) - part.gloss) * body


def _fibres(made: _Stroke) -> np.ndarray:
    """Some hairs and threads around the middle of the mask, as a mask of their own."""
    rng, sheet = made.rng, np.zeros(made.mask.shape, np.uint8)
    moments = cv2.moments(made.mask)
    middle = np.array([moments["m10"], moments["m01"]]) / max(moments["m00"], 1e-3)
    reach = np.sqrt(moments["m00"])  # pixels: about the width of the mask
    for _ in range(int(rng.integers(2, 6))):
        start = middle + rng.normal(0, 0.25 * reach, 2)
        length = rng.uniform(1.0, 2.4) * reach
        path = wandering_path(rng, tuple(start), rng.uniform(0, 2 * np.pi), length, 0.16)
        stroke(sheet, path, 255, int(rng.integers(2, 5)))
    inside = made.part.inside if made.part.product.form != "sheet" else 1.0
    return blurred(sheet.astype(np.float32) / 255, 0.8) * inside


MARKS: dict[str, Callable[[_Stroke], None]] = {
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


def mark_part(kind: str, rng: Generator, part: Part, mask: np.ndarray, fields: FieldSource) -> np.ndarray:
    """Change the part as a fault of that kind would where `mask`, (s, s) float32 from 0 to 1, is.

    Returns the mask of what is to be seen.
    """
    made = _Stroke(part, mask, rng, fields)
    MARKS[kind](made)
    return made.mask
