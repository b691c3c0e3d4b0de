"""An embedding tuned to the labels of one library: a projection in closed form, in seconds.

Two blocks side by side. The first is the within-class whitening of relevant component analysis (Bar-Hillel et
al. 2005; in speaker recognition WCCN, Hatch et al. 2006): directions in which pictures of one category differ
count little, all others much. It keeps every direction, so what the labels never spoke of (a fault of a new
kind) stays where it is far from everything. The second is the linear discriminant (Fisher 1936, Rao 1948) in
that space, which brings like to like. The covariance is shrunk towards a multiple of the identity (Ledoit and
Wolf 2004); how much, and how much the second block weighs, is chosen by cross-validation on images that the
projection was not fitted to.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vision.engine.retrieval import leave_one_out

SHRINKAGES = (0.03, 0.1, 0.3, 0.6, 0.9)
WEIGHTS = (0.3, 0.5, 0.7, 0.9)
#: What serves where there is too little for cross-validation.
_SHRINKAGE, _WEIGHT = 0.3, 0.5
_FOLDS = 3
#: Categories that a fold leaves out in turn, to see how well a fault of a new kind is told.
_UNKNOWNS = 2
#: Images of a fold that ask, and images that they are compared with: bounds time and memory.
_QUERIES, _GALLERY = 1_000, 4_000
#: Images from which a category takes part in the discriminant; the mean of fewer is mostly chance.
_SPEAKERS = 3


class AdaptationError(ValueError):
    """Why nothing can be learned from these vectors, as a sentence."""


@dataclass(frozen=True)
class _Axes:
    """What is computed once for all strengths: `centre` (d,), `eigenvectors` (d, d), `eigenvalues` (d,)."""

    centre: np.ndarray
    eigenvectors: np.ndarray
    eigenvalues: np.ndarray
    means: np.ndarray  # (categories, d) in the eigenbasis, of the categories that speak

    def scales(self, shrinkage: float) -> np.ndarray:
        """Factors (d,) that whiten coordinates of the eigenbasis."""
        average = max(float(self.eigenvalues.mean()), 1e-12)
        return 1 / np.sqrt((1 - shrinkage) * np.maximum(self.eigenvalues, 0) + shrinkage * average)

    def directions(self, scales: np.ndarray) -> np.ndarray:
        """The discriminant: (d, categories - 1), orthonormal, in the whitened eigenbasis."""
        whitened = self.means * scales
        _, _, rows = np.linalg.svd(whitened - whitened.mean(0), full_matrices=False)
        return rows[: len(whitened) - 1].T

    def coordinates(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self.centre) @ self.eigenvectors


class Adaptation:
    """A projection learned from labelled vectors of any dimension.

    After `fit`: `shrinkage_` and `weight_` (of the discriminant block, 0 to 1) and `measures_`, all from
    cross-validation, empty when there was too little for it: map_at_r and unknown_auroc (held-out categories
    against known ones by the similarity to the nearest known image), with the suffix _before for the vectors
    as they came.
    """

    def fit(
        self,
        vectors: np.ndarray,
        labels: np.ndarray,
        groups: np.ndarray | None = None,
        watch: Callable[[int, int], None] | None = None,
    ) -> Adaptation:
        """Learn from (n, d) float32 unit vectors with (n,) labels; images of one group stay in one fold.

        `watch(done, total)` is told of every step. Raises AdaptationError when there are fewer than two
        categories or no two different vectors.
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        _, labels = np.unique(labels, return_inverse=True)
        groups = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
        if len(np.unique(labels)) < 2:
            raise AdaptationError("An adaptation needs pictures of at least two categories.")
        if not np.isfinite(vectors).all() or np.ptp(vectors, axis=0).max() < 1e-6:
            raise AdaptationError("All pictures look the same to the network: there is nothing to learn.")
        self._choose(vectors, labels, groups, watch or (lambda done, total: None))
        axes = _axes(vectors, labels)
        scales = axes.scales(self.shrinkage_)
        self._centre = axes.centre.astype(np.float32)
        self._whitening = (axes.eigenvectors * scales).astype(np.float32)
        self._directions = axes.directions(scales).astype(np.float32)
        return self

    @property
    def dimension(self) -> int:
        """Numbers in a projected vector."""
        return sum(self._directions.shape)

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        """(n, d) vectors to float32 (n, dimension), rows of unit length."""
        whitened = (np.asarray(vectors, np.float32) - self._centre) @ self._whitening
        joined = _join(whitened, self._directions, self.weight_)
        # The centre itself has no direction; any will do, as long as it is always the same one.
        joined[np.linalg.norm(joined, axis=1) < 0.5, 0] = 1
        return _unit(joined)

    def learned(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Plain numbers for JSON, and float32 arrays for safetensors; `restore` takes both."""
        parameters = {"shrinkage": self.shrinkage_, "weight": self.weight_, "measures": self.measures_}
        arrays = {"centre": self._centre, "whitening": self._whitening, "directions": self._directions}
        return parameters, arrays

    @classmethod
    def restore(cls, parameters: dict, arrays: dict[str, np.ndarray]) -> Adaptation:
        """The opposite of `learned`."""
        made = cls()
        made.shrinkage_, made.weight_ = parameters["shrinkage"], parameters["weight"]
        made.measures_ = parameters["measures"]
        made._centre, made._whitening = arrays["centre"], arrays["whitening"]
        made._directions = arrays["directions"]
        return made

    def _choose(self, vectors, labels, groups, watch):
        self.shrinkage_, self.weight_, self.measures_ = _SHRINKAGE, _WEIGHT, {}
        folds = list(_folds(labels, groups))
        retrieval, unknown, before = [], [], []
        for number, (train, test) in enumerate(folds):
            watch(2 * number, 2 * len(folds))
            grid, plain = _retrieval_grid(vectors, labels, groups, train, test)
            watch(2 * number + 1, 2 * len(folds))
            auroc, auroc_plain = _unknown_grid(vectors, labels, train, test, skip=number * _UNKNOWNS)
            retrieval.append(grid)
            unknown.append(auroc)
            before.append((plain, auroc_plain))
        if not folds:
            return
        watch(2 * len(folds), 2 * len(folds))
        retrieval, unknown = _mean(retrieval), _mean(unknown)
        # Both from 0 to 1 and of equal worth; where no category can be left out, retrieval decides alone.
        score = retrieval + np.nan_to_num(unknown)
        row, column = np.unravel_index(np.argmax(np.nan_to_num(score)), score.shape)
        self.shrinkage_, self.weight_ = SHRINKAGES[row], WEIGHTS[column]
        plain, auroc_plain = _mean(before)
        self.measures_ = {
            name: round(float(value), 4)
            for name, value in {
                "map_at_r_before": plain,
                "map_at_r": retrieval[row, column],
                "unknown_auroc_before": auroc_plain,
                "unknown_auroc": unknown[row, column],
            }.items()
            if np.isfinite(value)
        }


def _mean(folds: list) -> np.ndarray:
    """Over folds, of those that had an answer; nan where none had."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(np.array(folds, np.float64), axis=0)


def _axes(vectors: np.ndarray, labels: np.ndarray) -> _Axes:
    """Axes of the pooled covariance within categories, in float64."""
    categories, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
    vectors = vectors.astype(np.float64)
    sums = np.zeros((len(categories), vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    means = sums / counts[:, None]
    deviations = vectors - means[labels]
    eigenvalues, eigenvectors = np.linalg.eigh(deviations.T @ deviations / len(vectors))
    # The mean of the means: with one category at 95 % the mean of all would lie in the middle of that one.
    centre = means.mean(0)
    speak = counts >= _SPEAKERS if (counts >= _SPEAKERS).sum() >= 2 else counts > 0
    return _Axes(centre, eigenvectors, eigenvalues, (means[speak] - centre) @ eigenvectors)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _join(whitened: np.ndarray, directions: np.ndarray, weight: float) -> np.ndarray:
    """Both blocks of unit length side by side, so that a cosine is the weighted mean of theirs."""
    return np.hstack(
        [np.sqrt(1 - weight) * _unit(whitened), np.sqrt(weight) * _unit(whitened @ directions)]
    ).astype(np.float32)


def _folds(labels: np.ndarray, groups: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Train and test positions; folds that leave nothing to learn or to ask are left out."""
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(_FOLDS, len(np.unique(groups)), np.bincount(labels).max())
    if count < 2:
        return
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # Categories with fewer images than folds are welcome here.
        warnings.simplefilter("ignore", UserWarning)
        parts = list(splitter.split(labels, labels, groups))
    for train, test in parts:
        if len(np.unique(labels[train])) >= 2 and len(test) >= 2:
            yield train, _some(test, _QUERIES)


def _some(positions: np.ndarray, limit: int) -> np.ndarray:
    if len(positions) <= limit:
        return positions
    return np.sort(np.random.default_rng(0).choice(positions, limit, replace=False))


def _retrieval_grid(vectors, labels, groups, train, test) -> tuple[np.ndarray, float]:
    """mAP@R inside the test images by strength and weight, and that of the vectors as they came."""

    def measured(rows: np.ndarray) -> float:
        try:
            return leave_one_out(rows, labels[test], groups=groups[test]).map_at_r
        except ValueError:  # nothing to find
            return np.nan

    axes = _axes(vectors[train], labels[train])
    coordinates = axes.coordinates(vectors[test])
    grid = np.empty((len(SHRINKAGES), len(WEIGHTS)))
    for row, shrinkage in enumerate(SHRINKAGES):
        scales = axes.scales(shrinkage)
        directions = axes.directions(scales)
        grid[row] = [measured(_join(coordinates * scales, directions, weight)) for weight in WEIGHTS]
    return grid, measured(vectors[test])


def _unknown_grid(vectors, labels, train, test, skip: int) -> tuple[np.ndarray, float]:
    """AUROC of categories that the labels do not have, by strength and weight, and as the vectors came."""
    from sklearn.metrics import roc_auc_score

    categories, counts = np.unique(labels[test], return_counts=True)
    order = categories[np.argsort(-counts, kind="stable")]
    grids, plain = [], []
    for unknown in np.roll(order, -skip)[:_UNKNOWNS]:
        known = train[labels[train] != unknown]
        truth = labels[test] != unknown
        if len(np.unique(labels[known])) < 2 or truth.all() or not truth.any():
            continue
        gallery = _some(known, _GALLERY)
        axes = _axes(vectors[known], labels[known])
        asked, there = axes.coordinates(vectors[test]), axes.coordinates(vectors[gallery])
        grid = np.empty((len(SHRINKAGES), len(WEIGHTS)))
        for row, shrinkage in enumerate(SHRINKAGES):
            scales = axes.scales(shrinkage)
            directions = axes.directions(scales)
            whitened = _cosines(asked * scales, there * scales)
            discriminant = _cosines(asked * scales @ directions, there * scales @ directions)
            for column, weight in enumerate(WEIGHTS):
                nearest = (weight * discriminant + (1 - weight) * whitened).max(axis=1)
                grid[row, column] = roc_auc_score(truth, nearest)
        grids.append(grid)
        plain.append(roc_auc_score(truth, _cosines(vectors[test], vectors[gallery]).max(axis=1)))
    if not grids:
        return np.full((len(SHRINKAGES), len(WEIGHTS)), np.nan), np.nan
    return np.mean(grids, axis=0), float(np.mean(plain))


def _cosines(asked: np.ndarray, there: np.ndarray) -> np.ndarray:
    return _unit(asked).astype(np.float32) @ _unit(there).astype(np.float32).T
