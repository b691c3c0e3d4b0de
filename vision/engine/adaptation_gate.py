"""Does a new embedding beat the old one on cases that it was not made from?"""

from dataclasses import asdict, dataclass

import numpy as np

#: What a new embedding must gain at least in mAP@R, beyond what chance explains.
MARGIN = 0.005
#: What it may lose at most in any other figure: the worth of a rounding error.
TOLERANCE = 0.01
_RESAMPLES = 2_000
_BLOCK = 512


@dataclass(frozen=True)
class QueryMeasures:
    """Of each image that has others of its category to find: float64 (queries,), and its group (queries,)."""

    average_precision: np.ndarray
    precision_at_5: np.ndarray
    top1: np.ndarray
    groups: np.ndarray

    def means(self) -> dict[str, float]:
        return {
            "map_at_r": float(self.average_precision.mean()),
            "precision_at_5": float(self.precision_at_5.mean()),
            "top1": float(self.top1.mean()),
        }


@dataclass(frozen=True)
class GateVerdict:
    """What was measured, and what follows. `low` and `high` bound the gain in mAP@R at 95 %."""

    passed: bool
    reason: str
    before: dict[str, float]
    after: dict[str, float]
    gain: float
    low: float
    high: float
    queries: int
    groups: int

    def as_dict(self) -> dict:
        return asdict(self)


def groups_join_alike(vectors: np.ndarray, groups: np.ndarray, similarity: float = 0.97) -> np.ndarray:
    """Groups (n,) int64, joined where they share a near-duplicate, so that none stands on both sides.

    Two of the (n, d) vectors are near-duplicates when their cosine, from the centre of all, reaches
    `similarity`: from the origin everything in one plant is alike.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, groups = np.unique(groups, return_inverse=True)
    vectors = vectors - np.asarray(vectors, np.float32).mean(axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    left, right = [], []
    for start in range(0, len(vectors), _BLOCK):
        near, other = np.nonzero(vectors[start : start + _BLOCK] @ vectors.T >= similarity)
        left.append(groups[near + start])
        right.append(groups[other])
    left, right = np.concatenate(left), np.concatenate(right)
    count = int(groups.max()) + 1 if len(groups) else 0
    edges = coo_array((np.ones(len(left), bool), (left, right)), shape=(count, count))
    return connected_components(edges, directed=False)[1][groups].astype(np.int64)


def held_out_split(
    labels: np.ndarray, groups: np.ndarray, share: float = 1 / 3
) -> tuple[np.ndarray, np.ndarray]:
    """Positions to learn from and positions to judge by: whole groups, categories in balance.

    Always the same for the same input. Raises ValueError when there are fewer groups than parts.
    """
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(round(1 / share), shuffle=True, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return next(iter(splitter.split(labels, labels, groups)))


def measure_queries(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> QueryMeasures:
    """Each of (n, d) unit vectors asked against the others, never against its own group.

    average_precision is mAP@R of one query (Musgrave et al. 2020). Raises ValueError when no image has
    another one of its category to find.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    _, labels = np.unique(labels, return_inverse=True)
    _, groups = np.unique(groups, return_inverse=True)
    average, at_5, top1, asked = [], [], [], []
    for start in range(0, len(labels), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(labels)))
        barred = groups[rows][:, None] == groups[None]
        same = (labels[rows][:, None] == labels[None]) & ~barred
        asks = same.any(axis=1)
        rows, barred, same = rows[asks], barred[asks], same[asks]
        if not len(rows):
            continue
        similarity = np.where(barred, -np.inf, vectors[rows] @ vectors.T)
        hits = np.take_along_axis(same, np.argsort(-similarity, axis=1, kind="stable"), 1)
        relevant = same.sum(axis=1)
        ranks = np.arange(1, hits.shape[1] + 1)
        within = hits & (ranks <= relevant[:, None])
        average.append((within * (hits.cumsum(axis=1) / ranks)).sum(axis=1) / relevant)
        at_5.append(hits[:, :5].sum(axis=1) / np.minimum(relevant, 5))
        top1.append(hits[:, 0].astype(float))
        asked.append(groups[rows])
    if not average:
        raise ValueError("No held-out picture has another one of its category in a different case.")
    return QueryMeasures(*(np.concatenate(parts) for parts in (average, at_5, top1, asked)))


def compare(before: QueryMeasures, after: QueryMeasures, unknown: tuple[float, float] | None) -> GateVerdict:
    """Judge two embeddings by the same queries.

    The gain in mAP@R must be at least MARGIN and its 95 % interval above zero (paired bootstrap that draws
    whole groups, Efron 1979); no other figure may fall by more than TOLERANCE. `unknown` is the AUROC of
    held-out categories before and after, where it could be measured.
    """
    first, second = before.means(), after.means()
    _, members = np.unique(before.groups, return_inverse=True)
    count = int(members.max()) + 1
    gains = np.bincount(members, after.average_precision - before.average_precision, count)
    sizes = np.bincount(members, minlength=count)
    drawn = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    resampled = gains[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = (float(bound) for bound in np.quantile(resampled, [0.025, 0.975]))
    if unknown:
        first["unknown_auroc"], second["unknown_auroc"] = unknown
    gain = second["map_at_r"] - first["map_at_r"]
    reason = _refusal(first, second, gain, low)
    return GateVerdict(
        passed=not reason,
        reason=reason
        or f"On held-out cases mAP@R rises by {100 * gain:.1f} points (95 % interval {100 * low:.1f} to"
        f" {100 * high:.1f}), and nothing else falls.",
        before={name: round(value, 4) for name, value in first.items()},
        after={name: round(value, 4) for name, value in second.items()},
        gain=round(gain, 4),
        low=round(low, 4),
        high=round(high, 4),
        queries=len(members),
        groups=count,
    )


def _refusal(before: dict[str, float], after: dict[str, float], gain: float, low: float) -> str:
    if gain < MARGIN:
        return (
            f"On held-out cases mAP@R goes from {100 * before['map_at_r']:.1f} to"
            f" {100 * after['map_at_r']:.1f} %: a gain of less than {100 * MARGIN:.1f} points."
        )
    if low <= 0:
        return (
            f"On held-out cases mAP@R rises by {100 * gain:.1f} points, but chance alone may explain that:"
            f" its 95 % interval begins at {100 * low:.1f}."
        )
    for name, title in (("top1", "top-1"), ("precision_at_5", "precision@5"), ("unknown_auroc", "AUROC")):
        if name in after and after[name] < before[name] - TOLERANCE:
            what = "of unknown faults" if name == "unknown_auroc" else "on held-out cases"
            return (
                f"mAP@R rises by {100 * gain:.1f} points, but {title} {what} falls from"
                f" {100 * before[name]:.1f} to {100 * after[name]:.1f} %."
            )
    return ""
