"""The classifier of the running product, trained on one side and asked about the other."""

from dataclasses import dataclass

import numpy as np
from django.conf import settings

from vision.engine.index import ExactIndex
from vision.engine.logistic import BlendedClassifier
from vision.engine.neighbours import leave_one_out_neighbours

_LEVEL = 0.95


@dataclass(frozen=True)
class Prediction:
    """`probabilities` (m, C) and conformal `sets` (m, C) bool in the order of the classes; `novelty_p` (m,)
    is the p-value of being known, and `novelty_score` (m,) grows with strangeness."""

    probabilities: np.ndarray
    sets: np.ndarray
    novelty_p: np.ndarray
    novelty_score: np.ndarray


def product_predict(
    vectors: np.ndarray, labels: np.ndarray, together: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, Prediction]:
    """Classes (C,) and predictions for (m, d) queries, after training on (n, d) vectors with (n,) labels."""
    classifier = BlendedClassifier(metric=settings.METRIC).fit(vectors, labels, together)
    index = ExactIndex(vectors.shape[1], metric=settings.METRIC)
    index.add(np.arange(len(vectors)), vectors)
    similarities, found = index.search(queries, min(classifier.k, len(vectors)))
    probabilities = classifier.predict_proba(queries, similarities, labels[found])
    novelty = -similarities[:, 0]
    own = np.sort(-leave_one_out_neighbours(vectors, 1, groups=together)[0][:, 0])
    p_values = (1 + len(own) - np.searchsorted(own, novelty)) / (1 + len(own))
    return classifier.classes_, Prediction(probabilities, _likely_sets(probabilities), p_values, novelty)


def _likely_sets(probabilities: np.ndarray) -> np.ndarray:
    """The most probable categories that reach the level together."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sorted_sets = np.take_along_axis(probabilities, order, 1).cumsum(axis=1)
    before = np.pad(sorted_sets, ((0, 0), (1, 0)))[:, :-1] < _LEVEL
    sets = np.zeros_like(before)
    np.put_along_axis(sets, order, before, axis=1)
    return sets
