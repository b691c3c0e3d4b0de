"""Cases and near-duplicates stay together, and every fold gets its share."""

import numpy as np

from vision.engine.folds import grouped_folds, groups_per_label, joined_groups


def test_folds_are_even_and_split_no_group():
    labels = np.repeat([1, 2, 3], [60, 30, 10])
    groups = np.arange(100) // 2
    fold = grouped_folds(labels, groups, 5)
    assert (fold[::2] == fold[1::2]).all()
    for label, size in ((1, 12), (2, 6), (3, 2)):
        assert np.bincount(fold[labels == label], minlength=5).tolist() == [size] * 5
    assert groups_per_label(labels, groups)[[0, 60, 90]].tolist() == [30, 15, 5]
    assert grouped_folds(labels[:0], groups[:0], 5).tolist() == []


def test_near_duplicates_join_the_groups_of_their_cases():
    near = np.array([1, 0.05, 0]) / np.hypot(1, 0.05)
    vectors = np.array([[1, 0, 0], near, [0, 1, 0], [0, 0, 1], [0, 0, 1]], np.float32)
    hashes = np.array([0, 0b111, 0, 1 << 40, -1], np.int64)
    cases = np.array([7, 8, 9, 9, 10])
    group = joined_groups(cases, hashes, vectors)
    assert group[0] == group[1]  # three bits and hardly an angle apart
    assert group[2] == group[3]  # one case
    assert len(set(group.tolist())) == 3  # a hash alone joins nothing, nor does a vector
    assert joined_groups(cases[:0], hashes[:0], vectors[:0]).tolist() == []
