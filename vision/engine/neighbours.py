"""Nearest neighbours inside a library, each image asked against all the others."""

import numpy as np

#: Rows of the similarity matrix that are held at once.
_BLOCK = 1024


def leave_one_out_neighbours(
    vectors: np.ndarray,
    k: int,
    *,
    groups: np.ndarray | None = None,
    max_queries: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k nearest others of each image of a library, by cosine.

    `vectors` is (n, d) with rows of unit length; images of the same `groups` value (n,) never count as each
    other's neighbours, and no image is its own. With `max_queries` a fixed random part of the images asks.

    Returns similarities (m, k) float32 and positions (m, k) int64, nearest first, missing ones -inf and -1,
    and the positions (m,) of the images that asked.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    count = len(vectors)
    groups = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    queries = np.arange(count)
    if max_queries is not None and count > max_queries:
        queries = np.sort(np.random.default_rng(0).choice(count, max_queries, replace=False))
    similarities = np.full((len(queries), k), -np.inf, np.float32)
    positions = np.full((len(queries), k), -1, np.int64)
    width = min(k, count)
    for start in range(0, len(queries), _BLOCK):
        rows = queries[start : start + _BLOCK]
        block = vectors[rows] @ vectors.T
        block[groups[rows][:, None] == groups[None]] = -np.inf
        nearest = np.argpartition(-block, width - 1, axis=1)[:, :width]
        scores = np.take_along_axis(block, nearest, 1)
        order = np.lexsort((nearest, -scores))
        nearest, scores = np.take_along_axis(nearest, order, 1), np.take_along_axis(scores, order, 1)
        part = slice(start, start + len(rows))
        similarities[part, :width] = scores
        positions[part, :width] = np.where(np.isfinite(scores), nearest, -1)
    return similarities, positions, queries
