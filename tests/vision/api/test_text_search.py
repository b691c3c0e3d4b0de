"""Search with words through the API."""

import pytest

from tests import factories
from vision.services.embedding import pending_embed

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/search/text"
WORDS = "dark blister near the edge"


@pytest.fixture
def client():
    return factories.api_client(factories.user("Integration"))


@pytest.mark.slow
def test_the_answer_is_an_order_of_cases_without_figures(client, clip_data, use_backbone):
    use_backbone("clip_vit_b_32", clip_data)
    scratch = factories.category("SCR", name="Scratch")
    cases = [factories.case(labelled=scratch) for _ in range(3)]
    factories.resolution(cases[0], root_cause="Worn guide")
    pending_embed()
    answer = client.get(f"{ADDRESS}/", {"q": WORDS, "top_k": 2})
    assert answer.status_code == 200, answer.data
    assert (answer.data["query"], answer.data["library_size"]) == (WORDS, 3)
    assert [match["rank"] for match in answer.data["matches"]] == [1, 2]
    every = client.get(ADDRESS, {"q": WORDS, "category": "SCR"}).data["matches"]
    assert {match["case"] for match in every} == {case.number for case in cases}
    assert "Worn guide" in {match["root_cause"] for match in every}
    assert all("similarity" not in match for match in every)
    assert client.get(ADDRESS, {"q": WORDS, "reported_before": "2020-01-01"}).data["matches"] == []


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "q"),
        ({"q": " "}, "q"),
        ({"q": "x" * 201}, "q"),
        ({"q": "x\x00"}, "q"),
        ({"q": WORDS, "top_k": 0}, "top_k"),
        ({"q": WORDS, "part": "NONE"}, "part"),
        ({"q": WORDS, "reported_after": "soon"}, "reported_after"),
    ],
)
def test_nonsense_is_named(client, sent, field):
    answer = client.get(ADDRESS, sent)
    assert (answer.status_code, list(answer.data["errors"])) == (400, [field])


def test_a_backbone_without_words_is_a_conflict_with_a_sentence(client):
    answer = client.get(ADDRESS, {"q": WORDS})
    assert (answer.status_code, answer.data["code"]) == (409, "no_text_side")
    assert "has no text side" in answer.data["detail"]
    assert client.post(ADDRESS, {"q": WORDS}).status_code == 405
