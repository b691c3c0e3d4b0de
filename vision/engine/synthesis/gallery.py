"""Coloured photographs of parts and materials with one fault each, for demonstrations and tests.

A photograph is rendered from relief, colour and gloss: a fault changes some of them, and the light then shows
it as a camera would see it.
"""

import zlib

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.beds import draw_bed
from vision.engine.synthesis.camera import Still, expose, light_up
from vision.engine.synthesis.faults import FAULT_KINDS
from vision.engine.synthesis.forms import DRAWN_SIZE, draw_form
from vision.engine.synthesis.marks import Part, mark_part
from vision.engine.synthesis.materials import PRODUCTS, Product, clouds
from vision.engine.synthesis.placing import place_fault, weaken_fault
from vision.engine.synthesis.sources import FreshFields

__all__ = ["FAULT_KINDS", "MATERIALS", "NO_FAULT", "draw_fault_image"]

#: Names of what can be photographed.
MATERIALS: tuple[str, ...] = tuple(PRODUCTS)
NO_FAULT = "none"
#: Forms that may lie turned by any angle.
_ROUND_FORMS = ("gear", "bearing_ring", "impeller", "flange", "lip_seal")
#: Share of a part's thickness that shows as its side wall: the camera looks a little from the front.
_WALL_SHARE = 0.32


def draw_fault_image(
    kind: str, seed: int, size: int = 512, *, material: str | None = None, strength: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """A photograph of a part with one fault, and where the fault is.

    `kind` is one of FAULT_KINDS, or "none" for a good part; `material` is one of MATERIALS, by default one
    that the seed chooses. Pictures of one material show the same product: alike, never identical. `strength`
    below 1 draws a slighter fault in the same place, down to 0 for the same part without it. Same arguments,
    same picture. Returns the picture (size, size, 3) uint8 RGB, and the mask (size, size) float32 from 0 to
    1, empty for a good part. Raises ValueError for unknown names, a size under 32 pixels, and a strength
    beyond 0 to 1.
    """
    if kind not in (*FAULT_KINDS, NO_FAULT):
        raise ValueError(f"There is no fault kind {kind!r}. Known are: {', '.join(FAULT_KINDS)}, {NO_FAULT}.")
    if material is not None and material not in PRODUCTS:
        raise ValueError(f"There is no material {material!r}. Known are: {', '.join(MATERIALS)}.")
    if size < 32:
        raise ValueError(f"A picture has at least 32 pixels a side, not {size}.")
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength of a fault is from 0 to 1, not {strength}.")
    if material is None:
        material = str(np.random.default_rng([5, seed]).choice(MATERIALS))
    # crc32, because Python's own hash of a text differs from run to run.
    rng = np.random.default_rng([6, seed, zlib.crc32(material.encode()), zlib.crc32(kind.encode())])
    of_part, of_fault, of_camera = rng.spawn(3)
    part = _draw_part(of_part, PRODUCTS[material])
    mask = np.zeros((DRAWN_SIZE, DRAWN_SIZE), np.float32)
    if kind != NO_FAULT and strength > 0:
        fields, is_sheet = FreshFields(), part.product.form == "sheet"
        mask = place_fault(kind, of_fault, part.inside, fields, is_sheet=is_sheet)
        if strength < 1:
            mask = weaken_fault(kind, mask, part.inside, strength)
        mask = mark_part(kind, of_fault, part, mask, fields)
    scene = light_up(of_camera, _lay_down(of_part, part))
    scene, mask = _from_the_front(of_camera, scene, mask)
    picture = expose(of_camera, scene)
    shrinking = cv2.INTER_AREA if size < DRAWN_SIZE else cv2.INTER_CUBIC
    picture = cv2.resize(picture, (size, size), interpolation=shrinking)
    mask = cv2.resize(
        mask, (size, size), interpolation=cv2.INTER_AREA if size < DRAWN_SIZE else cv2.INTER_LINEAR
    )
    return np.ascontiguousarray(picture), np.clip(mask, 0, 1)


def _draw_part(rng: Generator, product: Product) -> Part:
    height, tone = product.surface(rng)
    height = height * product.bump
    inside = np.ones_like(height)
    if product.form != "sheet":
        inside, relief = draw_form(product.form, product.edge)
        place = _pose(rng, product)
        size = (DRAWN_SIZE, DRAWN_SIZE)
        inside = cv2.warpAffine(inside, place, size)
        both = cv2.merge([height + relief, tone])
        height, tone = cv2.split(cv2.warpAffine(both, place, size, borderMode=cv2.BORDER_REFLECT))
    tone = tone + 0.04 * clouds(rng, 2.2)  # handling leaves a trace
    colour = np.asarray(product.colour, np.float32) * tone[..., None]
    return Part(product, height.astype(np.float32), colour.astype(np.float32), inside)


def _pose(rng: Generator, product: Product) -> np.ndarray:
    """Slightly moved and turned: a part never lies twice in the same place."""
    turn = rng.uniform(-180, 180) if product.form in _ROUND_FORMS else rng.normal(0, 4)
    middle = (DRAWN_SIZE / 2, DRAWN_SIZE / 2)
    place = cv2.getRotationMatrix2D(middle, float(turn), float(rng.uniform(0.96, 1.04)))
    place[:, 2] += rng.normal(0, 0.012 * DRAWN_SIZE, 2)
    return place


def _lay_down(rng: Generator, part: Part) -> Still:
    """The part on its bed, with the side wall that the camera sees."""
    product = part.product
    if product.form == "sheet":
        return Still(part.height, part.colour, product.gloss * part.gloss, product.roughness, part.metal)
    bed_height, bed_colour = draw_bed(product.bed, rng)
    reach = max(2, round(product.thickness * _WALL_SHARE))
    line = np.zeros((2 * reach + 1, 1), np.uint8)
    line[: reach + 1] = 1
    body = cv2.dilate(part.inside, line)
    wall = np.clip(body - part.inside, 0, 1)
    wall_colour = np.asarray(product.colour, np.float32) * rng.uniform(0.42, 0.52)
    face, side = part.inside[..., None], wall[..., None]
    colour = bed_colour + (wall_colour - bed_colour) * body[..., None]
    colour = colour + (part.colour - colour) * face
    height = bed_height * (1 - body) + (product.thickness + part.height) * part.inside
    height = height + 0.5 * product.thickness * wall
    gloss = product.gloss * (part.gloss * part.inside + 0.3 * wall)
    return Still(height, colour * (1 - 0.25 * side), gloss, product.roughness, part.metal * body)


def _from_the_front(rng: Generator, scene: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scene and mask as a camera sees them that is held by hand and not quite above."""
    shape, middle = (DRAWN_SIZE, DRAWN_SIZE), DRAWN_SIZE / 2
    corners = DRAWN_SIZE * np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    # The far side, at the top, is seen wider and so shows smaller.
    tilt, lean = rng.uniform(0.005, 0.03), rng.normal(0, 0.006)
    widening = DRAWN_SIZE * np.array([[-tilt, lean], [tilt, -lean], [0, lean], [0, -lean]], np.float32)
    seen = middle + 0.965 * (corners - middle) + widening
    change = cv2.getPerspectiveTransform(seen.astype(np.float32), corners)
    return (
        cv2.warpPerspective(scene, change, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT),
        cv2.warpPerspective(mask, change, shape, flags=cv2.INTER_LINEAR),
    )
