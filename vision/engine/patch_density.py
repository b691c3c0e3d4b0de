"""How far good patches usually are from those of other pictures, and which are too far to be good.

The distance to the nearest patch says little by itself: on a plain surface good patches lie close together,
on a grained or ornamented one far apart. Divided by what is usual around the neighbour it says the same
everywhere (the idea of the local outlier factor: Breunig et al., 2000). Only patches of other pictures count,
since neighbours within a picture overlap. A patch that no other picture has anything like is left out of the
bank: perhaps a faulty part slipped among the good ones (as in SoftPatch: Jiang et al., 2022).
"""

import numpy as np

from vision.engine.index import faiss_loaded

#: Patches of other pictures whose mean distance is what is usual.
NEIGHBOURS = 8
#: Patches of each half of the pictures that the others are compared with.
_REFERENCE = 25_000


def picture_halves(pictures: np.ndarray, seed: int = 0) -> np.ndarray:
    """Half (0 or 1) of each patch, by the number of its picture: int64 (n,). Pictures are never split.

    Of a single picture all are in half 0.
    """
    numbers, place = np.unique(pictures, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(numbers)) % 2)[place]


def usual_distances(patches: np.ndarray, halves: np.ndarray, seed: int = 0) -> np.ndarray:
    """Mean distance of patches (n, d) float32 to the nearest of the other half, float32 (n,).

    Each half is compared with at most 25,000 random patches of the other. With one half only, patches are
    compared within it, and are their own nearest.
    """
    faiss = faiss_loaded()
    rng = np.random.default_rng(seed)
    usual = np.empty(len(patches), np.float32)
    for half in np.unique(halves):
        own = np.flatnonzero(halves == half)
        others = np.flatnonzero(halves != half)
        others = np.sort(rng.permutation(others if len(others) else own)[:_REFERENCE])
        count = min(NEIGHBOURS, len(others))
        squares, _ = faiss.knn(patches[own], np.ascontiguousarray(patches[others]), count)
        usual[own] = np.sqrt(np.maximum(squares, 0)).mean(axis=1)
    return usual


def lonely(usual: np.ndarray, deviations: float) -> np.ndarray:
    """Which patches are too far from all others, bool (n,).

    Logarithms of distances are compared with their median in robust standard deviations (1.4826 times the
    median absolute deviation), so the limit needs no guess of how many are bad. It holds up to half of them.
    """
    logs = np.log(np.maximum(usual, 1e-12))
    middle = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - middle))
    return logs > middle + deviations * max(spread, 1e-6)
