"""The queue, triage and library pages, with the network that ships."""

import io
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from cases.models import Case
from cases.services.intake import Picture, case_create
from cases.services.workflow import case_transition
from tests import factories
from tests.vision.test_diagnosis import drawn, known_case
from vision.models import Decision, Diagnosis, EmbeddingFailure
from vision.services.diagnosis import case_diagnose
from vision.services.embedding import images_embed, space_current

pytestmark = pytest.mark.django_db


@pytest.fixture
def scratch():
    return factories.category("SCR", name="Scratch", definition="A line left by something hard.")


@pytest.fixture
def crazing():
    return factories.category("CRZ", name="Crazing")


@pytest.fixture
def library(scratch, crazing):
    cases = [known_case(scratch, "scratch", seed) for seed in range(4)]
    cases += [known_case(crazing, "crazing", seed) for seed in range(4)]
    images_embed(case.images.get().pk for case in cases)
    return cases


def again(kind, seed, quality):
    """The same fault photographed once more: other bytes, nearly the same pixels."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(drawn(kind, seed).data)).save(buffer, "JPEG", quality=quality)
    return Picture(f"{kind}{seed}-{quality}.jpg", buffer.getvalue())


@pytest.fixture
def new_case():
    return case_create(pictures=[again("scratch", 0, 90)], bulk=True, title="Line on the cover")


@pytest.fixture
def engineer(client):
    account = factories.user("Engineer", "eva")
    client.force_login(account)
    return account


def _queue(client, **filters):
    answer = client.get(reverse("case-list"), filters)
    assert answer.status_code == 200
    return [case.number for case in answer.context["page"]]


class TestQueue:
    def test_tabs_divide_the_cases(self, client, engineer):
        new = factories.case()
        mine = factories.case(owner=engineer)
        case_transition(mine, "triaged")
        closed = factories.case(status="closed")
        assert _queue(client, view="triage") == [new.number]
        assert _queue(client, view="mine") == [mine.number]
        assert _queue(client, view="open") == [mine.number, new.number]
        assert _queue(client, view="closed") == [closed.number]
        assert set(_queue(client, view="all")) == {mine.number, new.number, closed.number}

    def test_an_exact_number_leads_to_its_case_whatever_its_status(self, client, engineer, new_case):
        assert client.get("/", {"q": new_case.number.lower()})["Location"] == new_case.get_absolute_url()

    def test_opens_with_what_waits_else_with_what_is_open(self, client, engineer):
        case = factories.case()
        assert client.get("/").context["tab"] == "triage"
        case_transition(case, "triaged")
        assert client.get("/").context["tab"] == "open"

    def test_finds_by_beginnings_of_words_and_by_pieces_of_numbers(self, client, engineer):
        part = factories.part("4711-0815", name="Bremsscheibe")
        case = factories.case(part=part, title="Riefen am Rand", lot="LX-99")
        factories.resolution(case, root_cause="Spänefalle verstopft")
        factories.case(title="Another one")
        for text in ("brems", "riefen rand", "0815", case.number[-4:], "x-9", "verstopf", "RIEF"):
            assert case.number in _queue(client, q=text), text
        assert _queue(client, q="riefen nowhere") == []
        assert _queue(client, q="':*&|!") == []

    @pytest.mark.parametrize("field", ["kind", "part", "customer", "status", "owner"])
    def test_filters_narrow(self, client, engineer, field):
        part, customer = factories.part("P-X"), factories.customer("C-X")
        wanted = factories.case(kind="supplier", part=part, customer=customer, owner=engineer)
        case_transition(wanted, "triaged")
        factories.case()
        value = {"kind": "supplier", "part": "P-X", "customer": "C-X", "status": "triaged", "owner": "me"}[
            field
        ]
        assert _queue(client, view="open", **{field: value}) == [wanted.number]

    def test_filters_by_days(self, client, engineer):
        old = factories.case(reported_at=timezone.now() - timedelta(days=30))
        new = factories.case()
        day = (timezone.localtime() - timedelta(days=10)).date().isoformat()
        assert _queue(client, reported_after=day) == [new.number]
        assert _queue(client, reported_before=day) == [old.number]

    def test_a_wrong_filter_says_so_instead_of_showing_everything(self, client, engineer):
        factories.case()
        answer = client.get(reverse("case-list"), {"part": "no such part"})
        assert "No part “no such part” is known" in answer.content.decode()
        assert not answer.context["page"].object_list

    def test_category_finds_confirmed_and_suggested_cases(self, client, engineer, library, scratch, new_case):
        assert case_diagnose(new_case).category == scratch
        assert _queue(client, view="triage", category="SCR") == [new_case.number]
        assert _queue(client, view="triage", category="CRZ") == []
        assert len(_queue(client, view="closed", category="Scratch")) == 4
        page = client.get(reverse("case-list")).content.decode()
        assert "probably" in page
        assert "Scratch" in page

    def test_htmx_gets_the_results_alone(self, client, engineer):
        case = factories.case()
        answer = client.get(reverse("case-list"), headers={"hx-request": "true", "hx-target": "results"})
        page = answer.content.decode()
        assert case.number in page
        assert "<html" not in page

    def test_says_what_to_do_when_there_is_nothing(self, client, engineer):
        assert "No cases yet" in client.get("/").content.decode()
        factories.case()
        assert "Nothing in this view fits these filters" in client.get("/", {"q": "zzz"}).content.decode()

    def test_costs_no_query_per_case(self, client, engineer, django_assert_max_num_queries):
        for _ in range(12):
            factories.case()
        with django_assert_max_num_queries(25):
            client.get("/")


class TestTriage:
    def test_waits_until_the_worker_has_looked(self, client, engineer, library, new_case):
        page = client.get(new_case.get_triage_url()).content.decode()
        poll = reverse("case-verdict", args=[new_case.number])
        assert f'hx-get="{poll}"' in page
        assert client.get(poll).status_code == 204
        case_diagnose(new_case)
        answer = client.get(poll)
        assert answer.status_code == 200
        assert 'hx-trigger="load' not in answer.content.decode()
        assert "render;dur=" in answer["Server-Timing"]

    def test_says_what_to_check_when_it_takes_long(self, client, engineer, new_case):
        Case.objects.filter(pk=new_case.pk).update(updated_at=timezone.now() - timedelta(seconds=30))
        poll = reverse("case-verdict", args=[new_case.number])
        assert "whether the worker is running" in client.get(poll).content.decode()
        assert client.get(poll, {"late": "1"}).status_code == 204

    def test_says_that_a_picture_cannot_be_looked_at(self, client, engineer, new_case):
        image = new_case.images.get()
        EmbeddingFailure.objects.create(image=image, space=space_current(), error="It is damaged.")
        assert "It is damaged." in client.get(new_case.get_triage_url()).content.decode()

    def test_shows_the_verdict_and_similar_cases_with_their_resolutions(
        self, client, engineer, library, scratch, new_case
    ):
        for case in library:
            factories.resolution(case, root_cause=f"Cause of {case.number}")
        diagnosis = case_diagnose(new_case)
        page = client.get(new_case.get_triage_url()).content.decode()
        assert diagnosis.reason in page
        assert "Scratch" in page
        assert "A line left by something hard." in page
        assert page.count("data-match") == 8
        for match in diagnosis.matches:
            assert f"/cases/{match['number']}#resolution" in page

    def test_a_decision_labels_teaches_and_is_shown(self, client, engineer, library, scratch, new_case):
        diagnosis = case_diagnose(new_case)
        answer = client.post(
            reverse("case-decide", args=[new_case.number]),
            {"verdict": "fault", "category": "SCR", "diagnosis": diagnosis.pk},
            headers={"hx-request": "true"},
        )
        assert "Confirmed" in answer.content.decode()
        assert "now part of the library" in answer.content.decode()
        decision = Decision.objects.get()
        assert (decision.category, decision.made_by, decision.diagnosis) == (scratch, engineer, diagnosis)
        new_case.refresh_from_db()
        assert new_case.status == "triaged"
        assert new_case.images.get().confirmed_category == scratch
        next_case = case_create(pictures=[again("scratch", 0, 70)], bulk=True)
        assert new_case.number in {match["number"] for match in case_diagnose(next_case).matches}

    def test_a_second_decision_replaces_the_first(self, client, engineer, library, crazing, new_case):
        case_diagnose(new_case)
        url = reverse("case-decide", args=[new_case.number])
        client.post(url, {"verdict": "no_defect"})
        assert new_case.images.get().confirmed_category is None
        answer = client.post(url, {"verdict": "fault", "category": "Crazing"}, follow=True)
        assert "Set to <strong>Crazing</strong> by eva" in answer.content.decode()
        assert new_case.images.get().confirmed_category == crazing

    def test_two_tabs_do_not_overwrite_each_other(self, client, engineer, library, crazing, new_case):
        case_diagnose(new_case)
        url = reverse("case-decide", args=[new_case.number])
        assert 'name="after" value=""' in client.get(new_case.get_triage_url()).content.decode()
        client.post(url, {"verdict": "fault", "category": "CRZ", "after": ""})
        first = Decision.objects.get()
        answer = client.post(url, {"verdict": "no_defect", "after": ""}, headers={"hx-request": "true"})
        page = answer.content.decode()
        assert "eva confirmed Crazing meanwhile (" in page
        assert "Set to <strong>Crazing</strong>" in page
        assert f'name="after" value="{first.pk}"' in page
        assert new_case.images.get().confirmed_category == crazing
        client.post(url, {"verdict": "no_defect", "after": first.pk})
        assert new_case.images.get().confirmed_category is None

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [
            ({"verdict": "fault"}, "Choose the category"),
            ({"verdict": "fault", "category": "nonsense"}, "nonsense"),
            ({"verdict": "maybe"}, "maybe"),
        ],
    )
    def test_a_wrong_decision_is_refused_with_a_sentence(
        self, client, engineer, library, new_case, data, sentence
    ):
        case_diagnose(new_case)
        url = reverse("case-decide", args=[new_case.number])
        answer = client.post(url, data, headers={"hx-request": "true"})
        assert sentence in answer.content.decode()
        assert sentence in client.post(url, data, follow=True).content.decode()
        assert not Decision.objects.exists()

    def test_a_suggestion_of_another_case_is_not_recorded(self, client, engineer, library, new_case):
        other = case_create(pictures=[drawn("crazing", 95)], bulk=True)
        foreign = case_diagnose(other)
        client.post(
            reverse("case-decide", args=[new_case.number]), {"verdict": "unknown", "diagnosis": foreign.pk}
        )
        assert Decision.objects.get().diagnosis is None

    def test_an_empty_library_asks_for_its_first_picture(self, client, engineer, new_case):
        assert case_diagnose(new_case).outcome == Diagnosis.Outcome.UNKNOWN
        page = client.get(new_case.get_triage_url()).content.decode()
        assert "Nothing known looks like this" in page
        assert "becomes its first" in page

    def test_leads_through_the_new_cases(self, client, engineer):
        first, second, third = (factories.case() for _ in range(3))
        case_transition(second, "triaged")
        page = client.get(third.get_triage_url())
        assert page.context["next_case"] == first
        assert client.get(first.get_triage_url()).context["next_case"] == third

    def test_viewers_see_no_buttons_and_may_not_decide(self, client, new_case):
        client.force_login(factories.user("Viewer"))
        url = reverse("case-decide", args=[new_case.number])
        assert url not in client.get(new_case.get_triage_url()).content.decode()
        answer = client.post(url, {"verdict": "unknown"})
        assert answer.status_code == 403
        assert "may not label pictures" in answer.content.decode()
        assert not Decision.objects.exists()


def test_the_library_page_counts(client, engineer, library, new_case):
    page = client.get(reverse("library-status"))
    assert (page.context["labelled"], page.context["embedded"], page.context["images"]) == (8, 8, 9)
    assert space_current().backbone in page.content.decode()


@pytest.mark.parametrize(
    "name", ["case-list", "case-create", "category-list", "action-list", "library-status"]
)
def test_strangers_log_in_first_and_nobody_in_particular_is_told(client, name):
    answer = client.get(reverse(name))
    assert answer.status_code == 302
    assert answer.url.startswith(reverse("login"))
    client.force_login(factories.user())
    answer = client.get(reverse(name))
    assert answer.status_code == 403
    assert "Ask an administrator" in answer.content.decode()
