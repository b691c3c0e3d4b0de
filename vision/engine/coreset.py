"""A few patches that stand for all: greedy k-center selection, each time the patch furthest from the chosen.

Gonzalez, "Clustering to minimize the maximum intercluster distance" (1985), which is at most twice as far
from any patch as the best selection; the coreset of PatchCore (Roth et al., 2022).
"""

from collections.abc import Callable

import numpy as np

Progress = Callable[[int, int], None]
#: Steps between two reports of progress.
_REPORT_EVERY = 200
#: Rows that are projected at once.
_CHUNK = 16_384


def greedy_coreset(
    patches: np.ndarray,
    size: int,
    *,
    projected_to: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Positions of `size` patches of (n, d) float32 in the order of their choice, int64 (min(size, n),).

    The first is drawn at random. A step costs one product of the patches with the last choice, since
    ||x - c||^2 = ||x||^2 - 2 x.c + ||c||^2. With `projected_to` distances are taken after a sparse random
    projection to so many numbers, as in the paper: cheaper, and nearly the same selection. `progress` gets
    the number of chosen patches and `size`. Beside the patches it needs a centred (or projected) copy of
    them and two numbers a patch. Raises ValueError for a size under 1 or patches that are no finite matrix.
    """
    if size < 1:
        raise ValueError(f"A coreset needs at least 1 patch, not {size}.")
    if patches.ndim != 2 or not len(patches):
        raise ValueError(f"Patches of shape {patches.shape} are no matrix with rows.")
    rng = np.random.default_rng(seed)
    size = min(size, len(patches))
    rows = _projected(patches, projected_to, rng)
    squares = np.einsum("nd,nd->n", rows, rows)
    if not np.isfinite(squares).all():
        raise ValueError("A patch holds NaN or infinity.")
    nearest = np.full(len(rows), np.inf, np.float32)
    chosen = np.empty(size, np.int64)
    chosen[0] = rng.integers(len(rows))
    for step in range(size):
        if step:
            chosen[step] = nearest.argmax()
        last = chosen[step]
        distances = rows @ (-2 * rows[last])
        distances += squares
        distances += squares[last]
        np.minimum(nearest, distances, out=nearest)
        # Among equal patches rounding may leave a chosen one the furthest: it must not come twice.
        nearest[last] = -np.inf
        if progress and ((step + 1) % _REPORT_EVERY == 0 or step + 1 == size):
            progress(step + 1, size)
    return chosen


def _projected(patches: np.ndarray, dimension: int | None, rng: np.random.Generator) -> np.ndarray:
    """Patches around their mean, which keeps the cancellation in the squares small; perhaps projected."""
    mean = patches.mean(axis=0, dtype=np.float64).astype(np.float32)
    if dimension is None or dimension >= patches.shape[1]:
        return patches - mean
    matrix = sparse_projection(patches.shape[1], dimension, rng)
    rows = np.empty((len(patches), dimension), np.float32)
    for start in range(0, len(patches), _CHUNK):
        rows[start : start + _CHUNK] = (patches[start : start + _CHUNK] - mean) @ matrix
    return rows


def sparse_projection(width: int, dimension: int, rng: np.random.Generator) -> np.ndarray:
    """A random matrix (width, dimension) float32 that keeps distances on average.

    One entry in sqrt(width) is not zero (Li, Hastie & Church, "Very Sparse Random Projections", 2006).
    """
    sparsity = np.sqrt(width)
    signs = rng.choice(
        np.float32([-1, 0, 1]), (width, dimension), p=[0.5 / sparsity, 1 - 1 / sparsity, 0.5 / sparsity]
    )
    return signs * np.float32(np.sqrt(sparsity / dimension))
