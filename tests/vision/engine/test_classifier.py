"""Votes of neighbours: probabilities that mean something, and outcomes with an honest reason."""

import numpy as np
import pytest

from vision.engine.classifier import NeighbourClassifier, Outcome, Thresholds, decide
from vision.engine.index import ExactIndex

DIMENSION = 8


def library(counts, spread=0.15, seed=0):
    """Unit vectors around one direction for each category, with labels 10, 20, …"""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(len(counts), DIMENSION))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.repeat(10 * np.arange(1, len(counts) + 1), counts)
    vectors = centres[labels // 10 - 1] + spread * rng.normal(size=(len(labels), DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def neighbours(vectors, labels, queries, k=15, metric="cosine"):
    index = ExactIndex(DIMENSION, metric)
    index.add(np.arange(len(vectors)), vectors)
    similarities, ids = index.search(queries, k)
    return similarities, np.where(ids >= 0, labels[ids], -1)


def test_recognises_fresh_images_with_probabilities_that_hold():
    vectors, labels = library([60, 60, 60], spread=0.35)
    classifier = NeighbourClassifier().fit(vectors, labels)
    fresh, truth = library([200, 200, 200], spread=0.35, seed=1)
    chances = classifier.predict_proba(*neighbours(vectors, labels, fresh))
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    right = classifier.classes_[chances.argmax(axis=1)] == truth
    assert right.mean() > 0.9
    assert abs(chances.max(axis=1).mean() - right.mean()) < 0.05  # calibrated on the whole
    assert (classifier.predict(*neighbours(vectors, labels, fresh)) == chances.argmax(1) * 10 + 10).all()


def test_an_l2_index_is_served_as_well():
    vectors, labels = library([60, 60, 60], spread=0.35)
    fresh, truth = library([100, 100, 100], spread=0.35, seed=1)
    classifier = NeighbourClassifier(metric="l2").fit(vectors, labels)
    similarities, found = neighbours(vectors, labels, fresh, metric="l2")
    right = classifier.predict(similarities, found) == truth
    chances = classifier.predict_proba(similarities, found).max(axis=1)
    assert right.mean() > 0.9
    assert abs(chances.mean() - right.mean()) < 0.05
    # all but about one in a hundred of the library's own kind reach the novelty threshold
    assert 0.93 < (similarities[:, 0] >= classifier.novelty_similarity_).mean() < 1.0


def test_temperature_follows_the_data():
    tight = NeighbourClassifier().fit(*library([60, 60, 60], spread=0.05))
    loose = NeighbourClassifier().fit(*library([60, 60, 60], spread=0.8))
    assert loose.log_loss_ > tight.log_loss_ + 0.3
    assert loose.temperature_ >= tight.temperature_
    assert NeighbourClassifier(temperature=0.07).fit(*library([60, 60])).temperature_ == 0.07


def test_the_picked_pair_is_the_best_of_the_grid():
    vectors, labels = library([80, 20, 20], spread=0.5)
    best = NeighbourClassifier().fit(vectors, labels)
    for temperature in (0.003, 0.05, 0.5):
        for balance in (0.0, 1.0):
            other = NeighbourClassifier(temperature=temperature, balance=balance).fit(vectors, labels)
            assert best.log_loss_ <= other.log_loss_ + 1e-9


def test_balance_keeps_a_large_category_from_winning_by_number():
    similarities, labels = np.full((1, 6), 0.8), np.array([[10, 10, 10, 10, 20, 20]])
    vectors, truth = library([400, 20])
    counted = NeighbourClassifier(temperature=0.05, balance=0.0).fit(vectors, truth)
    fair = NeighbourClassifier(temperature=0.05, balance=1.0).fit(vectors, truth)
    assert counted.predict(similarities, labels) == [10]
    assert fair.predict(similarities, labels) == [20]


def test_nearer_neighbours_count_more_and_nothing_is_certain():
    vectors, truth = library([30, 30, 30])
    classifier = NeighbourClassifier(temperature=0.05, balance=0.0).fit(vectors, truth)
    near = classifier.predict_proba([[0.9, 0.6, 0.6]], [[10, 20, 20]])[0]
    assert near[0] > 0.9
    assert (near > 0).all()
    assert near.max() < 1


def test_absent_neighbours_do_not_vote():
    vectors, truth = library([30, 30])
    classifier = NeighbourClassifier(temperature=0.05).fit(vectors, truth)
    full = classifier.predict_proba([[0.9, 0.8]], [[10, 20]])
    padded = classifier.predict_proba([[0.9, 0.8, -np.inf]], [[10, 20, -1]])
    np.testing.assert_allclose(full, padded)
    none = classifier.predict_proba([[-np.inf, -np.inf]], [[-1, -1]])
    np.testing.assert_allclose(none, [[0.5, 0.5]])


def test_images_of_one_case_do_not_vouch_for_each_other():
    vectors, labels = library([40, 40], spread=0.6)
    twins, groups = np.repeat(vectors, 2, axis=0), np.repeat(np.arange(80), 2)
    naive = NeighbourClassifier().fit(twins, np.repeat(labels, 2))
    honest = NeighbourClassifier().fit(twins, np.repeat(labels, 2), groups)
    assert naive.log_loss_ < honest.log_loss_ - 0.05
    assert naive.novelty_similarity_ == pytest.approx(1, abs=1e-5)
    assert honest.novelty_similarity_ < 0.99


@pytest.mark.parametrize("counts", [[], [1], [3], [1, 1], [30]])
def test_tiny_libraries_work(counts):
    vectors, labels = library(counts) if counts else (np.zeros((0, DIMENSION), np.float32), np.array([], int))
    classifier = NeighbourClassifier().fit(vectors, labels)
    assert classifier.log_loss_ is None
    found = neighbours(vectors, labels, library([1])[0]) if counts else ([[-np.inf]], [[-1]])
    chances = classifier.predict_proba(*found)
    assert chances.shape == (1, len(counts))


def test_a_label_that_was_not_fitted_is_refused():
    classifier = NeighbourClassifier().fit(*library([30, 30]))
    with pytest.raises(ValueError, match="Fit it again"):
        classifier.predict_proba([[0.9]], [[77]])
    with pytest.raises(ValueError, match="Call fit first"):
        NeighbourClassifier().predict_proba([[0.9]], [[10]])


THRESHOLDS = Thresholds(min_similarity=0.5, min_probability=0.7, min_margin=0.3, min_examples=5)
NAMES = ["Crazing", "Scratches", "Pitting"]


@pytest.mark.parametrize(
    ("probabilities", "similarities", "examples", "outcome", "words"),
    [
        ([0.9, 0.06, 0.04], [0.9, 0.8], [50, 50, 50], Outcome.CONFIDENT, "Crazing is 90 % probable"),
        ([0.001, 0.001, 0.998], [0.9], [50, 50, 50], Outcome.CONFIDENT, "Pitting is over 99 % probable"),
        ([0.9, 0.06, 0.04], [0.4, 0.3], [50, 50, 50], Outcome.UNKNOWN, "reaches 0.40, and 0.50 is needed"),
        ([0.9, 0.06, 0.04], [-np.inf], [50, 50, 50], Outcome.UNKNOWN, "no confirmed image"),
        ([], [-np.inf], [], Outcome.UNKNOWN, "no confirmed image"),
        ([0.99, 0.01, 0.0], [0.9], [6, 50, 50], Outcome.AMBIGUOUS, "like one past case of Crazing only"),
        ([0.99, 0.01, 0.0], [0.9], [7, 50, 50], Outcome.AMBIGUOUS, "like 2 past cases of Crazing only"),
        ([0.99, 0.01, 0.0], [0.9], [4, 50, 50], Outcome.AMBIGUOUS, "few examples: 4 confirmed images"),
        ([0.99, 0.01, 0.0], [0.9], [1, 50, 50], Outcome.AMBIGUOUS, "1 confirmed image,"),
        ([0.5, 0.45, 0.05], [0.9], [9, 9, 9], Outcome.AMBIGUOUS, "Crazing (50 %) and Scratches (45 %)"),
        ([0.6, 0.2, 0.2], [0.9], [9, 9, 9], Outcome.AMBIGUOUS, "leads with 60 %, and 70 % is needed"),
    ],
)
def test_outcomes_and_their_reasons(probabilities, similarities, examples, outcome, words):
    # So that one number says both: a category with n examples has n - 5 cases that look like the picture.
    alike = [count - 5 for count in examples]
    verdict = decide(
        np.array(probabilities),
        np.array(similarities),
        THRESHOLDS,
        examples=examples,
        alike=alike,
        names=NAMES,
    )
    assert verdict.outcome == outcome
    assert words in verdict.reason
    assert verdict.reason.endswith(".")
    if outcome == Outcome.UNKNOWN:
        assert verdict.best is None
    else:
        assert verdict.best == int(np.argmax(probabilities))
