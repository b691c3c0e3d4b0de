"""Past cases found by words: the service and the page, with a CLIP of random weights."""

import numpy as np
import pytest
from django.urls import reverse

from tests import factories
from vision.services.embedding import pending_embed, space_current
from vision.services.library import library_current
from vision.services.search import SearchFilters
from vision.services.text_search import NoTextSide, text_embed, text_search

pytestmark = pytest.mark.django_db
WORDS = "dark blister near the edge"


@pytest.fixture
def clip(clip_data, use_backbone):
    use_backbone("clip_vit_b_32", clip_data)


@pytest.fixture
def cases(clip):
    """Four cases with two pictures each: two of a category and a part, two of another."""
    part = factories.part("4711")
    scratch, pit = factories.category("SCR", name="Scratch"), factories.category("PIT", name="Pitting")
    made = [factories.case(pictures=2, labelled=scratch, part=part) for _ in range(2)]
    made += [factories.case(pictures=2, labelled=pit) for _ in range(2)]
    assert not pending_embed()
    return made


@pytest.fixture
def engineer(client):
    client.force_login(factories.user("Engineer", "eva"))
    return client


@pytest.mark.slow
class TestWithClip:
    def test_cases_come_in_the_order_of_their_best_picture(self, cases):
        vector = text_embed(WORDS, space_current())
        assert vector.shape == (512,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        ids, vectors = library_current().vectors()
        nearest = ids[np.argsort(-(vectors @ vector))].tolist()
        case_of = {image.pk: case.number for case in cases for image in case.images.all()}
        expected = list(dict.fromkeys(case_of[image] for image in nearest))
        result = text_search(WORDS, top_k=3)
        assert [match.case.number for match in result.matches] == expected[:3]
        assert [match.rank for match in result.matches] == [1, 2, 3]
        assert result.matches[0].image.pk == nearest[0]
        assert result.library_size == 8

    def test_filters_narrow_before_the_search(self, cases):
        found = text_search(WORDS, filters=SearchFilters(part=cases[0].part)).matches
        assert {match.case for match in found} == set(cases[:2])

    def test_other_words_are_another_query(self, clip):
        space = space_current()
        assert text_embed(WORDS, space) @ text_embed("long bright scratch", space) < 0.999

    def test_the_page_shows_match_cards_without_figures(self, engineer, cases):
        page = engineer.get(reverse("text-search"))
        assert "data-match" not in page.content.decode()
        factories.resolution(cases[3], root_cause="Wet granulate")
        answer = engineer.get(reverse("text-search"), {"q": WORDS})
        page = answer.content.decode()
        assert page.count("data-match") == 4
        assert "Wet granulate" in page
        assert "no. 1" in page
        assert "imilarity" not in page
        assert f"“{WORDS}”" in page
        assert 'aria-current="page"' in page
        narrowed = engineer.get(reverse("text-search"), {"q": WORDS, "category": "Pitting"})
        assert {match.case for match in narrowed.context["result"].matches} == set(cases[2:])

    def test_the_search_by_picture_leads_there(self, engineer, clip):
        page = engineer.get(reverse("picture-search")).content.decode()
        assert f'href="{reverse("text-search")}"' in page

    def test_nothing_to_find_says_why(self, engineer, clip):
        assert "The library is empty" in engineer.get(reverse("text-search"), {"q": WORDS}).content.decode()
        factories.part("UNUSED")
        factories.case(labelled=factories.category())
        pending_embed()
        answer = engineer.get(reverse("text-search"), {"q": WORDS, "part": "UNUSED"}).content.decode()
        assert "No confirmed picture fits these filters" in answer

    @pytest.mark.parametrize(
        ("sent", "sentence"),
        [
            ({"q": ""}, "This field is required."),
            ({"q": "x" * 201}, "at most 200 characters"),
            ({"q": WORDS, "part": "none such"}, "No part “none such” is known"),
            ({"q": WORDS, "reported_after": "soon"}, "Enter a valid date"),
        ],
    )
    def test_nonsense_is_named(self, engineer, clip, sent, sentence):
        answer = engineer.get(reverse("text-search"), sent)
        assert sentence in answer.content.decode()
        assert "result" not in answer.context


class TestWithoutTextSide:
    def test_the_service_names_the_backbone_and_what_to_do(self):
        with pytest.raises(NoTextSide, match=r"faultnet, has no text side.*clip_vit_b_32"):
            text_search(WORDS)

    def test_the_page_gives_three_lines_and_no_page_leads_there(self, engineer):
        page = engineer.get(reverse("text-search"), {"q": WORDS}).content.decode()
        for line in (
            "pip install -r requirements-clip.txt",
            "fetch_weights clip_vit_b_32",
            "FAULTDIAG_BACKBONE=",
        ):
            assert line in page
        page = engineer.get(reverse("picture-search")).content.decode()
        assert f'href="{reverse("text-search")}"' not in page
