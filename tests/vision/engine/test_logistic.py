"""Regression and its blend with votes: each where it is better, and never a surprise for a new category."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vision.engine.index import ExactIndex
from vision.engine.logistic import BlendedClassifier, LogisticClassifier, _even_sample


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def slanted(count, seed=0):
    """Two categories that differ by one faint direction among 30 loud ones: made for regression."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    vectors = rng.normal(size=(count, 30))
    vectors[:, 0] = 0.3 * (2 * labels - 1) + 0.05 * rng.normal(size=count)
    return unit(vectors), labels + 5


def scattered(count, seed=0):
    """Two categories in many small clusters each, laid out at random: made for neighbours."""
    centres = unit(np.random.default_rng(1).normal(size=(24, 6)))
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 24, count)
    return unit(centres[place] + 0.02 * rng.normal(size=(count, 6))), place % 2 + 5


def neighbours(vectors, labels, queries, k=15):
    index = ExactIndex(vectors.shape[1])
    index.add(np.arange(len(vectors)), vectors)
    similarities, ids = index.search(queries, k)
    return similarities, np.where(ids >= 0, labels[ids], -1)


@pytest.mark.parametrize("categories", [2, 4])
def test_regression_agrees_with_scikit_learn(categories):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, categories, 200)
    vectors = unit(np.eye(8)[labels] + rng.normal(size=(200, 8)))
    reference = make_pipeline(
        StandardScaler(), LogisticRegression(C=1.0, max_iter=300, class_weight="balanced")
    ).fit(vectors, labels)
    ours = LogisticClassifier().fit(vectors, labels)
    np.testing.assert_allclose(ours.predict_proba(vectors), reference.predict_proba(vectors), atol=1e-4)


def test_a_direction_without_spread_does_not_blow_up():
    vectors, labels = slanted(100)
    vectors[:, 3] = 0.1
    model = LogisticClassifier().fit(vectors, labels)
    moved = vectors.copy()
    moved[:, 3] += 0.01
    np.testing.assert_allclose(model.predict_proba(moved), model.predict_proba(vectors), atol=0.05)


def test_the_better_method_gets_the_share():
    vectors, labels = slanted(300)
    blend = BlendedClassifier().fit(vectors, labels)
    assert blend.share_ == 0.5
    fresh, truth = slanted(300, seed=1)
    found = neighbours(vectors, labels, fresh)
    assert log_loss(truth, blend.predict_proba(fresh, *found)) < log_loss(
        truth, blend.votes_.predict_proba(*found)
    )
    vectors, labels = scattered(400)
    blend = BlendedClassifier().fit(vectors, labels)
    assert blend.share_ == 0
    assert blend.logistic_ is None
    assert blend.log_losses_[0.0] < blend.log_losses_[0.5]


def test_probabilities_sum_to_one():
    vectors, labels = slanted(200)
    blend = BlendedClassifier().fit(vectors, labels)
    fresh, _ = slanted(20, seed=2)
    chances = blend.predict_proba(fresh, *neighbours(vectors, labels, fresh))
    assert chances.shape == (20, 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1)


def test_a_new_category_is_judged_by_votes_until_the_next_fit():
    vectors, labels = slanted(200)
    blend = BlendedClassifier().fit(vectors, labels)
    assert blend.logistic_ is not None
    current = blend.with_counts(np.array([5, 6, 9]), np.array([100, 100, 1]))
    query = vectors[:1]
    chances = current.predict_proba(query, [[0.99, 0.2]], [[9, 5]])
    assert chances.shape == (1, 3)
    assert chances.argmax() == 2
    np.testing.assert_allclose(chances, current.votes_.predict_proba([[0.99, 0.2]], [[9, 5]]))
    assert blend.classes_.tolist() == [5, 6]


def test_groups_stay_on_one_side_of_every_fold():
    rng = np.random.default_rng(0)
    singles = unit(rng.normal(size=(60, 10)))
    labels, groups = np.arange(60) % 2, np.arange(60)
    vectors = unit(np.repeat(singles, 3, axis=0) + 1e-3 * rng.normal(size=(180, 10)))
    labels, groups = labels.repeat(3), groups.repeat(3)
    leaked = BlendedClassifier().fit(vectors, labels)
    honest = BlendedClassifier().fit(vectors, labels, groups)
    assert leaked.log_losses_[0.5] < 0.3  # copies give the answer away
    assert honest.log_losses_[0.5] > 0.6  # nothing to learn from noise


@pytest.mark.parametrize("counts", [[], [1], [30], [29, 1], [2, 2]])
def test_libraries_too_small_to_compare_use_votes(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    vectors = (
        unit(np.random.default_rng(0).normal(size=(len(labels), 6))) if len(labels) else np.zeros((0, 6))
    )
    blend = BlendedClassifier().fit(vectors, labels)
    assert (blend.share_, blend.logistic_) == (0, None)


def test_the_sample_is_even_and_repeats():
    labels = np.repeat([1, 2, 3], [1000, 50, 5])
    chosen = _even_sample(labels, 100)
    assert np.bincount(labels[chosen]).tolist() == [0, 48, 47, 5]
    assert (chosen == _even_sample(labels, 100)).all()
    assert _even_sample(labels[:20], 100).tolist() == list(range(20))
