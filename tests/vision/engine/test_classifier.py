"""The classifier: right, calibrated, honest about what it does not know, and calm on bad libraries."""

import json

import numpy as np
import pytest

from vision.engine.arrays import arrays_pack, arrays_unpack
from vision.engine.classifier import FaultClassifier, classify_with, join_views
from vision.engine.measures import expected_calibration_error

DIMENSION = 12
CENTRES = np.random.default_rng(99).normal(size=(6, DIMENSION))
CENTRES /= np.linalg.norm(CENTRES, axis=1, keepdims=True)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clouds(counts, spread=0.15, seed=0):
    """Unit vectors around one direction for each category, with labels 10, 20, …"""
    labels = np.repeat(10 * np.arange(1, len(counts) + 1), counts)
    noise = spread * np.random.default_rng(seed).normal(size=(len(labels), DIMENSION))
    return unit(CENTRES[labels // 10 - 1] + noise), labels


def slanted(count, seed=0):
    """Two categories that differ by one faint direction among 30 loud ones: neighbours can't tell them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    vectors = rng.normal(size=(count, 30))
    vectors[:, 0] = 0.3 * (2 * labels - 1) + 0.05 * rng.normal(size=count)
    return unit(vectors), labels + 5


def scattered(count, seed=0):
    """Two categories in many small clusters each, laid out at random: no plane can tell them."""
    centres = unit(np.random.default_rng(1).normal(size=(24, 6)))
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 24, count)
    return unit(centres[place] + 0.02 * rng.normal(size=(count, 6))), place % 2 + 5


def top1(prediction, classifier, truth):
    return (classifier.classes_[prediction.probabilities.argmax(axis=1)] == truth).mean()


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_probabilities_and_sets_hold_what_they_promise(metric):
    vectors, labels = clouds([150, 150, 150], spread=0.35)
    fresh, truth = clouds([400, 400, 400], spread=0.35, seed=1)
    classifier = FaultClassifier(metric).fit(vectors, labels)
    prediction = classify_with(classifier, vectors, labels, fresh)
    position = np.searchsorted(classifier.classes_, truth)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1)
    assert top1(prediction, classifier, truth) > 0.9
    assert expected_calibration_error(prediction.probabilities, position) < 0.04
    held = prediction.sets[np.arange(len(truth)), position]
    for label in classifier.classes_:
        assert 0.91 < held[truth == label].mean() < 0.985
    assert 0.03 < (prediction.novelty_p < 0.05).mean() < 0.08


@pytest.mark.parametrize("data", [slanted, scattered])
def test_either_source_of_evidence_is_enough(data):
    vectors, labels = data(400)
    fresh, truth = data(400, seed=1)
    classifier = FaultClassifier().fit(vectors, labels)
    assert top1(classify_with(classifier, vectors, labels, fresh), classifier, truth) > 0.95


def test_what_belongs_to_no_category_is_unknown():
    vectors, labels = clouds([60] * 5)
    classifier = FaultClassifier().fit(vectors, labels)
    known, _ = clouds([60] * 5, seed=1)
    new = unit(CENTRES[5] + 0.15 * np.random.default_rng(2).normal(size=(60, DIMENSION)))
    assert (classify_with(classifier, vectors, labels, new).novelty_p < 0.02).mean() > 0.95
    assert (classify_with(classifier, vectors, labels, known).novelty_p < 0.02).mean() < 0.06


def test_a_copy_of_a_confirmed_image_is_never_unknown():
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(3, 200)))  # few images of many dimensions: noise points anywhere
    labels = np.repeat([1, 2, 3], 8)
    vectors = unit(centres[labels - 1] + 0.02 * rng.normal(size=(24, 200)))
    copies = unit(vectors + 0.01 * rng.normal(size=vectors.shape))
    classifier = FaultClassifier().fit(vectors, labels)
    assert (classify_with(classifier, vectors, labels, copies).novelty_p > 0.02).all()


def test_one_new_view_is_not_hidden_by_a_known_one():
    vectors, labels = clouds([60] * 5)
    classifier = FaultClassifier().fit(vectors, labels)
    new = unit(CENTRES[5] + 0.1 * np.random.default_rng(2).normal(size=(1, DIMENSION)))
    known, _ = clouds([1], seed=1)
    alone = classify_with(classifier, vectors, labels, known)
    joined = join_views(classify_with(classifier, vectors, labels, np.concatenate([known, new])), 0.95)
    assert joined.probabilities.shape == joined.sets.shape == (1, 5)
    np.testing.assert_allclose(joined.probabilities.sum(), 1)
    assert joined.novelty_p[0] < 0.02 < alone.novelty_p[0]


def test_a_category_that_came_after_the_fit_is_named_at_once():
    vectors, labels = clouds([30] * 5)
    classifier = FaultClassifier().fit(vectors, labels)
    new = unit(CENTRES[5] + 0.1 * np.random.default_rng(2).normal(size=(3, DIMENSION)))
    before = classify_with(classifier, vectors, labels, new)
    assert (before.novelty_p < 0.02).all()
    vectors, labels = np.concatenate([vectors, new[:2]]), np.append(labels, [99, 99])
    for current in (
        classifier.with_counts(*np.unique(labels, return_counts=True)),
        FaultClassifier().fit(vectors, labels, warm_start=classifier),
    ):
        third = classify_with(current, vectors, labels, new[2:])
        assert current.classes_[third.probabilities[0].argmax()] == 99
        assert third.sets[0, -1]
        assert third.novelty_p[0] > 0.02


def test_groups_stay_on_one_side_of_every_fold():
    rng = np.random.default_rng(0)
    singles = unit(rng.normal(size=(60, 10)))
    vectors = unit(np.repeat(singles, 3, axis=0) + 1e-3 * rng.normal(size=(180, 10)))
    labels, groups = (np.arange(60) % 2).repeat(3), np.arange(60).repeat(3)
    leaked = FaultClassifier().fit(vectors, labels)
    honest = FaultClassifier().fit(vectors, labels, groups)
    assert leaked.held_out_.measures(np.arange(180), 0.95)["top1"] > 0.9  # copies give the answer away
    measures = honest.held_out_.measures(groups, 0.95)
    assert measures["top1"] < 0.7  # nothing to learn from noise
    assert measures["set_size"] > 1.5


def test_only_judges_say_how_good_an_answer_is():
    """Half of each category looks far easier than anything new will: it may teach, and not judge."""
    easy, labels = clouds([30, 30], spread=0.02)
    hard, _ = clouds([30, 30], spread=0.9, seed=3)
    vectors, labels = np.concatenate([easy, hard]), np.concatenate([labels, labels])
    judges = np.arange(120) >= 60
    flattered = FaultClassifier().fit(vectors, labels)
    honest = FaultClassifier().fit(vectors, labels, judges=judges)
    assert honest.held_out_.rows.tolist() == list(range(60, 120))
    groups = np.arange(120)
    one, other = (c.held_out_.measures(groups, 0.95)["top1"] for c in (flattered, honest))
    assert other < one - 0.05
    unseen, truth = clouds([40, 40], spread=0.9, seed=4)
    said = classify_with(honest, vectors, labels, unseen)
    held = said.sets[np.arange(80), np.searchsorted(honest.classes_, truth)]
    assert held.mean() > 0.85


def test_restored_it_says_the_same():
    vectors, labels = clouds([40, 40, 3, 1], spread=0.3)
    classifier = FaultClassifier().fit(vectors, labels)
    numbers, arrays = classifier.learned()
    stored = arrays_unpack(arrays_pack(arrays))
    again = FaultClassifier.restore(json.loads(json.dumps(numbers)), stored)
    again = again.with_counts(classifier.classes_, classifier.counts_)
    fresh, _ = clouds([20, 20, 20, 20], seed=1)
    one, other = (classify_with(c, vectors, labels, fresh) for c in (classifier, again))
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-3)
    np.testing.assert_allclose(one.novelty_p, other.novelty_p, atol=1e-2)


@pytest.mark.parametrize(
    "counts", [[], [1], [3], [30], [1, 1], [2, 2], [12, 12], [29, 1], [40, 1, 1], [190, 5, 5]]
)
def test_odd_libraries(counts):
    """Empty, tiny, one category, two only, one image in a category, one category with 95 %."""
    vectors, labels = clouds(counts) if counts else (np.zeros((0, DIMENSION), np.float32), np.array([], int))
    classifier = FaultClassifier().fit(vectors, labels)
    fresh, truth = clouds([8] * max(len(counts), 1), seed=1)
    prediction = classify_with(classifier, vectors, labels, fresh)
    assert prediction.probabilities.shape == (len(fresh), len(counts))
    assert np.isfinite(prediction.novelty_score).all()
    assert ((prediction.novelty_p >= 0) & (prediction.novelty_p <= 1)).all()
    if counts:
        assert top1(prediction, classifier, truth) > 0.9
    if sum(counts) < 20:
        assert prediction.sets.all()  # nothing can be excluded yet, and it is said


def test_identical_images():
    vectors, labels = np.repeat(CENTRES[:1], 40, axis=0), np.arange(40) % 2
    classifier = FaultClassifier().fit(vectors, labels)
    rounded = vectors[:4].astype(np.float16).astype(np.float32)
    prediction = classify_with(classifier, vectors, labels, rounded)
    np.testing.assert_allclose(prediction.probabilities, 0.5, atol=0.1)
    assert prediction.sets.all()
    assert (prediction.novelty_p > 0.02).all()


def test_one_label_in_five_wrong():
    vectors, labels = clouds([100] * 4, spread=0.2)
    fresh, truth = clouds([100] * 4, spread=0.2, seed=1)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < 0.2
    noisy = np.where(wrong, rng.choice([10, 20, 30, 40], len(labels)), labels)
    clean, spoilt = (FaultClassifier().fit(vectors, some) for some in (labels, noisy))
    was = top1(classify_with(clean, vectors, labels, fresh), clean, truth)
    now = top1(classify_with(spoilt, vectors, noisy, fresh), spoilt, truth)
    assert was - now < 0.03
    # Whoever learned from wrong labels is less sure.
    assert classify_with(spoilt, vectors, noisy, fresh).probabilities.max(axis=1).mean() < 0.95


def test_what_does_not_fit_is_refused():
    vectors, labels = clouds([30, 30])
    classifier = FaultClassifier().fit(vectors, labels)
    with pytest.raises(ValueError, match="Fit it again"):
        classifier.predict(vectors[:1], [[0.9]], [[77]])
    with pytest.raises(ValueError, match="Call fit first"):
        FaultClassifier().predict(vectors[:1], [[0.9]], [[10]])
    with pytest.raises(ValueError, match="59 labels"):
        FaultClassifier().fit(vectors, labels[:-1])
    with pytest.raises(ValueError, match="NaN"):
        FaultClassifier().fit(np.full_like(vectors, np.nan), labels)
    with pytest.raises(ValueError, match="coverage"):
        FaultClassifier(coverage=1)
