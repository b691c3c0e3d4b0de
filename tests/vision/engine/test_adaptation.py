"""The projection brings like to like on images that it has not seen, and survives whatever labels it gets."""

import numpy as np
import pytest

from vision.engine.adaptation import Adaptation, AdaptationError
from vision.engine.arrays import arrays_pack, arrays_unpack
from vision.engine.retrieval import leave_one_out

DIMENSION = 48


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made(counts, seed=0, noise=3.0):
    """Vectors that differ by category in a few directions, and by chance much more in others."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((len(counts), DIMENSION))
    nuisance = np.random.default_rng(98).standard_normal((6, DIMENSION)) * noise
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = 4 + centres[labels] + random.standard_normal((len(labels), 6)) @ nuisance
    return unit(rows + 0.5 * random.standard_normal(rows.shape)), labels


def map_at_r(vectors, labels):
    return leave_one_out(vectors, labels).map_at_r


def test_what_was_not_seen_is_found_far_better():
    vectors, labels = made([40] * 4)
    unseen, truth = made([30] * 4, seed=1)
    adaptation = Adaptation().fit(vectors, labels)
    assert map_at_r(unseen, truth) < 0.5
    assert map_at_r(adaptation.transform(unseen), truth) > 0.9
    measures = adaptation.measures_
    assert measures["map_at_r"] > 0.9 > 0.5 > measures["map_at_r_before"]
    assert measures["unknown_auroc"] >= measures["unknown_auroc_before"]


def test_rows_are_of_unit_length_also_at_the_centre():
    vectors, labels = made([20, 20])
    adaptation = Adaptation().fit(vectors, labels)
    asked = np.vstack([vectors, adaptation._centre[None], np.zeros((1, DIMENSION))])
    projected = adaptation.transform(asked)
    assert projected.dtype == np.float32
    assert projected.shape == (42, adaptation.dimension) == (42, DIMENSION + 1)
    assert np.linalg.norm(projected, axis=1) == pytest.approx(1, abs=1e-5)


def test_what_was_learned_can_be_restored():
    vectors, labels = made([20, 20, 20])
    adaptation = Adaptation().fit(vectors, labels)
    parameters, arrays = adaptation.learned()
    again = Adaptation.restore(parameters, arrays_unpack(arrays_pack(arrays)))
    assert np.array_equal(again.transform(vectors), adaptation.transform(vectors))
    assert np.array_equal(Adaptation().fit(vectors, labels).transform(vectors), adaptation.transform(vectors))


def test_a_fifth_of_wrong_labels_still_helps():
    vectors, labels = made([40] * 4)
    random = np.random.default_rng(5)
    noisy = np.where(random.random(len(labels)) < 0.2, random.integers(0, 4, len(labels)), labels)
    unseen, truth = made([30] * 4, seed=1)
    adaptation = Adaptation().fit(vectors, noisy)
    assert map_at_r(adaptation.transform(unseen), truth) > map_at_r(unseen, truth) + 0.2


@pytest.mark.parametrize(
    "counts", [[5, 5], [5] * 6, [95, 5], [190, 10], [1, 30], [1, 1], [2, 1, 1], [1] * 9, [40, 3, 1]]
)
def test_few_images_and_uneven_categories_break_nothing(counts):
    vectors, labels = made(counts)
    projected = Adaptation().fit(vectors, labels).transform(vectors)
    assert np.isfinite(projected).all()
    assert np.linalg.norm(projected, axis=1) == pytest.approx(1, abs=1e-5)


def test_one_category_at_95_percent_does_not_swallow_the_other():
    vectors, labels = made([190, 10])
    unseen, truth = made([30, 30], seed=1)
    assert map_at_r(Adaptation().fit(vectors, labels).transform(unseen), truth) > 0.9


def test_identical_images_are_no_harm_and_nothing_but_them_is_refused():
    vectors, labels = made([20, 20])
    copies = np.vstack([vectors, np.repeat(vectors[:1], 30, axis=0)])
    groups = np.concatenate([np.arange(40), np.zeros(30, int)])
    projected = Adaptation().fit(copies, np.append(labels, [0] * 30), groups).transform(vectors)
    assert np.isfinite(projected).all()
    with pytest.raises(AdaptationError, match="same"):
        Adaptation().fit(np.repeat(vectors[:1], 10, axis=0), [0, 1] * 5)
    with pytest.raises(AdaptationError, match="two categories"):
        Adaptation().fit(vectors, np.zeros(40))


def test_groups_decide_and_not_copies_of_the_same_case():
    """Each case is one picture four times: whoever splits copies believes in a perfect fit."""
    random = np.random.default_rng(3)
    rows = unit(np.repeat(random.standard_normal((60, DIMENSION)), 4, axis=0))
    groups = np.repeat(np.arange(60), 4)
    labels = np.repeat(random.integers(0, 2, 60), 4)
    by_case = Adaptation().fit(rows, labels, groups).measures_["map_at_r"]
    assert Adaptation().fit(rows, labels).measures_["map_at_r"] > by_case + 0.2
