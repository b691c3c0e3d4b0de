"""Folds for cross-validation in which a case or a set of near-duplicates never meets itself."""

import numpy as np

#: Rows of hashes, and pairs of vectors, that are compared at once.
_BLOCK, _PAIRS = 512, 20_000


def grouped_folds(labels: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
    """The fold (n,) of each image, 0 to `folds` - 1; equal `groups` share one. The same on every call.

    The groups of each label (that of a group's first image) are dealt out in turn, so every fold holds about
    its share of every label, and a label with fewer groups than folds is missing from some.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(first))
    order = order[np.argsort(labels[first][order], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % max(folds, 1)
    return fold[group]


def groups_per_label(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """How many different groups the label of each image has, (n,)."""
    _, label = np.unique(labels, return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack([label, group]), axis=1)
    return np.bincount(pairs[0], minlength=label.max(initial=-1) + 1)[label]


def joined_groups(
    groups: np.ndarray, hashes: np.ndarray, vectors: np.ndarray, *, bits: int = 4, cosine: float = 0.98
) -> np.ndarray:
    """Groups (n,) in which near-duplicates belong together as well as equal (n,) `groups`.

    Near-duplicates differ in at most `bits` of their (n,) int64 perceptual hashes and have a `cosine` or more
    between their (n, d) unit vectors. Both, because products photographed in the same pose share a hash.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(groups)
    if not count:
        return np.zeros(0, np.int64)
    hashes = np.asarray(hashes, np.int64).view(np.uint64)
    _, first, own = np.unique(groups, return_index=True, return_inverse=True)
    left, right = [np.arange(count)], [first[own]]
    for start in range(0, count, _BLOCK):
        apart = np.bitwise_count(hashes[start : start + _BLOCK, None] ^ hashes[None])
        a, b = np.nonzero(apart <= bits)
        a += start
        a, b = a[a < b], b[a < b]
        for part in range(0, len(a), _PAIRS):
            some = slice(part, part + _PAIRS)
            alike = np.einsum("nd,nd->n", vectors[a[some]], vectors[b[some]]) >= cosine
            left.append(a[some][alike])
            right.append(b[some][alike])
    left, right = np.concatenate(left), np.concatenate(right)
    links = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    return connected_components(links, directed=False)[1]
