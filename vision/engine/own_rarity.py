"""How rare a patch is within its own picture: a crack is like nothing beside it, good surface repeats.

What differs from one good part to the next, such as light or grain, is the same all over a picture, and no
reason to find it faulty (the idea of MuSc: Li et al., 2024, within a single picture).
"""

from math import ceil, sqrt

import numpy as np

from vision.engine.index import faiss_loaded

#: Only every so many rows and columns are compared with, on large grids fewer: what repeats, repeats there.
_STEP = 2
_MOST_OTHERS = 1024
#: Steps of the grid around a patch in which others are no comparison, since they show the same.
_BESIDE = 4
_NEIGHBOURS = 3


def own_rarity(patches: np.ndarray) -> np.ndarray:
    """Mean distance of each of (h, w, d) float32 patches to its three nearest elsewhere, float32 (h, w).

    Elsewhere is more than 4 rows or columns away. On a grid that is too small for that, all is equally rare.
    """
    height, width, depth = patches.shape
    step = max(_STEP, ceil(sqrt(height * width / _MOST_OTHERS)))
    if max(height, width) <= 2 * (_BESIDE + step):
        return np.ones((height, width), np.float32)
    rows, columns = np.divmod(np.arange(height * width), width)
    others = np.flatnonzero((rows % step == 0) & (columns % step == 0))
    flat = np.ascontiguousarray(patches.reshape(-1, depth))
    # So many can lie too near; then come those that count.
    most = (2 * _BESIDE // step + 1) ** 2 + _NEIGHBOURS
    squares, found = faiss_loaded().knn(flat, np.ascontiguousarray(flat[others]), min(most, len(others)))
    found = others[found]
    apart = np.maximum(abs(rows[found] - rows[:, None]), abs(columns[found] - columns[:, None]))
    distances = np.where(apart > _BESIDE, np.sqrt(np.maximum(squares, 0)), np.inf)
    distances.partition(_NEIGHBOURS - 1, axis=1)
    nearest = np.sort(distances[:, :_NEIGHBOURS], axis=1)
    nearest = np.where(np.isfinite(nearest), nearest, nearest[:, :1])
    return nearest.mean(axis=1).reshape(height, width).astype(np.float32)
