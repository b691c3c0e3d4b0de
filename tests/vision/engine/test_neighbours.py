import numpy as np

from vision.engine import neighbours
from vision.engine.neighbours import leave_one_out_neighbours


def unit_rows(count):
    rows = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_agrees_with_the_full_matrix_block_by_block(monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK", 7)
    vectors = unit_rows(40)
    groups = np.arange(40) // 2
    similarity = vectors @ vectors.T
    similarity[groups[:, None] == groups] = -np.inf
    expected = np.argsort(-similarity, axis=1)[:, :5]
    scores, positions, queries = leave_one_out_neighbours(vectors, 5, groups=groups)
    assert positions.tolist() == expected.tolist()
    np.testing.assert_allclose(scores, np.take_along_axis(similarity, expected, 1), atol=1e-6)
    assert queries.tolist() == list(range(40))


def test_missing_neighbours_are_marked():
    scores, positions, _ = leave_one_out_neighbours(unit_rows(3), 4)
    assert (positions[:, :2] >= 0).all()
    assert (positions[:, 2:] == -1).all()
    assert np.isneginf(scores[:, 2:]).all()
    _, alone, _ = leave_one_out_neighbours(unit_rows(3), 4, groups=np.zeros(3))
    assert (alone == -1).all()


def test_a_part_of_the_library_asks_all_of_it():
    vectors = unit_rows(50)
    _, everything, _ = leave_one_out_neighbours(vectors, 3)
    _, positions, queries = leave_one_out_neighbours(vectors, 3, max_queries=10)
    assert len(set(queries.tolist())) == 10
    assert positions.tolist() == everything[queries].tolist()
