"""Groups of near-duplicates: the same piece photographed again, or one picture turned, mirrored or relit.

A figure is only honest when such pictures stay on one side of a split. Neither a perceptual hash nor an
embedding can tell two pictures of one piece from pictures of two pieces of one product, which are made to
look alike. So both only propose pairs, and the pixels decide: local features (SIFT: Lowe, 2004) must agree
on one affine placement (RANSAC: Fischler and Bolles, 1981), and after it the fine structure must correlate.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet

from vision.engine.neighbours import leave_one_out_neighbours

#: Longer side in pixels at which local features are sought, and of the picture that is compared afterwards.
_FEATURE_SIDE = 256
_THUMBNAIL_SIDE = 128
_MOST_FEATURES = 200
#: A match counts when it is this much nearer than the second nearest (Lowe's ratio).
_RATIO = 0.8
#: Matches that agree on one placement: different pieces with the same sharp outline share up to 33, copies
#: mostly 60 and more.
_LEAST_MATCHES = 35
#: Pixels, at the feature side, by which a match may miss the common placement.
_TOLERANCE = 3.0
#: Zoom or stretch between two copies, either way.
_LARGEST_SCALE = 1.6
#: Correlation of the fine structure after the placement.
_LEAST_CORRELATION = 0.6
#: The same without a search for the placement, where pictures are too smooth for local features.
_LEAST_PLAIN_CORRELATION = 0.95
_HASH_BITS = 10
_NEIGHBOURS = 8
_BLOCK = 256
#: Pixels that two pictures must share for a correlation to say anything.
_LEAST_OVERLAP = 2000

#: Wraps an iterable of known length to show progress: (iterable, length).
Watch = Callable[[Iterable, int], Iterable]


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a picture to recognise it: some 40 kB.

    `hashes` (8,) uint64: perceptual hashes of the picture and of its turned and mirrored variants.
    `thumbnail` (h, w) uint8, longer side 128 pixels. `points` (m, 2) float32 in thumbnail pixels, and
    `descriptors` (m, 128) uint8, of at most 200 local features.
    """

    hashes: np.ndarray
    thumbnail: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray


def fingerprint(image: Image.Image) -> Fingerprint:
    """The fingerprint of a picture of any size and mode."""
    grey = image.convert("L")
    small = _shrunk(np.asarray(grey), _FEATURE_SIDE)
    sift = cv2.SIFT_create(nfeatures=_MOST_FEATURES, contrastThreshold=0.02)
    keypoints, descriptors = sift.detectAndCompute(small, None)
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32).reshape(-1, 2)
    thumbnail = _shrunk(small, _THUMBNAIL_SIDE)
    return Fingerprint(
        hashes=variant_hashes(small),
        thumbnail=thumbnail,
        points=points[:_MOST_FEATURES] * (_THUMBNAIL_SIDE / _FEATURE_SIDE),
        descriptors=np.zeros((0, 128), np.uint8)
        if descriptors is None
        else descriptors[:_MOST_FEATURES].astype(np.uint8),
    )


def variant_hashes(grey: np.ndarray) -> np.ndarray:
    """Perceptual hashes of a grey picture (h, w) and its seven turned and mirrored variants, uint64 (8,).

    64 low cosine coefficients of 32 x 32 pixels, each above or below their median (Zauner, 2010). Mirroring
    changes the signs of the odd coefficients and turning transposes them, so one transform serves all.
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8]
    odd = np.where(np.arange(8) % 2, -1.0, 1.0)
    signs = [np.ones((8, 8)), odd[:, None], odd[None], odd[:, None] * odd[None]]
    variants = np.stack([side * sign for side in (low, low.T) for sign in signs]).reshape(8, 64)
    bits = variants > np.median(variants, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def near_duplicate_groups(
    prints: Sequence[Fingerprint], vectors: np.ndarray | None = None, *, watch: Watch | None = None
) -> np.ndarray:
    """Number of the group of each of n pictures, int64 (n,), from 0; equal numbers are near-duplicates.

    Pairs are proposed by perceptual hash, in all turned and mirrored variants, and by the nearest `vectors`
    (n, d) with rows of unit length, and joined when `same_picture` holds; groups are the connected parts.
    A pair that is joined already through others is not compared again.
    """
    if not prints:
        return np.zeros(0, np.int64)
    # Equal pixels first: among a thousand black pictures nothing else would ever be a nearest neighbour.
    keys = [one.thumbnail.tobytes() for one in prints]
    _, first, place = np.unique(np.array(keys, object), return_index=True, return_inverse=True)
    kept = [prints[position] for position in first]
    proposed = _proposed_pairs(kept, None if vectors is None else vectors[first])
    sets = DisjointSet(range(len(kept)))
    for one, other in watch(proposed, len(proposed)) if watch else proposed:
        if not sets.connected(one, other) and same_picture(kept[one], kept[other]):
            sets.merge(one, other)
    roots = np.array([sets[position] for position in range(len(kept))])[place]
    # Numbered in the order of their first picture.
    _, seen, group = np.unique(roots, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(seen))[group].astype(np.int64)


def _proposed_pairs(prints: Sequence[Fingerprint], vectors: np.ndarray | None) -> list[list[int]]:
    """Pairs of positions that may be near-duplicates, each once, the likelier ones first."""
    count = len(prints)
    pairs = _hash_pairs(np.stack([one.hashes for one in prints]))
    if vectors is not None and count > 1:
        _, found, _ = leave_one_out_neighbours(vectors, min(_NEIGHBOURS, count - 1))
        # Nearest first over all pictures, so that most of the later pairs are joined already.
        pairs += [np.stack([np.arange(count), column], axis=1) for column in found.T]
    proposed = np.sort(np.concatenate(pairs), axis=1)
    _, first = np.unique(proposed, axis=0, return_index=True)
    return proposed[np.sort(first)].tolist()


def same_picture(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two fingerprints show the same piece: turned, mirrored, moved, stretched or relit at most."""
    return _alike_in_place(one, other) or _alike_after_placing(one, other)


def _alike_in_place(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether the fine structure agrees in one of the eight turned and mirrored variants."""
    if np.bitwise_count(one.hashes[0] ^ other.hashes).min() > _HASH_BITS:
        return False
    fine = _fine(one.thumbnail)
    return any(
        variant.shape == fine.shape and _correlation(fine, variant) >= _LEAST_PLAIN_CORRELATION
        for variant in _variants(_fine(other.thumbnail))
    )


def _alike_after_placing(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether local features place one picture on the other, and the fine structure agrees there."""
    if min(len(one.points), len(other.points)) < _LEAST_MATCHES:
        return False
    for descriptors in (other.descriptors, _mirrored(other.descriptors)):
        mine, theirs = _matches(one.descriptors, descriptors)
        if len(mine) < _LEAST_MATCHES:
            continue
        tolerance = _TOLERANCE * _THUMBNAIL_SIDE / _FEATURE_SIDE
        placement, agree = cv2.estimateAffine2D(
            other.points[theirs], one.points[mine], ransacReprojThreshold=tolerance
        )
        if placement is None or agree.sum() < _LEAST_MATCHES:
            continue
        scales = np.linalg.svd(placement[:, :2], compute_uv=False)
        if scales[0] > _LARGEST_SCALE or scales[1] < 1 / _LARGEST_SCALE:
            continue
        size = one.thumbnail.shape[::-1]
        placed = cv2.warpAffine(other.thumbnail, placement, size, borderMode=cv2.BORDER_REPLICATE)
        covered = cv2.warpAffine(np.ones_like(other.thumbnail), placement, size) > 0
        if _correlation(_fine(one.thumbnail)[covered], _fine(placed)[covered]) >= _LEAST_CORRELATION:
            return True
    return False


def _matches(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in both of the descriptors that are each other's nearest by far."""
    one, other = one.astype(np.float32), other.astype(np.float32)
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2 * one @ other.T
    nearest_two = np.partition(squares, 1, axis=1)[:, :2]
    nearest = squares.argmin(axis=1)
    clear = nearest_two[:, 0] < _RATIO**2 * nearest_two[:, 1]
    mutual = squares.argmin(axis=0)[nearest] == np.arange(len(one))
    mine = np.flatnonzero(clear & mutual)
    return mine, nearest[mine]


def _mirrored(descriptors: np.ndarray) -> np.ndarray:
    """The descriptors (m, 128) of the mirror image: a SIFT descriptor is 4 x 4 cells of 8 orientations.

    In the frame that turns with the feature, mirroring swaps the rows of cells and negates orientations.
    """
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    return cells[..., -np.arange(8) % 8].reshape(-1, 128)


def _hash_pairs(hashes: np.ndarray) -> list[np.ndarray]:
    """Pairs (m, 2) of pictures of which a variant differs in few bits, from hashes (n, 8)."""
    count = len(hashes)
    width = min(_NEIGHBOURS, count - 1)
    pairs = [np.zeros((0, 2), np.int64)]
    if not width:
        return pairs
    for start in range(0, count, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, count))
        own = hashes[rows, :1]
        distances = np.full((len(rows), count), 64, np.uint8)
        for variant in hashes.T:
            np.minimum(distances, np.bitwise_count(own ^ variant[None]), out=distances)
        distances[np.arange(len(rows)), rows] = 255
        nearest = np.argpartition(distances, width - 1, axis=1)[:, :width]
        near = np.take_along_axis(distances, nearest, 1) <= _HASH_BITS
        row, column = np.nonzero(near)
        pairs.append(np.stack([rows[row], nearest[row, column]], axis=1))
    return pairs


def _variants(picture: np.ndarray) -> list[np.ndarray]:
    """The eight turned and mirrored variants of a picture (h, w); the first is the picture itself."""
    return [np.rot90(side, turns) for side in (picture, picture[:, ::-1]) for turns in range(4)]


def _fine(picture: np.ndarray) -> np.ndarray:
    """Structure finer than a sixtieth of the picture, float32: what light and position leave alone."""
    values = picture.astype(np.float32)
    return values - cv2.GaussianBlur(values, (0, 0), 2.0)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of two arrays of one shape; 0 where one of them is even or almost nothing."""
    if one.size < _LEAST_OVERLAP:
        return 0.0
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / lengths if lengths > one.size * 1e-3 else 0.0


def _shrunk(grey: np.ndarray, side: int) -> np.ndarray:
    """A grey picture whose longer side has `side` pixels."""
    scale = side / max(grey.shape)
    size = tuple(max(round(length * scale), 8) for length in grey.shape[::-1])
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
