"""The contract of the similarity library, held against brute force; every engine must pass it."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vision.engine.index import ExactIndex, faiss_loaded

DIMENSION = 24


def unit_rows(count, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def brute_force(queries, vectors, ids, top_k, metric):
    if metric == "cosine":
        similarity = queries @ vectors.T
    else:
        similarity = 1 / (1 + np.linalg.norm(queries[:, None] - vectors[None], axis=2))
    order = np.argsort(-similarity, axis=1)[:, :top_k]
    return np.take_along_axis(similarity, order, 1), np.asarray(ids)[order]


@pytest.fixture(params=["cosine", "l2"])
def metric(request):
    return request.param


@pytest.fixture
def filled(metric):
    index = ExactIndex(DIMENSION, metric)
    ids = np.arange(300) * 7 + 1
    index.add(ids, unit_rows(300))
    return index, ids, unit_rows(300)


def check(index, ids, vectors, **filters):
    queries = unit_rows(20, seed=9)
    scores, found = index.search(queries, 10, **filters)
    expected_scores, expected = brute_force(queries, vectors, ids, 10, index.metric)
    assert found.tolist() == expected.tolist()
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


def test_agrees_with_brute_force(filled):
    index, ids, vectors = filled
    assert len(index) == 300
    check(index, ids, vectors)


def test_many_queries_agree_with_few(filled):
    index, _, _ = filled
    queries = unit_rows(900, seed=4)
    _, together = index.search(queries, 5)
    _, alone = index.search(queries[:3], 5)
    assert together[:3].tolist() == alone.tolist()


def test_removal(filled):
    index, ids, vectors = filled
    assert index.remove([*ids[:100].tolist(), 999_999]) == 100
    assert index.remove(ids[:100]) == 0
    assert len(index) == 200
    assert ids[0] not in index
    assert ids[100] in index
    check(index, ids[100:], vectors[100:])


def test_adding_an_id_again_replaces_it(filled):
    index, ids, vectors = filled
    fresh = unit_rows(50, seed=5)
    index.add(ids[:50], fresh)
    assert len(index) == 300
    check(index, ids, np.concatenate([fresh, vectors[50:]]))


def test_an_id_given_twice_in_one_call_keeps_the_last_vector(metric):
    index = ExactIndex(DIMENSION, metric)
    first, second = unit_rows(2)
    index.add(np.array([4, 4]), np.stack([first, second]))
    scores, ids = index.search(second, 1)
    assert len(index) == 1
    assert ids.tolist() == [[4]]
    assert scores[0, 0] == pytest.approx(1, abs=1e-3)


def test_filters_cost_no_results(filled):
    index, ids, vectors = filled
    allowed = np.zeros(300, bool)
    allowed[::25] = True  # 12 of 300
    check(index, ids[allowed], vectors[allowed], allowed=ids[allowed])
    check(index, ids[~allowed], vectors[~allowed], exclude=ids[allowed].tolist())
    both = allowed.copy()
    both[0] = both[25] = False
    check(index, ids[both], vectors[both], allowed=ids[allowed], exclude=[int(ids[0]), int(ids[25])])


def test_missing_places_are_marked(metric):
    index = ExactIndex(DIMENSION, metric)
    scores, ids = index.search(unit_rows(2), 3)
    assert ids.tolist() == [[-1] * 3] * 2
    assert np.isneginf(scores).all()
    index.add(np.array([5, 6]), unit_rows(2))
    scores, ids = index.search(unit_rows(2), 3)
    assert ids[:, 2].tolist() == [-1, -1]
    assert np.isneginf(scores[:, 2]).all()
    assert np.isfinite(scores[:, :2]).all()
    _, ids = index.search(unit_rows(2), 3, allowed=[])
    assert (ids == -1).all()


def test_a_nearer_vector_has_the_higher_similarity(metric):
    index = ExactIndex(DIMENSION, metric)
    index.add(np.arange(50), unit_rows(50))
    scores, ids = index.search(unit_rows(50), 50)
    assert (ids[:, 0] == np.arange(50)).all()
    assert scores[:, 0] == pytest.approx(np.ones(50), abs=2e-3)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_equal_vectors_come_in_the_order_of_their_ids(metric):
    index = ExactIndex(DIMENSION, metric)
    index.add(np.array([9, 3, 7]), np.repeat(unit_rows(1), 3, axis=0))
    assert index.search(unit_rows(1), 3)[1].tolist() == [[3, 7, 9]]


def test_cosine_ignores_length():
    index = ExactIndex(DIMENSION, "cosine")
    index.add(np.array([1]), unit_rows(1) * 40)
    scores, _ = index.search(unit_rows(1) * 0.01, 1)
    assert scores[0, 0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda index: index.add(np.array([1]), np.ones((1, 3))), "dimension 24"),
        (lambda index: index.add(np.array([1, 2]), unit_rows(1)), "2 ids"),
        (lambda index: index.add(np.array([-4]), unit_rows(1)), "negative"),
        (lambda index: index.add(np.array([1]), np.full((1, DIMENSION), np.nan)), "NaN"),
        (lambda index: index.search(unit_rows(1), 0), "top_k"),
        (lambda index: ExactIndex(3, "euclid"), "euclid"),
    ],
)
def test_wrong_input_is_refused_and_changes_nothing(call, words):
    index = ExactIndex(DIMENSION)
    index.add(np.array([8]), unit_rows(1))
    with pytest.raises(ValueError, match=words):
        call(index)
    assert len(index) == 1
    assert index.search(unit_rows(1), 1)[1].tolist() == [[8]]


def test_threads_may_write_and_search_at_once():
    index = ExactIndex(DIMENSION)
    index.add(np.arange(100), unit_rows(100))
    wrong = []

    def write(start):
        for turn in range(30):
            index.add(np.arange(start, start + 20), unit_rows(20, seed=start + turn))
            index.remove(range(start, start + 20))

    def search():
        for _ in range(100):
            if index.search(unit_rows(100), 1, allowed=range(100))[1][:, 0].tolist() != list(range(100)):
                wrong.append(1)

    threads = [threading.Thread(target=write, args=(1000 * (n + 1),)) for n in range(2)]
    threads += [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(index) == 100


def test_importing_the_module_does_not_import_faiss():
    code = "import sys, vision.engine.index; assert 'faiss' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_faiss_uses_one_thread_whichever_thread_calls_it():
    faiss_loaded()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: faiss_loaded().omp_get_max_threads()).result() == 1
