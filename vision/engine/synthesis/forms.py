"""Forms of the gallery's parts: outline and relief of each, always the same, as a drawing would fix them."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from vision.engine.synthesis.fields import blurred
from vision.engine.synthesis.shapes import fill

#: Side of the square that a form is drawn in, in pixels.
DRAWN_SIZE = 512
_CENTRE = np.array([DRAWN_SIZE / 2, DRAWN_SIZE / 2])
_UPRIGHT_CORNER = np.pi / 4


def _at(x: float, y: float) -> np.ndarray:
    """A place, given from the middle."""
    return _CENTRE + np.array([x, y])


class _Blank:
    """A part while it is made: material is added and cut away, then the relief is milled into its face."""

    def __init__(self):
        self.solid = np.zeros((DRAWN_SIZE, DRAWN_SIZE), np.uint8)
        self.relief = np.zeros((DRAWN_SIZE, DRAWN_SIZE), np.float32)

    def add(self, outline: np.ndarray) -> None:
        fill(self.solid, outline, 255)

    def cut(self, outline: np.ndarray) -> None:
        fill(self.solid, outline, 0)

    def raise_face(self, outline: np.ndarray, height: float, slope: float = 4.0) -> None:
        """Lift the face within an outline by `height` pixels, over a flank `slope` pixels wide."""
        sheet = np.zeros_like(self.solid)
        fill(sheet, outline, 255)
        self.relief += height * blurred(sheet.astype(np.float32) / 255, slope)

    def bore(self, place: np.ndarray, radius: float) -> None:
        """A countersunk hole through the part."""
        self.raise_face(circle(radius * 1.45, place), -2.5, 2.0)
        self.cut(circle(radius, place))


def circle(radius: float, centre: np.ndarray = _CENTRE, corners: int = 96) -> np.ndarray:
    """Corners (n, 2) of a regular polygon; with the default number it looks round."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def rounded_box(width: float, height: float, corner: float, centre: np.ndarray = _CENTRE) -> np.ndarray:
    """Corners (n, 2) of a box with round corners of radius `corner`."""
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False) + _UPRIGHT_CORNER / 16
    arc = corner * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    inner = np.array([width / 2 - corner, height / 2 - corner])
    return centre + arc + np.sign(arc) * inner


def around(count: int, radius: float, start: float = 0.0) -> np.ndarray:
    """`count` places (n, 2) on a circle around the middle."""
    return circle(radius, corners=count) if not start else _turned(circle(radius, corners=count), start)


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points - _CENTRE) @ turn + _CENTRE


def _gear(blank: _Blank) -> None:
    teeth, outer, root = 22, 216.0, 180.0
    pitch = 2 * np.pi / teeth
    # Half widths of a tooth at foot, flank and tip, in parts of the pitch.
    profile = ((-0.31, root), (-0.20, (outer + root) / 2), (-0.11, outer))
    profile += tuple((-share, radius) for share, radius in reversed(profile))
    corners = [
        (radius * np.cos(angle), radius * np.sin(angle))
        for tooth in range(teeth)
        for share, radius in profile
        for angle in [(tooth + share) * pitch]
    ]
    blank.add(_CENTRE + np.array(corners))
    blank.raise_face(circle(152), -6)
    blank.raise_face(circle(86), 9)
    for place in around(5, 119, 0.3):
        blank.cut(circle(20, place))
    blank.cut(circle(44))
    blank.cut(rounded_box(22, 24, 2, _at(0, -46)))


def _bracket(blank: _Blank) -> None:
    blank.add(rounded_box(452, 316, 26))
    for x in (-182, 182):
        for y in (-114, 114):
            blank.bore(_at(x, y), 17)
    blank.cut(rounded_box(150, 34, 17, _at(0, 96)))
    blank.raise_face(rounded_box(370, 12, 6, _at(0, -118)), 5, 5)


def _bearing_ring(blank: _Blank) -> None:
    blank.add(circle(218))
    blank.raise_face(circle(196), 4, 1.5)
    blank.raise_face(circle(142), -4, 1.5)
    blank.cut(circle(118))


def _impeller(blank: _Blank) -> None:
    blank.add(circle(214))
    blank.raise_face(circle(204), -7, 3)
    along = np.linspace(0, 1, 24)
    for vane in range(6):
        angle = vane * np.pi / 3 + 1.15 * along
        radius = 66 + 140 * along
        inner = _CENTRE + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        wide = angle + (0.15 - 0.06 * along)
        outer = _CENTRE + np.stack([radius * np.cos(wide), radius * np.sin(wide)], axis=1)
        blank.raise_face(np.concatenate([inner, outer[::-1]]), 15, 3)
    blank.raise_face(circle(74), 14, 4)
    blank.cut(circle(32))
    blank.cut(rounded_box(16, 18, 2, _at(0, -33)))


def _flange(blank: _Blank) -> None:
    blank.add(circle(186))
    for place in around(6, 184):
        blank.add(circle(36, place))
    for place in around(6, 188):
        blank.bore(place, 13)
    blank.raise_face(circle(150), 9, 4)
    blank.raise_face(circle(112), -14, 6)
    blank.raise_face(circle(66), 12, 4)
    for angle in np.arange(6) * np.pi / 3 + np.pi / 6:
        blank.raise_face(_turned(rounded_box(66, 10, 5, _at(96, 0)), angle), 8, 3)
    blank.cut(circle(36))


def _lip_seal(blank: _Blank) -> None:
    blank.add(circle(204))
    blank.raise_face(circle(172), -7, 4)
    blank.raise_face(circle(140), 8, 5)
    blank.cut(circle(104))


def _seal_plate(blank: _Blank) -> None:
    blank.add(rounded_box(380, 380, 40))
    blank.raise_face(circle(118), 3, 1.5)
    for x in (-142, 142):
        for y in (-142, 142):
            blank.cut(circle(16, _at(x, y)))
    blank.cut(circle(62))


def _housing(blank: _Blank) -> None:
    blank.add(rounded_box(450, 330, 44))
    blank.raise_face(rounded_box(394, 274, 28), -8, 3)
    for x in (-160, 160):
        for y in (-100, 100):
            blank.raise_face(circle(26, _at(x, y)), 9, 2.5)
            blank.raise_face(circle(10, _at(x, y)), -14, 2)
    for x in (-48, 0, 48):
        blank.raise_face(rounded_box(10, 150, 5, _at(x, 30)), 5, 2)
    blank.cut(rounded_box(120, 26, 8, _at(0, -96)))


def _mat(blank: _Blank) -> None:
    blank.add(rounded_box(438, 380, 5))


#: Every form but "sheet", which fills the picture.
_FORMS: dict[str, Callable[[_Blank], None]] = {
    "gear": _gear,
    "bracket": _bracket,
    "bearing_ring": _bearing_ring,
    "impeller": _impeller,
    "flange": _flange,
    "lip_seal": _lip_seal,
    "seal_plate": _seal_plate,
    "housing": _housing,
    "mat": _mat,
}


@lru_cache(maxsize=len(_FORMS))
def draw_form(name: str, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the part is, (512, 512) float32 from 0 to 1, and the height of its face in pixels, alike.

    `edge` is the width of the rounded edge in pixels. The arrays are shared: don't write into them.
    """
    blank = _Blank()
    _FORMS[name](blank)
    depth = cv2.distanceTransform((blank.solid > 127).astype(np.uint8), cv2.DIST_L2, 5)
    rounding = edge * np.sqrt(1 - (1 - np.clip(depth / edge, 0, 1)) ** 2) - edge
    relief = blank.relief + blurred(rounding.astype(np.float32), 1.0)
    return blurred(blank.solid.astype(np.float32) / 255, 0.7), relief
