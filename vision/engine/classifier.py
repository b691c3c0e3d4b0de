"""The classifier: what the nearest confirmed images and a linear head say, joined, calibrated and bounded."""

from copy import copy
from dataclasses import dataclass

import numpy as np

from vision.engine.calibration import Fusion
from vision.engine.conformal import ConformalSets
from vision.engine.discriminant import Discriminant, moments_of, shrinkages_for
from vision.engine.folds import grouped_folds, groups_per_label
from vision.engine.index import ExactIndex, Metric, similarity_of_cosine
from vision.engine.measures import expected_calibration_error
from vision.engine.neighbours import leave_one_out_neighbours
from vision.engine.novelty import Novelty
from vision.engine.votes import NeighbourVotes

#: Below this many images nothing is learned: the neighbours vote with the defaults.
_ENOUGH_TO_FIT = 20
#: A small library can't spare a fifth of itself for a fold, a large one can't spend the time on ten.
_FEW_IMAGES, _FOLDS_OF_FEW, _FOLDS_OF_MANY = 300, 10, 5


@dataclass(frozen=True)
class Prediction:
    """What may be said of m pictures about C categories, in the order of the classifier's `classes_`."""

    probabilities: np.ndarray  # (m, C) float64, calibrated, rows sum to 1
    typicality: np.ndarray  # (m, C) float64, p-values of the categories
    sets: np.ndarray  # (m, C) bool, the categories that the chosen coverage can't exclude
    novelty_p: np.ndarray  # (m,) float64, p-value that it is one of the known categories
    novelty_score: np.ndarray  # (m,) float64, higher for more unknown


def join_views(views: Prediction, coverage: float) -> Prediction:
    """One prediction (1 row) for one thing from those of its m views.

    The views are judged first and joined then: the mean of their vectors lies nearer to everything known than
    any of them, so it hides what is new. Probabilities, p-values of the categories and novelty scores are
    averaged, and the p-value of the novelty geometrically, as the scores are logarithms.
    """
    typicality = views.typicality.mean(axis=0, keepdims=True)
    novelty_p = np.exp(np.log(np.maximum(views.novelty_p, 1e-300)).mean(keepdims=True))
    return Prediction(
        views.probabilities.mean(axis=0, keepdims=True),
        typicality,
        typicality > 1 - coverage,
        novelty_p,
        views.novelty_score.mean(keepdims=True),
    )


@dataclass(frozen=True)
class HeldOut:
    """What cross-validation by group said of m images of the library that it could judge."""

    rows: np.ndarray  # (m,) int64, positions in what was fitted
    truth: np.ndarray  # (m,) int64, positions of their categories in `fitted_`
    probabilities: np.ndarray  # (m, C) float64

    def measures(self, groups: np.ndarray, coverage: float) -> dict[str, float]:
        """top1, macro_f1, ece, coverage and set_size, all but the last 0 to 1.

        For the last three the sets are learned on one half of the groups and measured on the other, in turn.
        """
        from sklearn.metrics import f1_score

        if not len(self.rows):
            return {}
        best = self.probabilities.argmax(axis=1)
        figures = {
            "top1": float((best == self.truth).mean()),
            "macro_f1": float(f1_score(self.truth, best, average="macro")),
            "ece": expected_calibration_error(self.probabilities, self.truth),
        }
        half = grouped_folds(self.truth, groups[self.rows], 2)
        held = np.zeros(self.probabilities.shape, bool)
        for side in (0, 1):
            learn, test = half != side, half == side
            sets = ConformalSets().fit(self.probabilities[learn], self.truth[learn])
            values = sets.typicality(self.probabilities[test], np.arange(held.shape[1]), coverage)
            held[test] = values > 1 - coverage
        figures["coverage"] = float(held[np.arange(len(best)), self.truth].mean())
        figures["set_size"] = float(held.sum(axis=1).mean())
        return figures


class FaultClassifier:
    """Votes of the k nearest images and a shrunk linear discriminant, each in the share that proved best.

    `metric` is that of the index which neighbours come from, `coverage` the share of pictures whose true
    category the sets must hold, for each category.

    Learned, all by cross-validation in which equal groups never meet: `votes_` (temperature and balance),
    `shrinkage_` and `head_` (None when the library is too small), `fusion_` (the share of each and the
    temperature), `sets_`, `novelty_`. `classes_` (C,) ascend, `counts_` (C,) are their images; `fitted_` are
    the categories that cross-validation could judge, and `held_out_` what it said (not kept by `learned`).
    """

    def __init__(self, metric: Metric = "cosine", coverage: float = 0.95, k: int = 15):
        if not 0 < coverage < 1:
            raise ValueError(f"A coverage lies between 0 and 1, not at {coverage}.")
        self.metric = metric
        self.coverage = coverage
        self.k = k

    def fit(
        self,
        vectors: np.ndarray,
        labels: np.ndarray,
        groups: np.ndarray | None = None,
        *,
        judges: np.ndarray | None = None,
        warm_start: "FaultClassifier | None" = None,
    ) -> "FaultClassifier":
        """Learn from a library of (n, d) unit vectors with (n,) labels.

        Equal `groups` (n,), such as a case with its near-duplicates, are always on the same side of a fold.
        `judges` (n,) bool are the images that may say how good an answer is, all by default: in a space that
        was itself fitted to labels, only those that it was not fitted to, since the others look too easy.
        `warm_start` is a classifier of nearly the same library: only strengths near its own are tried.
        Raises ValueError for arrays that do not fit together and for NaN or infinity.
        """
        vectors, labels = np.ascontiguousarray(vectors, np.float32), np.asarray(labels)
        groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
        if vectors.ndim != 2 or not len(vectors) == len(labels) == len(groups):
            raise ValueError(
                f"Vectors of shape {vectors.shape} do not fit {len(labels)} labels and {len(groups)} groups."
            )
        if not np.isfinite(vectors).all():
            raise ValueError("A vector holds NaN or infinity.")
        self.classes_, self.counts_ = np.unique(labels, return_counts=True)
        self.votes_, self.fusion_ = NeighbourVotes(), Fusion()
        self.head_, self.shrinkage_ = None, None
        self.sets_, self.novelty_ = ConformalSets(), Novelty(self.metric)
        # An image that is alone in its category can't be known while it is held out: it counts as new.
        rows = np.flatnonzero(groups_per_label(labels, groups) > 1)
        if len(rows) < _ENOUGH_TO_FIT:
            rows = rows[:0]
        self.fitted_, truth = np.unique(labels[rows], return_inverse=True)
        none = np.zeros(0, np.int64)
        self.held_out_ = HeldOut(none, none, np.zeros((0, len(self.fitted_))))
        if len(rows):
            judging = np.arange(len(rows)) if judges is None else np.flatnonzero(np.asarray(judges)[rows])
            if len(judging) < _ENOUGH_TO_FIT:
                judging = np.arange(len(rows))
            probabilities = self._fit(vectors[rows], truth, groups[rows], judging, warm_start)
            self.held_out_ = HeldOut(rows[judging], truth[judging], probabilities)
        return self

    def predict(
        self, queries: np.ndarray, similarities: np.ndarray, neighbour_labels: np.ndarray
    ) -> Prediction:
        """Judge (m, d) unit vectors by their (m, k) nearest images of this moment, nearest first.

        Places without a neighbour hold -inf; their labels are ignored. A category that came after the fit is
        judged by the nearest images alone. Raises ValueError for a label that neither `fit` nor `with_counts`
        named.
        """
        if not hasattr(self, "classes_"):
            raise ValueError("The classifier knows no library yet. Call fit first.")
        similarities = np.atleast_2d(np.asarray(similarities, np.float64))[:, : self.k]
        labels = np.atleast_2d(np.asarray(neighbour_labels))[:, : self.k]
        present = np.isfinite(similarities)
        if not np.isin(labels[present], self.classes_).all():
            raise ValueError("A neighbour has a label that the classifier does not know. Fit it again.")
        positions = np.where(present, np.searchsorted(self.classes_, labels), -1)
        shares = self.votes_.shares(similarities, positions, self.counts_)
        fitted = self._fitted_positions()
        probabilities = self._join(queries, shares, fitted)
        if (fitted < 0).any() and (fitted >= 0).any():
            probabilities = self._admit_new(probabilities, similarities, positions, fitted)
        nearness = self.novelty_.nearness(similarities, positions, fitted)
        typicality = self.sets_.typicality(probabilities, fitted, self.coverage, nearness)
        first = positions[:, 0] if positions.shape[1] else np.full(len(positions), -1)
        nearest = similarities[:, 0] if similarities.shape[1] else np.full(len(positions), -np.inf)
        nearest_fitted = np.where(first >= 0, np.append(fitted, -1)[first], -1)
        angles = self.head_.angles(queries) if self.head_ else None
        score, p_value = self.novelty_.score(nearest, nearest_fitted, angles)
        return Prediction(probabilities, typicality, typicality > 1 - self.coverage, p_value, score)

    def with_counts(self, classes: np.ndarray, counts: np.ndarray) -> "FaultClassifier":
        """A copy that knows the (C,) labels and their (C,) numbers of images of this moment.

        So a new category counts at once, while what `fit` learned stays. `classes` ascend.
        """
        current = copy(self)
        current.classes_, current.counts_ = np.asarray(classes), np.asarray(counts)
        return current

    def learned(self) -> tuple[dict, dict[str, np.ndarray]]:
        """What `fit` found as plain numbers, and its arrays by name; `restore` takes both back."""
        misfits = self.sets_.misfits_
        numbers = {
            "k": self.k,
            "temperature": self.votes_.temperature,
            "balance": self.votes_.balance,
            "shrinkage": self.shrinkage_,
            "fusion": {
                "head": self.fusion_.head,
                "votes": self.fusion_.votes,
                "counts": self.fusion_.counts,
            },
            "novelty": self.novelty_.numbers(),
            "misfits": [len(own) for own in misfits],
        }
        arrays = {"classes": np.asarray(self.fitted_)}
        if misfits:
            arrays["misfits"] = np.concatenate(misfits)
        if self.head_ is not None:
            arrays |= {
                "weights": self.head_.weights.astype(np.float32),
                "biases": self.head_.biases.astype(np.float32),
                "centre": self.head_.centre.astype(np.float32),
                "lengths": self.head_.lengths.astype(np.float32),
                # Half the size; an angle changes in the fourth digit at most.
                "whitening": self.head_.whitening.astype(np.float16),
            }
        return numbers, arrays

    @classmethod
    def restore(
        cls, numbers: dict, arrays: dict[str, np.ndarray], metric: Metric = "cosine", coverage: float = 0.95
    ) -> "FaultClassifier":
        """A classifier as it was fitted; give it the library's counts of the moment by `with_counts`."""
        classifier = cls(metric, coverage, numbers["k"])
        classifier.fitted_ = classifier.classes_ = arrays["classes"]
        classifier.counts_ = np.ones(len(classifier.classes_), np.int64)
        classifier.votes_ = NeighbourVotes(numbers["temperature"], numbers["balance"])
        classifier.shrinkage_, classifier.fusion_ = numbers["shrinkage"], Fusion(**numbers["fusion"])
        classifier.novelty_ = Novelty.restore(numbers["novelty"], metric)
        ends = np.cumsum(numbers["misfits"])[:-1]
        misfits = np.split(arrays["misfits"], ends) if numbers["misfits"] else []
        classifier.sets_, classifier.head_ = ConformalSets(misfits), None
        if "weights" in arrays:
            classifier.head_ = Discriminant(
                arrays["weights"].astype(np.float64),
                arrays["biases"].astype(np.float64),
                arrays["centre"].astype(np.float64),
                arrays["lengths"].astype(np.float64),
                arrays["whitening"].astype(np.float32),
            )
        return classifier

    def _fit(self, vectors, truth, groups, judging, warm_start) -> np.ndarray:
        """Learn from images whose categories all have another group, at (n,) `truth` of `fitted_`.

        Returns the held-out probabilities (j, C) of those at the positions `judging` (j,).
        """
        counts = np.bincount(truth)
        similarities, neighbours, _ = leave_one_out_neighbours(vectors, self.k, groups=groups)
        similarities = np.where(neighbours >= 0, similarity_of_cosine(similarities, self.metric), -np.inf)
        positions = np.where(neighbours >= 0, truth[neighbours], -1)
        similarities, positions, judged = similarities[judging], positions[judging], truth[judging]
        probabilities, angles = np.ones((len(judged), 1)), None
        if len(counts) > 1:
            self.votes_.fit(similarities, positions, judged, counts)
            shares = self.votes_.shares(similarities, positions, counts)
            scores, angles = self._fit_head(vectors, truth, groups, judging, shares, counts, warm_start)
            self.fusion_ = Fusion.fit(scores, shares, counts, judged)
            probabilities = self.fusion_.probabilities(scores, shares, counts)
        self.sets_.fit(probabilities, judged)
        self.novelty_.fit(similarities[:, 0], positions[:, 0], judged, angles, len(counts))
        return probabilities

    def _fit_head(
        self, vectors, truth, groups, judging, shares, counts, warm_start
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit the head with the strength that serves those at `judging` (j,) best with their votes (j, C).

        Returns their held-out scores (j, C) and angles (j,), the latter NaN where a fold lacked the category.
        """
        from threadpoolctl import threadpool_limits

        categories = len(counts)
        folds = _FOLDS_OF_FEW if len(truth) <= _FEW_IMAGES else _FOLDS_OF_MANY
        fold = grouped_folds(truth, groups, folds)
        # Matrices this small lose more to threads that wait for a busy core than they gain from them.
        with threadpool_limits(1):
            parts = [moments_of(vectors[fold == f], truth[fold == f], categories) for f in range(folds)]
            whole = sum(parts[1:], parts[0])
            judged = truth[judging]
            weights = 1 / counts[judged]
            best, scores = np.inf, None
            strengths = shrinkages_for(*vectors.shape)
            for strength in _near(strengths, warm_start.shrinkage_ if warm_start else None):
                trial = np.zeros((len(truth), categories))
                for f in range(folds):
                    held = fold == f
                    trial[held] = Discriminant.fit(whole - parts[f], strength, whiten=False).scores(
                        vectors[held]
                    )
                trial = trial[judging]
                fusion = Fusion.fit(trial, shares, counts, judged)
                wrong = fusion.probabilities(trial, shares, counts) - (
                    judged[:, None] == np.arange(categories)
                )
                loss = np.average((wrong**2).sum(axis=1), weights=weights)
                if loss < best:
                    best, scores, self.shrinkage_ = loss, trial, strength
            angles = np.zeros(len(truth))
            for f in range(folds):
                held = fold == f
                angles[held] = Discriminant.fit(whole - parts[f], self.shrinkage_).angles(vectors[held])
            self.head_ = Discriminant.fit(whole, self.shrinkage_)
        angles = angles[judging]
        angles[np.isneginf(scores[np.arange(len(judged)), judged])] = np.nan
        return scores, angles

    def _fitted_positions(self) -> np.ndarray:
        """Where each of `classes_` stands among what was fitted, (C,), -1 for what came later."""
        if not len(self.fitted_):
            return np.full(len(self.classes_), -1)
        places = np.searchsorted(self.fitted_, self.classes_).clip(max=len(self.fitted_) - 1)
        return np.where(self.fitted_[places] == self.classes_, places, -1)

    def _join(self, queries: np.ndarray, shares: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """Probabilities (m, C) from head and votes; those of fitted categories sum to 1, the rest are 0.

        Where nothing was fitted yet, the votes of all categories are.
        """
        known = np.flatnonzero(fitted >= 0)
        if not len(known):
            return shares
        part = shares[:, known] / shares[:, known].sum(axis=1, keepdims=True)
        if self.head_ is not None:
            scores = self.head_.scores(queries)[:, fitted[known]]
            part = self.fusion_.probabilities(scores, part, self.counts_[known])
        probabilities = np.zeros(shares.shape)
        probabilities[:, known] = part
        return probabilities

    def _admit_new(self, probabilities, similarities, positions, fitted) -> np.ndarray:
        """Give categories that came after the fit what the nearest images say, and the others the rest.

        By votes that look at the very nearest and at no numbers: two images against hundreds must be heard,
        but only where they are nearer.
        """
        temperature = self.votes_.temperature
        if self.novelty_.usual_of_all_:
            temperature = min(temperature, self.novelty_.usual_of_all_ / 2)
        shares = NeighbourVotes(temperature, balance=1.0).shares(similarities, positions, self.counts_)
        new = fitted < 0
        return np.where(new, shares, probabilities * shares[:, ~new].sum(axis=1, keepdims=True))


def classify_with(
    classifier: FaultClassifier, vectors: np.ndarray, labels: np.ndarray, queries: np.ndarray
) -> Prediction:
    """Judge (m, d) queries by a library of (n, d) vectors with (n,) labels, searched as in the product."""
    labels = np.asarray(labels)
    index = ExactIndex(np.shape(vectors)[1], metric=classifier.metric)
    index.add(np.arange(len(labels)), vectors)
    similarities, found = index.search(queries, classifier.k)
    if not len(labels):
        return classifier.predict(queries, similarities, np.zeros(found.shape, np.int64))
    return classifier.predict(queries, similarities, labels[found])


def _near(strengths: tuple[float, ...], chosen: float | None) -> tuple[float, ...]:
    """The strength that was chosen before and its neighbours; all when it is not among them."""
    if chosen not in strengths:
        return strengths
    place = strengths.index(chosen)
    return strengths[max(place - 1, 0) : place + 2]
