"""The pages of inspection: console, one inspection with its pictures and its case, history, report."""

import csv
import io

import pytest
from django.urls import reverse
from PIL import Image

from cases.models import Case
from cases.services.labels import images_label
from tests import factories
from tests.vision.inspection_rows import (
    drawn_part,
    forget,
    made_evaluation,
    made_inspection,
    made_version,
    trained_inspector,
)
from tests.vision.test_diagnosis import known_case
from vision.models import Inspection
from vision.services.embedding import images_embed
from vision.services.inspection.following import inspection_case_open, inspection_region
from vision.services.inspection.wording import p_value_words

pytestmark = pytest.mark.django_db
CONSOLE = "/inspection"


@pytest.fixture(scope="module")
def steel(django_db_setup, django_db_blocker):
    """An inspector that is trained once for all tests of this file."""
    with django_db_blocker.unblock():
        inspector = trained_inspector()
        yield inspector
        forget(inspector)


@pytest.fixture
def engineer(client):
    client.force_login(factories.user("Engineer", "eva"))
    return client


@pytest.fixture
def viewer(client):
    client.force_login(factories.user("Viewer", "vera"))
    return client


def part(kind: str, seed: int):
    return factories.upload(drawn_part(kind, seed)[0], f"{kind}{seed}.png")


def page_of(answer) -> str:
    return answer.content.decode()


class TestConsole:
    def test_a_scanned_code_chooses_the_inspector_of_its_part(self, engineer):
        version = made_version("Cover")
        version.inspector.part = factories.part("4711-08")
        version.inspector.save()
        answer = engineer.get(CONSOLE, {"part": " 4711-08 "})
        assert answer.context["inspector"].name == "Cover"
        assert 'name="part" value="Cover" form="inspect"' in page_of(answer)
        assert "autofocus" in page_of(answer)
        # It stays chosen the next time, and a script gets this part of the page alone.
        answer = engineer.get(CONSOLE, headers={"HX-Request": "true"})
        assert answer.context["inspector"].name == "Cover"
        assert "<html" not in page_of(answer)

    def test_a_code_that_nobody_knows_chooses_nothing(self, engineer):
        made_version("Cover")
        engineer.get(CONSOLE, {"part": "Cover"})
        answer = engineer.get(CONSOLE, {"part": "4711 <x>"})
        assert answer.context["inspector"] is None
        assert "No inspector is known by “4711 &lt;x&gt;”" in page_of(answer)
        assert "data-part-name" not in page_of(answer)

    def test_good_and_cracked_parts_in_one_form_without_scripts(self, engineer, steel):
        files = [part("none", 20), part("crack", 3), factories.upload(b"just words", "notes.png")]
        answer = engineer.post(CONSOLE, {"part": "steel", "serial_number": "S-1", "images": files})
        assert answer.status_code == 422, "one of them could not be inspected"
        good, cracked, refused = answer.context["outcomes"]
        assert (good.inspection.verdict, cracked.inspection.verdict) == ("pass", "fail")
        assert "notes.png" in refused.problem
        page = page_of(answer)
        assert "PASS" in page
        assert "FAIL" in page
        assert "NOT INSPECTED" in page
        assert "good parts" in page
        assert reverse("inspection-detail", args=[cracked.inspection.pk]) in page
        row = cracked.inspection
        assert (row.serial_number, row.created_by.username) == ("S-1", "eva")
        x, y, width, height = row.regions[0]["box"]
        ys, xs = (drawn_part("crack", 3)[1] > 0.5).nonzero()
        assert x <= xs.mean() <= x + width
        assert y <= ys.mean() <= y + height

    def test_a_script_gets_a_line_for_its_picture(self, engineer, steel):
        answer = engineer.post(
            CONSOLE, {"part": "steel", "images": part("crack", 2)}, headers={"HX-Request": "true"}
        )
        assert answer.status_code == 200
        assert page_of(answer).count("<li") == 1
        assert 'data-result="fail"' in page_of(answer)

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"part": "Cover"}, "No picture was sent"),
            ({"part": "nothing", "images": "x"}, "No inspector is known by “nothing”"),
            ({"part": "", "images": "x"}, "Choose the part first"),
            ({"part": "Cover", "images": "x", "serial_number": "9" * 61}, "has 61 characters"),
            ({"part": "Fresh", "images": "x"}, "Fresh has not been trained yet"),
        ],
    )
    @pytest.mark.parametrize("script", [True, False])
    def test_what_is_wrong_is_said(self, engineer, fields, sentence, script):
        made_version("Cover")
        made_version("Fresh").delete()
        if "images" in fields:
            fields = fields | {"images": factories.upload()}
        headers = {"HX-Request": "true"} if script else {}
        answer = engineer.post(CONSOLE, fields, headers=headers)
        assert answer.status_code == (200 if script else 422)
        assert ('data-result="problem"' in page_of(answer)) is (script or "Fresh" in sentence)
        assert sentence in page_of(answer)
        assert not Inspection.objects.exists()

    def test_a_version_whose_files_are_gone_says_what_to_do(self, engineer):
        made_version("Cover", weights_sha256="0" * 64)
        answer = engineer.post(CONSOLE, {"part": "Cover", "images": factories.upload()})
        assert answer.status_code == 422
        assert answer.context["outcomes"][0].problem

    def test_viewers_look_and_don_t_inspect(self, viewer):
        made_version("Cover")
        page = page_of(viewer.get(CONSOLE))
        assert "You may look at inspections" in page
        assert "data-inspect" not in page
        assert viewer.post(CONSOLE, {"part": "Cover"}).status_code == 403


class TestPage:
    def test_all_of_it_is_there(self, viewer):
        row = made_inspection(serial_number="S-77", notes=["Was compared without its colour."])
        page = page_of(viewer.get(row.get_absolute_url()))
        for piece in (
            "FAIL", "25 in 100 good parts look as bad", row.version.reason, "S-77", "without its colour",
            "<strong>64 x 52</strong> pixels", "2.50 away", 'data-box="64,60,64,52"', "Region 2",
        ):  # fmt: skip
            assert piece in page, piece
        assert 'points="250.0,234.4 496.1,234.4' in page, "the outline in units of the drawing"
        assert reverse("inspection-similar", args=[row.pk]) in page
        assert "Open a case" not in page, "viewers open none"

    def test_a_pass_has_no_similar_faults_and_an_undecided_no_bar(self, engineer):
        version = made_version(threshold=None, reason="No verdicts: too few good parts.")
        row = made_inspection(version, verdict="undecided", regions=[], notes=[version.reason])
        page = page_of(engineer.get(row.get_absolute_url()))
        assert "UNDECIDED" in page
        assert '<svg class="scorebar' not in page
        assert "inspection-similar" not in page
        assert "Similar past faults" not in page
        assert "No region stands out" in page

    def test_pictures(self, viewer):
        row = made_inspection()
        for name, arguments, mode in [
            ("inspection-picture", [], "WEBP"),
            ("inspection-thumbnail", [], "WEBP"),
            ("inspection-heat", [], "PNG"),
            ("inspection-overlay", [], "PNG"),
            ("inspection-region", [1], "WEBP"),
            ("inspection-region", [2], "WEBP"),
            ("inspection-evidence", [1, 1], "WEBP"),
            ("inspection-evidence", [0, 0], "WEBP"),
        ]:
            url = reverse(name, args=[row.pk, *arguments])
            answer = viewer.get(url)
            assert answer.status_code == 200, url
            content = b"".join(answer.streaming_content) if answer.streaming else answer.content
            with Image.open(io.BytesIO(content)) as image:
                assert image.format == mode
                if name == "inspection-heat":
                    assert image.mode == "RGBA"
                if name in ("inspection-heat", "inspection-overlay"):
                    assert image.size == (256, 256)
            again = viewer.get(url, headers={"If-None-Match": answer["ETag"]})
            assert again.status_code == 304
            assert answer["Cache-Control"].startswith("private")

    @pytest.mark.parametrize("arguments", [(3,), (0,), (1, 5), (9, 0)])
    def test_what_is_not_there_is_a_404(self, viewer, arguments):
        row = made_inspection()
        name = "inspection-region" if len(arguments) == 1 else "inspection-evidence"
        assert viewer.get(reverse(name, args=[row.pk, *arguments])).status_code == 404

    def test_a_good_picture_that_is_gone_is_a_404(self, viewer):
        row = made_inspection()
        Inspection.objects.filter(pk=row.pk).delete()
        row = made_inspection(made_version("Other", learned_from=["0" * 64]))
        assert viewer.get(reverse("inspection-evidence", args=[row.pk, 1, 0])).status_code == 404

    def test_the_picture_of_an_evaluation_says_its_truth(self, viewer):
        version = made_version()
        evaluation = made_evaluation(version)
        row = evaluation.inspections.filter(truth="pit <b>").get()
        page = page_of(viewer.get(row.get_absolute_url()))
        assert "defective (pit &lt;b&gt;)" in page

    def test_the_report_is_a_pdf(self, viewer):
        row = made_inspection(name="Prüfling 7 <Blech> Ł.png", notes=["It is <odd>."])
        answer = viewer.get(reverse("inspection-report", args=[row.pk]))
        assert answer["Content-Type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF-")
        assert answer.content.count(b"/Subtype /Image") >= 6

    def test_a_report_without_its_original_says_so(self, viewer):
        row = made_inspection(seed=55)
        viewer.get(reverse("inspection-thumbnail", args=[row.pk]))
        row.file.original.delete(save=False)
        answer = viewer.get(reverse("inspection-report", args=[row.pk]))
        assert answer.status_code == 200
        assert viewer.get(reverse("inspection-overlay", args=[row.pk])).status_code == 404


class TestFollowing:
    def test_a_case_is_opened_once_with_picture_and_part(self, engineer):
        version = made_version()
        version.inspector.part = factories.part("4711-08")
        version.inspector.save()
        row = made_inspection(version, serial_number="S-5")
        url = reverse("inspection-case", args=[row.pk])
        answer = engineer.post(url)
        case = Case.objects.get()
        assert answer["Location"] == case.get_triage_url()
        assert (case.part.number, case.serial_number, case.created_by.username) == ("4711-08", "S-5", "eva")
        assert case.images.get().file == row.file
        assert "64 x 52 pixels" in case.description
        assert engineer.post(url)["Location"] == case.get_triage_url()
        assert Case.objects.count() == 1
        page = page_of(engineer.get(row.get_absolute_url()))
        assert case.number in page
        assert "Open a case" not in page

    def test_a_case_needs_the_original(self, engineer):
        row = made_inspection(seed=56)
        row.file.original.delete(save=False)
        answer = engineer.post(reverse("inspection-case", args=[row.pk]), follow=True)
        assert "is missing: inspect the part again" in page_of(answer)
        assert not Case.objects.exists()

    def test_similar_faults_come_with_their_resolution_and_without_the_own_case(self, engineer):
        crack = factories.category("CRK", name="Crack")
        past = [known_case(crack, "crack", seed) for seed in range(4)]
        factories.resolution(past[0])
        row = made_inspection()
        own = inspection_case_open(row)
        images_label(own.images.all(), verdict="fault", category=crack)
        images_embed(image.pk for case in [*past, own] for image in case.images.all())
        answer = engineer.get(reverse("inspection-similar", args=[row.pk]))
        matches = answer.context["similar"].result.matches
        assert {match.case for match in matches} == set(past)
        page = page_of(answer)
        assert "4 of the 4 most similar show" in page
        assert "data-resolution" in page
        # Without scripts it comes with the page.
        assert "4 of the 4 most similar" in page_of(engineer.get(row.get_absolute_url(), {"similar": "1"}))

    def test_an_empty_library_says_so(self, engineer):
        row = made_inspection()
        page = page_of(engineer.get(reverse("inspection-similar", args=[row.pk])))
        assert "The library holds no confirmed picture yet" in page

    def test_a_region_is_searched_with_its_surroundings_inside_of_the_picture(self):
        row = made_inspection()
        region = inspection_region(row)
        assert (region.x * 256, region.width * 256) == pytest.approx((51, 90), abs=1)
        row.regions = [row.regions[1]]
        region = inspection_region(row)
        assert region.x == 0
        assert region.width * 256 >= 16
        row.regions = []
        assert inspection_region(row).is_whole

    def test_words_for_p_values(self):
        assert p_value_words(1 / 762) == "1 in 762 good parts looks as bad"
        assert p_value_words(0.43) == "43 in 100 good parts look as bad"
        assert p_value_words(1.0) == "All good parts look as bad or worse"
        assert p_value_words(None) == ""


class TestHistory:
    def test_filters_narrow_the_rows_and_evaluations_are_no_history(self, viewer):
        version, other = made_version("Cover"), made_version("Plate")
        failed = made_inspection(version, serial_number="AB-12")
        passed = made_inspection(other, verdict="pass", score=1.0)
        made_evaluation(version)
        url = reverse("inspection-history")

        def found(**query):
            return [row.pk for row in viewer.get(url, query).context["page"]]

        assert found() == [passed.pk, failed.pk]
        assert found(verdict="pass") == [passed.pk]
        assert found(inspector=version.inspector_id) == [failed.pk]
        assert found(serial="b-1") == [failed.pk]
        day = failed.created_at.date().isoformat()
        assert found(after="2001-01-01", before=day) == [passed.pk, failed.pk]
        assert found(before="2001-01-01") == []
        answer = viewer.get(url, {"after": "soon"})
        assert "Enter a valid date" in page_of(answer)
        page = page_of(viewer.get(url, headers={"HX-Request": "true", "HX-Target": "results"}))
        assert "<html" not in page

    def test_csv_has_the_filtered_rows(self, viewer):
        version = made_version("=Cover")
        made_inspection(version, serial_number="@S", notes=["One.", "Two."])
        made_inspection(version, verdict="pass", score=1.0, regions=[])
        url = reverse("inspection-export")
        answer = viewer.get(url, {"verdict": "fail"})
        assert answer.streaming
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
        assert len(rows) == 1
        assert rows[0]["inspector"] == "'=Cover", "no spreadsheet takes it for a formula"
        assert rows[0]["serial_number"] == "'@S"
        assert (rows[0]["score"], rows[0]["worst_box"]) == ("3.0", "64 60 64 52")
        assert rows[0]["notes"] == "One. Two."
        assert viewer.get(url, {"after": "soon"}).status_code == 302

    def test_an_empty_history_says_what_to_do(self, viewer):
        assert "Nothing has been inspected yet" in page_of(viewer.get(reverse("inspection-history")))
        answer = viewer.get(reverse("inspection-history"), {"verdict": "pass"})
        assert "No inspection fits these filters" in page_of(answer)


def test_nothing_of_a_row_leaves_the_page_unescaped(viewer):
    row = made_inspection(name="<script>x</script>.png", serial_number="<i>", notes=["<u>"])
    for url in (row.get_absolute_url(), reverse("inspection-history")):
        page = page_of(viewer.get(url))
        assert "<script>x" not in page
        assert "<i>" not in page
