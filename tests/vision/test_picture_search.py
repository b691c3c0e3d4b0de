"""The pages that search by picture: one that is not stored, or one of a case; whole, or a region of it."""

import base64
import io
import re

import pytest
from django.urls import reverse
from PIL import Image

from cases.models import ImageFile
from cases.services.intake import Picture, case_create
from cases.services.labels import images_label
from tests import factories
from tests.vision.test_diagnosis import drawn, known_case
from vision.engine.regions import Region
from vision.services.embedding import images_embed
from vision.services.search import region_search

pytestmark = pytest.mark.django_db


@pytest.fixture
def scratch():
    return factories.category("SCR", name="Scratch")


@pytest.fixture
def library(scratch):
    crazing = factories.category("CRZ", name="Crazing")
    cases = [known_case(scratch, "scratch", seed) for seed in range(3)]
    cases += [known_case(crazing, "crazing", seed) for seed in range(3)]
    images_embed(case.images.get().pk for case in cases)
    return cases


@pytest.fixture
def engineer(client):
    client.force_login(factories.user("Engineer", "eva"))
    return client


def two_sided() -> bytes:
    """A scratch of the library at the left, a crazing of it at the right: 320 x 160 pixels."""
    picture = Image.new("RGB", (320, 160))
    for place, (kind, seed) in enumerate([("scratch", 1), ("crazing", 2)]):
        picture.paste(Image.open(io.BytesIO(drawn(kind, seed).data)), (160 * place, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def image(library, scratch):
    """The same picture in a confirmed case, with a second view that is in the library, too."""
    case = case_create(pictures=[Picture("both.png", two_sided()), drawn("crazing", 2)], title="Two faults")
    images_label(case.images.all(), verdict="fault", category=scratch)
    images_embed(case.images.values_list("pk", flat=True))
    return case.images.first()


def seen(page: str) -> list[tuple[int, int]]:
    """Sizes of the pictures that came with an answer."""
    found = re.findall(r'<img src="data:image/webp;base64,([^"]+)" alt="(?:The region|Searched)', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))).size for data in found]


class TestStored:
    def test_a_region_finds_what_it_shows_and_its_crop_stands_beside_it(self, engineer, library, image):
        for region, place in (("0,0,0.5,1", 1), ("0.5,0,0.5,1", 5)):
            answer = engineer.get(reverse("image-similar", args=[image.pk]), {"region": region})
            page = answer.content.decode()
            assert answer.context["result"].matches[0].case == library[place]
            assert seen(page) == [(160, 160)]
            assert f'data-region-value="{region}"' in page
            assert f'href="{reverse("image-similar", args=[image.pk])}">' in page, "the whole picture again"

    def test_the_own_case_is_never_in_the_answer(self, engineer, library, image):
        for region in ("", "0.5,0,0.5,1"):
            answer = engineer.get(reverse("image-similar", args=[image.pk]), {"region": region})
            assert {match.case for match in answer.context["result"].matches} == set(library)

    def test_the_whole_picture_has_no_crop_and_leads_to_the_other_views(self, engineer, image):
        page = engineer.get(reverse("image-similar", args=[image.pk])).content.decode()
        assert seen(page) == []
        other = image.case.images.last()
        assert f'href="{reverse("image-similar", args=[other.pk])}"' in page
        assert 'aria-current="page"' in page

    @pytest.mark.parametrize(
        ("region", "sentence"),
        [
            ("left", "is not four numbers"),
            ("0.9,0,0.5,1", "reaches out of the picture"),
            ("0,0,0.01,0.5", "each side needs at least 16"),
            ("\ud800", "is not four numbers"),
        ],
    )
    def test_a_region_that_can_t_be_used_is_refused_with_a_sentence(self, engineer, image, region, sentence):
        sent = {"region": region.encode("utf-8", "surrogatepass")}
        answer = engineer.get(reverse("image-similar", args=[image.pk]), sent)
        assert answer.status_code == 422
        assert sentence in answer.content.decode()
        assert "result" not in answer.context

    def test_the_triage_page_offers_it(self, engineer, image):
        page = engineer.get(image.case.get_triage_url()).content.decode()
        assert "Search a region" in page
        assert f'action="{reverse("image-similar", args=[image.pk])}"' in page
        assert 'data-width="320" data-height="160"' in page

    def test_other_code_may_ask_for_a_region(self, library, image):
        """An inspection asks with the hottest box of a map of faults."""
        result = region_search(image, Region(0.5, 0, 0.5, 1), top_k=1)
        assert result.matches[0].case == library[5]
        assert result.seen[0].size == (160, 160)
        assert set(result.timings) == {"load", "embed", "search", "classify"}

    def test_a_small_region_is_seen_with_all_its_pixels(self):
        case = case_create(pictures=[Picture("large.jpg", factories.image_bytes(1, "JPEG", (1600, 1200)))])
        result = region_search(case.images.get(), Region(0.5, 0.5, 0.1, 0.1))
        assert result.seen[0].size == (160, 120)


class TestNotStored:
    def post(self, client, *files, **fields):
        uploads = [factories.upload(data, f"{place}.png") for place, data in enumerate(files)]
        return client.post(reverse("picture-search"), {"images": uploads, **fields})

    def test_a_picture_is_searched_with_and_not_stored(self, engineer, library):
        before = ImageFile.objects.count()
        answer = self.post(engineer, drawn("scratch", 1).data)
        assert answer.status_code == 200
        assert answer.context["result"].matches[0].case == library[1]
        page = answer.content.decode()
        assert page.count("data-match>") == 6
        assert seen(page) == [(160, 160)]
        assert ImageFile.objects.count() == before

    def test_only_the_region_is_looked_at(self, engineer, library):
        answer = self.post(engineer, two_sided(), region="0.5,0,0.5,1")
        assert answer.context["result"].matches[0].case == library[5]
        assert seen(answer.content.decode()) == [(160, 160)]

    def test_filters_narrow_the_library(self, engineer, library):
        answer = self.post(engineer, drawn("scratch", 1).data, category="CRZ")
        assert {match.case for match in answer.context["result"].matches} == set(library[3:])

    def test_a_script_gets_the_answer_alone_even_a_refusal(self, engineer, library):
        answer = engineer.post(
            reverse("picture-search"),
            {"images": [factories.upload(b"just words", "notes.png")]},
            headers={"HX-Request": "true"},
        )
        page = answer.content.decode()
        assert (answer.status_code, "<html" in page) == (200, False)
        assert "notes.png" in page

    @pytest.mark.parametrize(
        ("files", "fields", "sentence"),
        [
            ([], {}, "No picture was sent"),
            ([b"just words"], {}, "is plain text"),
            (
                [two_sided(), two_sided()],
                {"region": "0,0,0.5,1"},
                "A region belongs to one picture, and 2 were sent",
            ),
            ([two_sided()], {"region": "0,0,0.5,2"}, "reaches out of the picture"),
            ([two_sided()], {"part": "none such"}, "No part “none such” is known"),
        ],
    )
    def test_nonsense_is_named(self, engineer, files, fields, sentence):
        answer = self.post(engineer, *files, **fields)
        assert answer.status_code == 422
        assert sentence in answer.content.decode()

    def test_nothing_to_find_says_why(self, engineer, library):
        factories.part("UNUSED")
        answer = self.post(engineer, two_sided(), part="UNUSED").content.decode()
        assert "No confirmed picture fits these filters" in answer

    def test_an_empty_library_says_so(self, engineer):
        assert "The library is empty" in self.post(engineer, two_sided()).content.decode()
