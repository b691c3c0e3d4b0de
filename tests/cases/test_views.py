"""The pages of the knowledge base: intake, case, resolution, catalogue."""

import io
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image

from cases.models import ActionTaken, Case, CategoryExample, ImageFile
from tests import factories

pytestmark = pytest.mark.django_db


def _client(client, role="Engineer"):
    client.force_login(factories.user(role))
    return client


def _files(count=1, seed=1):
    return [factories.upload(name=f"view{place}.png", seed=seed + place) for place in range(count)]


def _post(client, files, json=True, **fields):
    headers = {"accept": "application/json"} if json else {}
    return client.post(reverse("case-create"), {"kind": "field", "images": files, **fields}, headers=headers)


class TestIntake:
    def test_creates_a_case_with_roles_in_order_and_leads_to_triage(self, client):
        part = factories.part("4711 08", revision="B", name="Cover")
        customer = factories.customer("ACME")
        answer = _post(
            _client(client),
            _files(3),
            role=["overview", "close_up", "scale"],
            part="4711 08 rev. B Cover",
            customer="acme",
            customer_reference="RMA 7",
        )
        case = Case.objects.get()
        assert answer.status_code == 201
        assert answer.json()["next"] == case.get_triage_url()
        assert "validate" in answer["Server-Timing"]
        assert (case.part, case.customer, case.customer_reference) == (part, customer, "RMA 7")
        assert [image.role for image in case.images.order_by("position")] == ["overview", "close_up", "scale"]

    def test_works_without_a_script(self, client):
        answer = _post(_client(client), _files(), json=False)
        assert answer.status_code == 302
        assert answer.url == Case.objects.get().get_triage_url()

    def test_names_the_bad_file_and_keeps_the_rest(self, client):
        bad = SimpleUploadedFile("notes.jpg", b"just words")
        answer = _post(_client(client), [*_files(), bad], title="Kept")
        assert answer.status_code == 422
        good_sentence, bad_sentence = answer.json()["files"]
        assert good_sentence == ""
        assert "notes.jpg" in bad_sentence
        assert not Case.objects.exists()
        assert not ImageFile.objects.exists()

    def test_shows_the_sentence_and_the_values_without_a_script(self, client):
        bad = SimpleUploadedFile("notes.jpg", b"just words")
        answer = _post(_client(client), [bad], json=False, title="Kept title")
        assert answer.status_code == 422
        page = answer.content.decode()
        assert "notes.jpg" in page
        assert "Kept title" in page

    @pytest.mark.parametrize("count", [0, 11])
    def test_refuses_too_few_and_too_many_pictures(self, client, count):
        answer = _post(_client(client), _files(count))
        assert answer.status_code == 422
        assert "10" in answer.json()["errors"]["images"][0]
        assert not Case.objects.exists()

    def test_unknown_parts_are_named(self, client):
        answer = _post(_client(client), _files(), part="no such part")
        assert answer.status_code == 422
        assert "no such part" in answer.json()["errors"]["part"][0]

    def test_sums_that_cannot_be_are_refused(self, client):
        answer = _post(_client(client), _files(), quantity_complained="2", quantity_confirmed="3")
        assert answer.status_code == 422
        assert "More parts are confirmed" in str(answer.json()["errors"])

    def test_a_form_sent_twice_makes_one_case(self, client):
        token = str(uuid.uuid4())
        _client(client)
        first = _post(client, _files(), token=token)
        second = _post(client, _files(), token=token)
        assert first.json()["next"] == second.json()["next"]
        assert Case.objects.count() == 1

    def test_a_refused_form_may_be_sent_again(self, client):
        token = str(uuid.uuid4())
        _client(client)
        assert _post(client, _files(), token=token, part="unknown").status_code == 422
        assert _post(client, _files(), token=token).status_code == 201

    def test_viewers_are_told_that_they_may_not(self, client):
        _client(client, "Viewer")
        assert client.get(reverse("case-create")).status_code == 403
        answer = _post(client, _files())
        assert answer.status_code == 403
        assert "may not create cases" in answer.content.decode()
        assert not Case.objects.exists()


class TestCasePage:
    def test_shows_head_pictures_resolution_and_history(self, client):
        category = factories.category("PIT", name="Pitting")
        case = factories.case(pictures=2, labelled=category, title="Pits on the flange", lot="L-77")
        factories.resolution(case, root_cause="Worn nozzle")
        page = _client(client, "Viewer").get(case.get_absolute_url()).content.decode()
        for expected in (
            "Pits on the flange",
            "L-77",
            "Pitting",
            'id="resolution"',
            "Worn nozzle",
            "The edge was torn",
        ):
            assert expected in page
        assert case.images.first().get_thumbnail_url() in page
        assert "confirmed category" in page

    def test_offers_only_allowed_steps_and_takes_them(self, client):
        case = factories.case()
        _client(client)
        page = client.get(case.get_absolute_url()).content.decode()
        assert 'value="triaged"' in page
        assert 'value="closed"' not in page
        client.post(reverse("case-move", args=[case.number]), {"to_status": "triaged", "note": "Seen"})
        case.refresh_from_db()
        assert case.status == "triaged"
        assert case.transitions.last().note == "Seen"

    def test_a_step_that_is_not_allowed_says_why(self, client):
        case = factories.case()
        answer = _client(client).post(
            reverse("case-move", args=[case.number]), {"to_status": "closed"}, follow=True
        )
        assert "from there it can go to" in answer.content.decode()
        case.refresh_from_db()
        assert case.status == "new"

    def test_a_duplicate_names_its_original(self, client):
        original, case = factories.case(), factories.case()
        _client(client).post(
            reverse("case-move", args=[case.number]),
            {"to_status": "duplicate", "duplicate_of": original.number.lower()},
        )
        case.refresh_from_db()
        assert (case.status, case.duplicate_of) == ("duplicate", original)

    def test_head_data_can_be_changed(self, client):
        case = factories.case(title="Old")
        url = reverse("case-edit", args=[case.number])
        _client(client)
        assert "Old" in client.get(url).content.decode()
        client.post(url, {"title": "New title", "kind": "internal"})
        case.refresh_from_db()
        assert (case.title, case.kind) == ("New title", "internal")

    def test_pictures_can_be_added_up_to_ten(self, client):
        case = factories.case(pictures=9, seed=500)
        url = reverse("case-images-add", args=[case.number])
        _client(client)
        client.post(url, {"images": _files(1, seed=600)})
        assert case.images.count() == 10
        answer = client.post(url, {"images": _files(1, seed=700)}, follow=True)
        assert "takes 10 at most" in answer.content.decode()
        assert case.images.count() == 10


class TestResolution:
    def _data(self, **extra):
        return {
            "summary": "Nozzles changed.",
            "root_cause": "Worn nozzle",
            "disposition": "rework",
            "why_1": "Scale was rolled in",
            "why_2": "The descaler missed it",
            "actions-TOTAL_FORMS": "1",
            "actions-INITIAL_FORMS": "0",
            **extra,
        }

    def test_is_written_as_a_whole(self, client):
        case = factories.case()
        action = factories.corrective_action("ACT-NOZZLE", title="Change the nozzles")
        answer = _client(client).post(
            reverse("resolution-edit", args=[case.number]),
            self._data(
                **{
                    "actions-0-action": "ACT-NOZZLE Change the nozzles",
                    "actions-0-effectiveness": "effective",
                    "actions-0-done_on": "2026-03-01",
                    "actions-0-evidence": "20 good coils",
                }
            ),
        )
        assert answer.status_code == 302
        resolution = case.resolution
        assert answer.url == resolution.get_absolute_url()
        assert resolution.root_cause == "Worn nozzle"
        assert [step.answer for step in resolution.why_steps.all()] == [
            "Scale was rolled in",
            "The descaler missed it",
        ]
        assert resolution.actions_taken.get().action == action

    def test_nothing_is_saved_when_an_action_is_judged_before_it_was_done(self, client):
        case = factories.case()
        factories.corrective_action("ACT-NOZZLE")
        answer = _client(client).post(
            reverse("resolution-edit", args=[case.number]),
            self._data(**{"actions-0-action": "ACT-NOZZLE", "actions-0-effectiveness": "effective"}),
        )
        assert answer.status_code == 422
        assert "judged after it was done" in answer.content.decode()
        assert not ActionTaken.objects.exists()
        case.refresh_from_db()
        assert not hasattr(case, "resolution")

    def test_an_emptied_why_is_taken_away_and_the_rest_is_kept(self, client):
        resolution = factories.resolution(factories.case())
        taken = resolution.actions_taken.get()
        answer = _client(client).post(
            reverse("resolution-edit", args=[resolution.case.number]),
            self._data(
                **{
                    "version": resolution.updated_at.isoformat(),
                    "why_1": "",
                    "actions-INITIAL_FORMS": "1",
                    "actions-0-id": taken.pk,
                    "actions-0-action": str(taken.action),
                    "actions-0-effectiveness": "effective",
                    "actions-0-done_on": "2026-01-02",
                }
            ),
        )
        assert answer.status_code == 302
        assert [step.answer for step in resolution.why_steps.all()] == ["The descaler missed it"]
        assert resolution.actions_taken.get() == taken

    def test_needs_the_permission(self, client):
        case = factories.case()
        assert (
            _client(client, "Viewer").get(reverse("resolution-edit", args=[case.number])).status_code == 403
        )


class TestCatalogue:
    def test_a_category_shows_examples_pictures_and_the_actions_that_worked(self, client):
        category = factories.category("PIT", name="Pitting", definition="Round pits.")
        child = factories.category("PIT-DEEP", name="Deep pitting", parent=category)
        case = factories.case(labelled=child)
        taken = factories.resolution(case).actions_taken.get()
        CategoryExample.objects.create(category=category, file=case.images.get().file, verdict="limit")
        page = _client(client, "Viewer").get(category.get_absolute_url()).content.decode()
        for expected in (
            "Round pits.",
            "Deep pitting",
            "Limit sample",
            taken.action.title,
            "1 of 1",
            case.number,
        ):
            assert expected in page

    def test_lists_show_counts_and_effectiveness(self, client):
        category = factories.category("PIT", name="Pitting")
        factories.category("PIT-DEEP", name="Deep pitting", parent=category)
        taken = factories.resolution(factories.case(pictures=2, labelled=category)).actions_taken.get()
        _client(client, "Viewer")
        rows = client.get(reverse("category-list")).context["categories"]
        assert [(row.code, row.tree_depth, row.image_count, row.case_count) for row in rows] == [
            ("PIT", 0, 2, 1),
            ("PIT-DEEP", 1, 0, 0),
        ]
        assert "1 of 1" in client.get(reverse("action-list")).content.decode()
        page = client.get(taken.action.get_absolute_url()).content.decode()
        assert taken.resolution.get_absolute_url() in page

    def test_options_are_found_by_any_piece(self, client):
        factories.part("4711-08", name="Cover")
        factories.part("0815", name="Flange")
        answer = _client(client, "Viewer").get(reverse("option-list", args=["part"]), {"part": "flan"})
        assert "0815 Flange" in answer.content.decode()
        assert "4711" not in answer.content.decode()
        assert client.get(reverse("option-list", args=["user"])).status_code == 404


class TestMedia:
    def test_sends_pictures_that_nothing_can_run_in(self, client):
        image = factories.case().images.get()
        _client(client, "Viewer")
        answer = client.get(image.get_thumbnail_url())
        assert answer["Content-Type"] == "image/webp"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer["Content-Security-Policy"]
        assert "default-src 'none'" in answer["Content-Security-Policy"]
        assert "private" in answer["Cache-Control"]
        assert max(Image.open(io.BytesIO(b"".join(answer.streaming_content))).size) <= 256

    def test_the_original_comes_byte_for_byte(self, client):
        image = factories.case(seed=42).images.get()
        answer = _client(client, "Viewer").get(image.get_original_url())
        assert b"".join(answer.streaming_content) == factories.image_bytes(42)
        assert answer["Content-Type"] == "image/png"
        assert answer["Content-Disposition"].startswith("inline")

    def test_an_unchanged_picture_is_not_sent_again(self, client):
        image = factories.case().images.get()
        _client(client, "Viewer")
        etag = client.get(image.get_preview_url())["ETag"]
        answer = client.get(image.get_preview_url(), headers={"if-none-match": etag})
        assert answer.status_code == 304
        assert "sandbox" in answer["Content-Security-Policy"]

    def test_people_who_may_not_see_the_case_find_nothing(self, client):
        image = factories.case().images.get()
        assert client.get(image.get_thumbnail_url()).status_code == 302
        client.force_login(factories.user())
        for url in (image.get_thumbnail_url(), image.get_preview_url(), image.get_original_url()):
            assert client.get(url).status_code == 404

    def test_examples_follow_the_catalogue(self, client):
        image = factories.case().images.get()
        example = CategoryExample.objects.create(category=factories.category(), file=image.file)
        url = reverse("example-preview", args=[example.pk])
        client.force_login(factories.user())
        assert client.get(url).status_code == 404
        assert _client(client, "Viewer").get(url).status_code == 200
