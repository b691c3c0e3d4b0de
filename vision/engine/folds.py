"""Folds for cross-validation in which a case or a set of near-duplicates never meets itself."""

import numpy as np


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
