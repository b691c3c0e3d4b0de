"""Where on a part of the gallery a fault lies: of fitting size, on the part or at its outline."""

import cv2
import numpy as np
from numpy.random import Generator

from vision.engine.synthesis.faults import draw_fault
from vision.engine.synthesis.sources import FieldSource

_ATTEMPTS = 8
_SHRINKS = 5
_MID_GREY = 128.0
_VISIBLE = 0.1
_TRACE = 0.004
#: Pixels over which a mask fades towards the border of its sheet.
_FADE = 20
_CUT_ALLOWED = 0.004
_COARSE = 8
#: Smallest and largest share of the part's surface that a fault takes.
_SHARES = {
    "scratch": (0.003, 0.05),
    "crack": (0.004, 0.06),
    "pit": (0.004, 0.022),
    "stain": (0.03, 0.18),
    "dent": (0.02, 0.12),
    "inclusion": (0.004, 0.05),
    "missing": (0.02, 0.09),
    "scale": (0.025, 0.22),
    "fray": (0.004, 0.05),
    "crazing": (0.06, 0.35),
    "uneven": (0.05, 0.35),
    "foreign": (0.006, 0.035),
}
_ANY_SHARE = (0.004, 0.25)
#: Share of a fault that lies on the part when it belongs to the outline, from and to.
_AT_OUTLINE = {"missing": (0.35, 0.75), "fray": (0.30, 0.62)}
_ON_PART = (0.93, 1.01)
#: Bands that run across a part are cut off by its outline.
_ACROSS = ("uneven", "crazing")
_WITHOUT_OUTLINE = ("uneven", "crazing", "stain", "dent")


def place_fault(
    kind: str, rng: Generator, inside: np.ndarray, fields: FieldSource, *, is_sheet: bool
) -> np.ndarray:
    """The mask of a fault on a part: (s, s) float32 from 0 to 1, its largest value 1.

    `inside` is (s, s) float32, 1 on the part. Draws until one fits, and takes the best one if none does.
    """
    smallest, largest = _SHARES.get(kind, _ANY_SHARE)
    best, best_flaw = np.zeros_like(inside), np.inf
    for _ in range(_ATTEMPTS):
        mask = _drawn(kind, rng, inside.shape[0], fields)
        if mask is None:
            continue
        flaw = 0.0
        if not is_sheet and kind not in _ACROSS:
            flaw = 20 * max(0.0, _cut_share(mask) - _CUT_ALLOWED)
            mask = _moved_onto(kind, rng, _softly_ended(mask), inside, largest)
        elif kind in _ACROSS:
            mask = mask * (inside > 0.5)
        share = float((mask * inside).sum() / inside.sum())
        flaw += max(0.0, 1 - share / smallest) + max(0.0, share / largest - 1)
        if flaw < best_flaw:
            best, best_flaw = mask, flaw
        if flaw == 0:
            break
    return best


def weaken_fault(kind: str, mask: np.ndarray, inside: np.ndarray, strength: float) -> np.ndarray:
    """The mask of a slighter fault in the same place: fainter where it has no outline, otherwise smaller.

    `strength` is above 0 and at most 1.
    """
    if kind in _WITHOUT_OUTLINE:
        return mask * strength
    # A fault at the outline of the part stays there.
    moments = cv2.moments(mask * (cv2.erode(inside, np.ones((9, 9))) < 0.5) * (inside > 0.1))
    if kind not in _AT_OUTLINE or moments["m00"] < 1:
        moments = cv2.moments(mask)
    x, y = (moments[name] / max(moments["m00"], 1e-3) for name in ("m10", "m01"))
    shrink = np.array([[strength, 0, x * (1 - strength)], [0, strength, y * (1 - strength)]])
    return cv2.warpAffine(mask, shrink, mask.shape, flags=cv2.INTER_AREA)


def _drawn(kind: str, rng: Generator, size: int, fields: FieldSource) -> np.ndarray | None:
    """A mask whose largest value is 1; None when the fault was drawn beside the picture."""
    plain = np.full((size, size), _MID_GREY, np.float32)
    _, mask = draw_fault(kind, plain, rng, fields)
    return mask / mask.max() if mask.max() > _VISIBLE else None


def _softly_ended(mask: np.ndarray) -> np.ndarray:
    """The mask faded towards its sheet's border, so that what ran out of it may come to lie amid the part."""
    places = np.arange(len(mask))
    ramp = np.clip(np.minimum(places, places[::-1]) / _FADE, 0, 1).astype(np.float32)
    return mask * ramp * ramp[:, None]


def _cut_share(mask: np.ndarray) -> float:
    """How much of the sheet's border the mask runs over, 0 to 1."""
    return float(np.mean([mask[0].mean(), mask[-1].mean(), mask[:, 0].mean(), mask[:, -1].mean()]))


def _moved_onto(
    kind: str, rng: Generator, mask: np.ndarray, inside: np.ndarray, largest: float
) -> np.ndarray:
    """The mask moved, and shrunk where it must be, so that the part bears it."""
    low, high = _AT_OUTLINE.get(kind, _ON_PART)
    wanted = largest * float(inside.sum())
    zoom = min(1.0, float(np.sqrt(wanted / max(float(mask.sum()), 1.0))))
    size = inside.shape[0]
    for _ in range(_SHRINKS):
        shrunk = cv2.resize(mask, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        rows, columns = (np.flatnonzero((shrunk > _TRACE * shrunk.max()).any(axis=axis)) for axis in (1, 0))
        piece = shrunk[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        place = _place_for(rng, piece, inside, low, high)
        if place is not None:
            break
        zoom *= 0.75
    else:
        return mask * (inside > 0.5)
    moved = np.zeros((3 * size, 3 * size), np.float32)
    top, left = (size + place).astype(int)
    moved[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
    return moved[size : 2 * size, size : 2 * size].copy()


def _place_for(
    rng: Generator, piece: np.ndarray, inside: np.ndarray, low: float, high: float
) -> np.ndarray | None:
    """Row and column of the piece's corner so that the wanted share lies on the part; None if none."""
    coarse = cv2.resize(inside, None, fx=1 / _COARSE, fy=1 / _COARSE, interpolation=cv2.INTER_AREA)
    sides = [max(1, round(side / _COARSE)) for side in piece.shape[::-1]]
    small = cv2.resize(piece, sides, interpolation=cv2.INTER_AREA)
    pad = [side // 2 for side in small.shape]
    padded = cv2.copyMakeBorder(coarse, pad[0], pad[0], pad[1], pad[1], cv2.BORDER_CONSTANT)
    if padded.shape[0] < small.shape[0] or padded.shape[1] < small.shape[1]:
        return None
    on_part = cv2.matchTemplate(padded, small, cv2.TM_CCORR) / max(float(small.sum()), 1e-3)
    rows, columns = np.nonzero((on_part >= low) & (on_part <= high))
    if not len(rows):
        return None
    chosen = int(rng.integers(len(rows)))
    return (np.array([rows[chosen], columns[chosen]]) - pad) * _COARSE
