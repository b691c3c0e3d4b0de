"""Logistic regression over a library of embeddings, and its blend with the votes of neighbours.

Which of the two is better depends on the library: regression where categories differ by a direction in the
space, votes where they are scattered in clusters. So the share of each is measured, not assumed.
"""

from copy import copy

import numpy as np

from vision.engine.classifier import NeighbourClassifier
from vision.engine.index import Metric, similarity_of_cosine
from vision.engine.neighbours import leave_one_out_neighbours

#: Shares of the regression that are tried. The votes keep half at least, so that a correction shows at once.
SHARES = (0.0, 0.5)
_FOLDS = 4


class LogisticClassifier:
    """Multinomial logistic regression on standardised vectors, categories weighing the same.

    Learned: `classes_` (C,), `coefficients_` (d, C) and `intercepts_` (C,), which include the
    standardisation, so that answering needs numpy only.
    """

    def __init__(self, strength: float = 1.0, max_iterations: int = 300):
        self.strength = strength
        self.max_iterations = max_iterations

    def fit(self, vectors: np.ndarray, labels: np.ndarray) -> "LogisticClassifier":
        """Learn from (n, d) vectors with (n,) labels of at least two categories."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        vectors = np.asarray(vectors, np.float64)
        mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
        # A direction in which the library hardly varies says nothing, and must not blow up a new picture.
        deviation = np.maximum(deviation, 0.01 * deviation.max(initial=1e-12) + 1e-12)
        model = LogisticRegression(C=self.strength, max_iter=self.max_iterations, class_weight="balanced")
        # Matrices this small lose more to threads that wait for a busy core than they gain from them.
        with threadpool_limits(1):
            model.fit((vectors - mean) / deviation, labels)
        coefficients, intercepts = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # scikit-learn keeps one row for two categories
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        self.classes_ = model.classes_
        self.coefficients_ = coefficients.T / deviation[:, None]
        self.intercepts_ = intercepts - mean @ self.coefficients_
        return self

    def predict_proba(self, vectors: np.ndarray) -> np.ndarray:
        """Probabilities (m, C) of (m, d) vectors, in the order of `classes_`."""
        scores = np.asarray(vectors, np.float64) @ self.coefficients_ + self.intercepts_
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        return chances / chances.sum(axis=1, keepdims=True)


class BlendedClassifier:
    """Votes of neighbours and logistic regression, in the share that cross-validation finds best.

    Learned: `votes_`, `logistic_` (None when it has no share), `share_` of the regression (one of SHARES) and
    `log_losses_`, the loss averaged over categories for each share tried.
    """

    def __init__(self, k: int = 15, max_images: int = 2000, metric: Metric = "cosine"):
        self.k = k
        self.max_images = max_images
        self.metric = metric

    def fit(
        self, vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None
    ) -> "BlendedClassifier":
        """Learn from a library of (n, d) unit vectors with (n,) labels; equal `groups` never meet.

        The regression sees at most `max_images`, as evenly over the categories as they allow.
        """
        vectors, labels = np.asarray(vectors, np.float32), np.asarray(labels)
        groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
        self.votes_ = NeighbourClassifier(self.k, metric=self.metric).fit(vectors, labels, groups)
        self.logistic_, self.share_, self.log_losses_ = None, 0.0, {}
        if self.votes_.log_loss_ is None:
            return self
        chosen = _even_sample(labels, self.max_images)
        measured = self._measure(vectors[chosen], labels[chosen], groups[chosen])
        if measured is None:
            return self
        self.log_losses_ = measured
        self.share_ = min(measured, key=lambda share: (round(measured[share], 4), share))
        if self.share_:
            self.logistic_ = LogisticClassifier().fit(vectors[chosen], labels[chosen])
        return self

    @property
    def classes_(self) -> np.ndarray:
        return self.votes_.classes_

    def learned(self) -> tuple[dict, dict[str, np.ndarray]]:
        """What `fit` picked as plain numbers, and its arrays by name; `restore` takes both back."""
        numbers = {
            **self.votes_.learned(),
            "share": self.share_,
            "log_losses": {str(share): round(loss, 5) for share, loss in self.log_losses_.items()},
        }
        if self.logistic_ is None:
            return numbers, {}
        return numbers, {
            "classes": np.asarray(self.logistic_.classes_),
            "coefficients": self.logistic_.coefficients_.astype(np.float32),
            "intercepts": self.logistic_.intercepts_.astype(np.float32),
        }

    @classmethod
    def restore(
        cls, numbers: dict, arrays: dict[str, np.ndarray], metric: Metric = "cosine"
    ) -> "BlendedClassifier":
        """A classifier as it was fitted; give it the library's counts of the moment by `with_counts`."""
        classifier = cls(numbers["k"], metric=metric)
        classifier.votes_ = NeighbourClassifier.restore(numbers, metric)
        classifier.share_, classifier.log_losses_ = numbers["share"], numbers["log_losses"]
        classifier.logistic_ = None
        if arrays:
            classifier.logistic_ = LogisticClassifier()
            classifier.logistic_.classes_ = arrays["classes"]
            classifier.logistic_.coefficients_ = arrays["coefficients"]
            classifier.logistic_.intercepts_ = arrays["intercepts"]
        return classifier

    def with_counts(self, classes: np.ndarray, counts: np.ndarray) -> "BlendedClassifier":
        """A copy whose votes know the (C,) labels and numbers of images of this moment."""
        current = copy(self)
        current.votes_ = self.votes_.with_counts(classes, counts)
        return current

    def predict_proba(self, queries: np.ndarray, similarities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Probabilities (m, C) from (m, d) unit vectors and their (m, k) neighbours, as in the votes.

        A category that the regression has not seen yet is judged by the votes alone.
        """
        votes = self.votes_.predict_proba(similarities, labels)
        if self.logistic_ is None:
            return votes
        known = np.isin(self.classes_, self.logistic_.classes_)
        if not known.all() or len(self.logistic_.classes_) != len(self.classes_):
            return votes
        return (1 - self.share_) * votes + self.share_ * self.logistic_.predict_proba(queries)

    def _measure(self, vectors, labels, groups) -> dict[float, float] | None:
        from sklearn.model_selection import StratifiedGroupKFold

        classes, truth = np.unique(labels, return_inverse=True)
        if len(np.unique(groups)) < _FOLDS or np.bincount(truth).min() < _FOLDS:
            return None
        similarities, positions, _ = leave_one_out_neighbours(vectors, self.k, groups=groups)
        similarities = np.where(positions >= 0, similarity_of_cosine(similarities, self.metric), -np.inf)
        neighbours = np.where(positions >= 0, labels[positions], labels[0])
        votes = self.votes_.with_counts(classes, np.bincount(truth)).predict_proba(similarities, neighbours)
        logistic = np.full_like(votes, np.nan)
        for train, test in StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0).split(
            vectors, labels, groups
        ):
            model = LogisticClassifier().fit(vectors[train], labels[train])
            if len(model.classes_) < len(classes):
                return None
            logistic[test] = model.predict_proba(vectors[test])
        weights = 1 / np.bincount(truth)[truth]
        rows = np.arange(len(truth))
        losses = {}
        for share in SHARES:
            chances = (1 - share) * votes[rows, truth] + share * logistic[rows, truth]
            losses[share] = float(np.average(-np.log(np.maximum(chances, 1e-6)), weights=weights))
        return losses


def _even_sample(labels: np.ndarray, size: int) -> np.ndarray:
    """Positions of at most `size` images, taken in turn from every category; the same on every call."""
    if len(labels) <= size:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(0).permutation(len(labels))
    _, category = np.unique(labels[shuffled], return_inverse=True)
    order = np.argsort(category, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(category))[:-1]])
    turn = np.empty(len(labels), np.int64)
    turn[order] = np.arange(len(labels)) - np.repeat(starts, np.bincount(category))
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:size]])
