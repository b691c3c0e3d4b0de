"""How well vectors bring like to like: the figures of image retrieval, each image asked against the others.

An image never finds itself, its own case (`groups`) or its exact duplicates (`duplicates`, such as the
sha256 of its file): a figure that counts those measures memory, not sight.
"""

from dataclasses import dataclass

import numpy as np

_BLOCK = 512


@dataclass(frozen=True)
class RetrievalMeasures:
    """All between 0 and 1. `queries` is the number of images that had anything of their category to find."""

    top1: float
    macro_f1: float
    precision_at: dict[int, float]
    recall_at: dict[int, float]
    map_at_r: float
    queries: int


def leave_one_out(
    vectors: np.ndarray,
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    duplicates: np.ndarray | None = None,
    precision_ks: tuple[int, ...] = (1, 5, 10),
) -> RetrievalMeasures:
    """Measure (n, d) vectors of unit length with (n,) labels, every image being the query once.

    top1: the nearest other image is of the same category; macro_f1: of that nearest category, averaged over
    categories. precision_at[k]: share of the same category among the k nearest; recall_at[k]: share of the
    queries with at least one of it among them (Jegou et al., 2011). map_at_r: mean over the
    queries of 1/R * sum of precision@i at each hit i <= R, with R the number of others of the category
    (Musgrave et al., "A Metric Learning Reality Check", 2020). Images with nothing of their category to find
    are left out of all figures. Raises ValueError when no image is left.
    """
    from sklearn.metrics import f1_score

    vectors = np.ascontiguousarray(vectors, np.float32)
    _, labels = np.unique(labels, return_inverse=True)
    barriers = [np.arange(len(labels))]
    barriers += [np.unique(keys, return_inverse=True)[1] for keys in (groups, duplicates) if keys is not None]
    truth, predicted, average_precision = [], [], []
    precision = {k: [] for k in precision_ks}
    recall = {k: [] for k in precision_ks}
    for start in range(0, len(labels), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(labels)))
        barred = np.logical_or.reduce([keys[rows][:, None] == keys[None] for keys in barriers])
        same = (labels[rows][:, None] == labels[None]) & ~barred
        asks = same.any(axis=1)
        rows, barred, same = rows[asks], barred[asks], same[asks]
        if not len(rows):
            continue
        similarity = vectors[rows] @ vectors.T
        similarity[barred] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")
        hits = np.take_along_axis(same, order, 1)
        truth.append(labels[rows])
        predicted.append(labels[order[:, 0]])
        for k, shares in precision.items():
            shares.append(hits[:, :k].mean(axis=1))
            recall[k].append(hits[:, :k].any(axis=1))
        relevant = same.sum(axis=1)
        ranks = np.arange(1, hits.shape[1] + 1)
        within = hits & (ranks <= relevant[:, None])
        average_precision.append((within * (hits.cumsum(axis=1) / ranks)).sum(axis=1) / relevant)
    if not truth:
        raise ValueError("No image has another one of its category to find: there is nothing to measure.")
    truth, predicted = np.concatenate(truth), np.concatenate(predicted)
    return RetrievalMeasures(
        top1=float((truth == predicted).mean()),
        macro_f1=float(f1_score(truth, predicted, average="macro")),
        precision_at={k: float(np.concatenate(shares).mean()) for k, shares in precision.items()},
        recall_at={k: float(np.concatenate(found).mean()) for k, found in recall.items()},
        map_at_r=float(np.concatenate(average_precision).mean()),
        queries=len(truth),
    )
