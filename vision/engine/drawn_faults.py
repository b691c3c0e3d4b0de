"""Faults drawn into good pictures: examples of what a faulty part of this product might look like.

Half of them are marks of the product's own generator (scratch, crack, pit, stain and so on), half are pieces
of good pictures in the wrong place: cut, turned and blended in (CutPaste: Li et al., 2021; NSA: Schlüter et
al., 2022). Nobody needs a faulty part for it, and no real fault is ever looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from vision.engine.mapped_pictures import MappedPicture, PictureMapper
from vision.engine.synthesis.faults import FAULT_KINDS, draw_fault
from vision.engine.synthesis.fields import log_uniform
from vision.engine.synthesis.shapes import fill, irregular_polygon
from vision.engine.synthesis.sources import FieldBank, FieldSource

#: The kind of a piece of a good picture in the wrong place.
PASTED = "pasted"
KINDS: tuple[str, ...] = (*FAULT_KINDS, PASTED)
#: Change of brightness (of 255) below which nobody sees a fault.
_VISIBLE = 6.0
#: Of the strongest change of a fault the share that still belongs to it.
_BELONGS = 0.25
#: Side of the square that a mark is drawn in, as a share of the picture's longer side.
_SQUARES = (0.35, 1.1)
#: Share of the square over which a mark fades where it runs out of it.
_FADE = 0.12
#: Diameter of a pasted piece, as a share of the picture's longer side.
_PIECES = (0.03, 0.3)
_PASTED_SHARE = 0.35
#: Good pictures that were seen last, from which pieces are cut.
_DONORS = 16
#: A fault is drawn again at most so often when it fell beside the picture.
_ATTEMPTS = 8


@dataclass(frozen=True)
class Drawn:
    """A good picture with a fault of that kind.

    `covered` float32 (h, w), on the grid of the finest map, is the share of each position that is faulty.
    """

    picture: MappedPicture
    covered: np.ndarray
    kind: str


@dataclass(frozen=True)
class Example:
    """A good picture, its number among all, and the same with faults drawn on it, one in each."""

    number: int
    good: MappedPicture
    faulty: tuple[Drawn, ...]


def draw_examples(
    pictures: Sequence[Image.Image],
    mapped: Sequence[MappedPicture],
    mapper: PictureMapper,
    on: Iterable[int],
    *,
    faults: int = 2,
    seed: int = 0,
) -> Iterator[Example]:
    """Each good picture whose number is in `on`, with `faults` pictures of the same part and one fault each.

    `mapped` are the good pictures as `mapper` sees them. About 60 ms and 0.5 MiB for each fault. The same
    pictures give the same faults.
    """
    fields, donors = fault_fields(seed), []
    for number in on:
        rng = np.random.default_rng([8, seed, number])
        # Drawn at the size that the network sees: a fault is as sharp as what is around it.
        pixels = np.asarray(mapper.working_picture(pictures[number]))
        donors = [*donors[-_DONORS + 1 :], pixels]
        drawn = []
        for _ in range(faults):
            donor = donors[rng.integers(max(1, len(donors) - 1))]
            faulty, mask, kind = draw_into(pixels, donor, rng, fields)
            seen = mapper(Image.fromarray(faulty))
            grid = seen.maps["fine"][0].shape[1::-1]
            covered = cv2.resize(mask.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
            drawn.append(Drawn(seen, covered, kind))
        yield Example(number, mapped[number], tuple(drawn))


def fault_fields(seed: int = 0) -> FieldBank:
    """The random fields that marks are made of, in about two seconds."""
    return FieldBank.draw(6, 2, seed, slow_fields=40, crack_networks=8)


def draw_into(
    picture: np.ndarray, donor: np.ndarray, rng: Generator, fields: FieldSource
) -> tuple[np.ndarray, np.ndarray, str]:
    """A good picture with one fault.

    `picture` is (h, w, 3) uint8 RGB and stays as it is; `donor`, of any size, is the good picture from which
    pieces are cut. Returns the faulty picture, the mask bool (h, w) of what differs visibly, which is never
    empty, and the kind, one of KINDS. Pictures of at least 32 pixels a side.
    """
    before = picture.astype(np.float32)
    for _ in range(_ATTEMPTS):
        kind = PASTED if rng.uniform() < _PASTED_SHARE else str(rng.choice(FAULT_KINDS))
        change = _pasted(before, donor, rng) if kind == PASTED else _marked(before, kind, rng, fields)
        after = np.clip(np.rint(before + change), 0, 255)
        mask = _visible(after - before)
        if mask.any():
            return after.astype(np.uint8), mask, kind
    return *_blot(before, rng), "pit"


def _visible(change: np.ndarray) -> np.ndarray:
    strength = cv2.GaussianBlur(np.abs(change).max(axis=2), (0, 0), 1)
    return strength > max(_VISIBLE, _BELONGS * float(strength.max()))


def _marked(before: np.ndarray, kind: str, rng: Generator, fields: FieldSource) -> np.ndarray:
    """The change (h, w, 3) that a mark of the generator makes somewhere on the picture."""
    height, width = before.shape[:2]
    side = max(32, round(log_uniform(rng, *_SQUARES) * max(height, width)))
    # A square larger than the picture sticks out of it.
    top, left = (int(rng.integers(min(0, full - side), max(0, full - side) + 1)) for full in (height, width))
    grey = before.mean(axis=2)
    rows, columns = (
        np.clip(np.arange(first, first + side), 0, full - 1) for first, full in ((top, height), (left, width))
    )
    square = grey[np.ix_(rows, columns)]
    drawn, _ = draw_fault(kind, square, rng, fields)
    ramps = []
    for first, full in ((top, height), (left, width)):
        # What is cut by the picture's border stays, what is cut by the square's fades.
        places = np.arange(side) + 0.5
        near = np.ones(side) if first <= 0 else places / (_FADE * side)
        far = np.ones(side) if first + side >= full else (side - places) / (_FADE * side)
        ramps.append(np.clip(np.minimum(near, far), 0, 1))
    change = (drawn - square) * np.outer(*ramps)
    whole = np.zeros((height, width), np.float32)
    inside = (slice(max(0, top), top + side), slice(max(0, left), left + side))
    whole[inside] = change[max(0, -top) : height - top, max(0, -left) : width - left]
    return whole[..., None] * _tint(before, rng)


def _pasted(before: np.ndarray, donor: np.ndarray, rng: Generator) -> np.ndarray:
    """The change that a piece of a good picture makes in the wrong place: turned, scaled, blended in."""
    height, width = before.shape[:2]
    reach = max(height, width)
    radius, elongation = log_uniform(rng, *_PIECES) * reach / 2, log_uniform(rng, 0.3, 3)
    centre = rng.uniform(0, 1, 2) * (width, height)
    sheet = np.zeros((height, width), np.uint8)
    outline = irregular_polygon(
        rng, tuple(centre), radius, corners=int(rng.integers(4, 16)), irregularity=rng.uniform(0, 0.5),
        elongation=float(np.sqrt(elongation)), angle=rng.uniform(0, np.pi),
    )  # fmt: skip
    fill(sheet, outline, 255)
    soft = cv2.GaussianBlur(sheet.astype(np.float32) / 255, (0, 0), log_uniform(rng, 0.6, 4))
    source = rng.uniform(0.1, 0.9, 2) * donor.shape[1::-1]
    turn = cv2.getRotationMatrix2D(tuple(source), float(rng.uniform(0, 360)), log_uniform(rng, 0.7, 1.5))
    turn[:, 2] += centre - source
    piece = cv2.warpAffine(donor, turn, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    change = (piece - before) * soft[..., None]
    if rng.uniform() < 0.5:  # as bright as what it covers, or nearly so
        weight = max(float(soft.sum()), 1e-3)
        change = change - (change.sum(axis=(0, 1)) / weight + rng.normal(0, 8)) * soft[..., None]
    return change


def _tint(before: np.ndarray, rng: Generator) -> np.ndarray:
    """Factors (3,) of a change: equal in a grey picture, and mostly in a coloured one."""
    grey = np.abs(before[..., 0] - before[..., 2]).max() < 1
    if grey or rng.uniform() < 0.5:
        return np.ones(3, np.float32)
    return np.clip(rng.normal(1, 0.4, 3), 0, 2).astype(np.float32)


def _blot(before: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """A round blot: what is drawn when nothing else can be seen, as on a white wall."""
    height, width = before.shape[:2]
    sheet = np.zeros((height, width), np.uint8)
    place = rng.integers(0, (width, height))
    cv2.circle(sheet, tuple(int(value) for value in place), max(4, round(0.04 * max(height, width))), 255, -1)
    inside = sheet > 0
    after = before.copy()
    after[inside] = np.where(before[inside].mean() < 128, 255, 0)
    return after.astype(np.uint8), inside
