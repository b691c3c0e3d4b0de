"""One answer from several views: by their mean, or by the view that fits each picture of the library best."""

import numpy as np
import pytest

from tests import factories
from vision.services.embedding import pending_embed
from vision.services.library import Neighbours, library_current
from vision.services.search import neighbours_merge, vectors_search, views_queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def cases():
    """Three cases with two confirmed pictures each, of two categories."""
    categories = [factories.category(), factories.category()]
    made = [factories.case(pictures=2, labelled=categories[place % 2]) for place in range(3)]
    pending_embed()
    return made


@pytest.fixture
def known(cases):
    """Image ids and their vectors, float32 (6, d), as the library compares them."""
    ids, vectors = library_current().vectors()
    return ids, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def expected(known, cases, queries) -> list[tuple[str, int, float]]:
    """(case, image, similarity) by comparing everything with everything."""
    ids, vectors = known
    similarities = (vectors @ queries.T).max(axis=1)
    case_of = {image.pk: case.number for case in cases for image in case.images.all()}
    best = {}
    for place in np.argsort(-similarities):
        best.setdefault(
            case_of[int(ids[place])], (int(ids[place]), pytest.approx(float(similarities[place]), abs=1e-3))
        )
    return [(case, *rest) for case, rest in best.items()]


def answer(views, **how):
    result = vectors_search(views, library_current(), top_k=10, **how)
    return [(m.case.number, m.image.pk, m.similarity) for m in result.matches]


@pytest.fixture
def views(known):
    """Two views that lie near pictures of different cases."""
    _, vectors = known
    rng = np.random.default_rng(7)
    near = vectors[[0, 3]] + rng.normal(0, 0.01, (2, vectors.shape[1])).astype(np.float32)
    return near / np.linalg.norm(near, axis=1, keepdims=True)


def test_the_mean_of_the_views_is_one_query_of_unit_length(settings, views):
    assert settings.VIEWS == "mean"
    queries = views_queries(views)
    assert queries.shape == (1, views.shape[1])
    assert np.linalg.norm(queries) == pytest.approx(1, abs=1e-6)
    assert np.allclose(queries[0], (views[0] + views[1]) / np.linalg.norm(views[0] + views[1]), atol=1e-6)


def test_cases_are_those_nearest_to_the_mean(cases, known, views):
    joined = views.mean(axis=0, keepdims=True)
    joined /= np.linalg.norm(joined)
    assert answer(views) == expected(known, cases, joined)


def test_with_best_the_view_that_is_most_like_a_picture_counts(settings, cases, known, views):
    mean = answer(views)
    settings.VIEWS = "best"
    best = answer(views)
    assert best == expected(known, cases, views)
    assert best != mean
    assert len({case for case, _, _ in best}) == len(best) == 3


@pytest.mark.parametrize("mode", ["mean", "best"])
def test_one_view_is_the_same_in_both_modes(settings, cases, known, views, mode):
    settings.VIEWS = mode
    assert answer(views[:1]) == expected(known, cases, views[:1])


@pytest.mark.parametrize("mode", ["mean", "best"])
def test_the_own_case_is_left_out_and_places_are_filled_from_deeper_down(settings, cases, views, mode):
    settings.VIEWS, settings.NEIGHBOURS = mode, 1
    result = vectors_search(views, library_current(), top_k=2, exclude_case=cases[0])
    assert {match.case for match in result.matches} == set(cases[1:])
    assert [match.rank for match in result.matches] == [1, 2]


def test_answers_are_merged_by_the_best_similarity_and_know_what_all_of_them_knew():
    one = Neighbours(np.array([1, 2, 3]), np.array([0.9, 0.5, 0.4], np.float32), 7, 10)
    other = Neighbours(np.array([2, 1, 4]), np.array([0.8, 0.6, 0.3], np.float32), 6, 9)
    merged = neighbours_merge([one, other], 3)
    assert merged.image_ids.tolist() == [1, 2, 3]
    assert merged.similarities.tolist() == pytest.approx([0.9, 0.8, 0.4])
    assert (merged.watermark, merged.library_size) == (6, 9)


def test_the_category_is_judged_view_by_view_in_both_modes(settings, cases, views):
    judged = []
    for settings.VIEWS in ("mean", "best"):
        classification = vectors_search(views, library_current(), top_k=10).classification
        judged.append([round(entry.probability, 4) for entry in classification.categories])
    assert judged[0] == judged[1]
