"""The pages of inspectors: form, pictures, training and evaluation, versions, and the charts."""

import pytest
from django.urls import reverse

from cases.models import Job
from tests import factories
from tests.vision.inspection_rows import drawn_part, made_evaluation, made_version, stored
from vision.models import Inspector, InspectorPicture
from vision.services.inspection.evaluation import EVALUATE_KIND
from vision.services.inspection.inspectors import inspector_create
from vision.services.inspection.training import TRAIN_KIND
from vision.views.inspection.charts import evaluation_charts

pytestmark = pytest.mark.django_db

FIELDS = {
    "name": "Cover 17", "part": "", "description": "Upper side", "backbone": "faultnet", "resolution": "",
    "rule": "conformal", "alpha": "0.02", "hold_out": "parts",
}  # fmt: skip


@pytest.fixture
def manager(client):
    client.force_login(factories.user("Knowledge manager", "kim"))
    return client


@pytest.fixture
def inspector():
    return inspector_create("Cover")


@pytest.fixture
def queued(monkeypatch):
    """Names of tasks that were sent to workers, none of which runs."""
    sent = []
    monkeypatch.setattr("cases.services.jobs.job_enqueue", lambda job: sent.append(job.kind))
    return sent


def page_of(answer) -> str:
    return answer.content.decode()


def drawn(kind: str, seed: int, name: str | None = None):
    return factories.upload(drawn_part(kind, seed)[0], name or f"{kind}{seed}.png")


class TestForm:
    def test_an_inspector_is_made_and_changed(self, manager):
        part = factories.part("4711-08")
        answer = manager.post(reverse("inspector-create"), FIELDS | {"part": "4711-08"})
        made = Inspector.objects.get()
        assert answer["Location"] == made.get_absolute_url()
        assert (made.part, made.alpha, made.created_by.username) == (part, 0.02, "kim")
        edit = reverse("inspector-edit", args=[made.pk])
        assert 'value="Cover 17"' in page_of(manager.get(edit))
        manager.post(edit, FIELDS | {"rule": "percentile"})
        made.refresh_from_db()
        assert (made.rule, made.part) == ("percentile", None)

    def test_a_name_that_is_a_part_number_takes_the_part(self, manager):
        part = factories.part("Cover 17")
        manager.post(reverse("inspector-create"), FIELDS)
        assert Inspector.objects.get().part == part

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"name": ""}, "This field is required"),
            ({"name": "Cover"}, "with this Name already exists"),
            ({"alpha": "0.9"}, "less than or equal to 0.5"),
            ({"resolution": "2048"}, "less than or equal to 1024"),
            ({"part": "nothing"}, "No part “nothing” is known"),
            ({"backbone": "guess"}, "Select a valid choice"),
        ],
    )
    def test_what_is_wrong_stands_at_its_field(self, manager, inspector, fields, sentence):
        answer = manager.post(reverse("inspector-create"), FIELDS | fields)
        assert answer.status_code == 422
        assert sentence in page_of(answer)
        other = inspector_create("Lid")
        answer = manager.post(reverse("inspector-edit", args=[other.pk]), FIELDS | fields)
        assert sentence in page_of(answer)
        assert "<h1>Edit Lid</h1>" in page_of(answer)


class TestPictures:
    def test_many_are_added_and_one_is_taken_away(self, manager, inspector):
        url = reverse("inspector-pictures", args=[inspector.pk, "fit"])
        files = [drawn("none", 1), drawn("none", 2), drawn("none", 1, "again.png")]
        page = page_of(manager.post(url, {"images": files}, follow=True))
        assert "2 pictures added." in page
        assert "1 of them was there already." in page
        row = inspector.pictures.get(name="none1.png")
        assert row.added_by.username == "kim"
        for size in ("thumbnail", "preview"):
            answer = manager.get(reverse(f"inspector-picture-{size}", args=[row.pk]))
            assert answer["Content-Type"] == "image/webp"
        answer = manager.post(reverse("inspector-picture-remove", args=[row.pk]), {"page": "1"})
        assert answer["Location"] == f"{url}?page=1"
        assert "none1.png is taken away" in page_of(manager.get(url))
        assert list(inspector.pictures.values_list("name", flat=True)) == ["none2.png"]
        assert row.file.original.storage.exists(row.file.original.name), "versions may show it as evidence"

    def test_test_pictures_have_a_defect_and_their_masks(self, manager, inspector):
        url = reverse("inspector-pictures", args=[inspector.pk, "test"])
        fields = {
            "images": [drawn("crack", 1), drawn("crack", 2)],
            "masks": [drawn("none", 1, "crack1_mask.png"), drawn("none", 2, "nobody.png")],
            "defect": " deep   crack ",
        }
        answer = manager.post(url, fields)
        assert answer.status_code == 422
        assert "The mask nobody.png belongs to none of the pictures" in page_of(answer)
        rows = {row.name: row for row in inspector.pictures.all()}
        assert {row.defect for row in rows.values()} == {"deep crack"}
        assert rows["crack1.png"].mask is not None
        assert rows["crack2.png"].mask is None
        page = page_of(manager.get(url))
        assert page.count("deep crack") >= 2
        assert ">mask<" in page

    @pytest.mark.parametrize("script", [True, False])
    def test_what_is_wrong_is_said_at_its_file(self, manager, inspector, script):
        url = reverse("inspector-pictures", args=[inspector.pk, "test"])
        headers = {"HX-Request": "true"} if script else {}

        def sent(**fields):
            answer = manager.post(url, fields, headers=headers)
            assert answer.status_code == (200 if script else 422)
            assert ("<html" in page_of(answer)) is not script
            return page_of(answer)

        assert "No picture was sent" in sent()
        assert "81" not in sent(images=[drawn("crack", 1)], defect="x" * 81)
        assert "80 characters at most" in sent(images=[drawn("crack", 1)], defect="x" * 81)
        assert "notes.png" in sent(images=[factories.upload(b"words", "notes.png")])
        small = factories.upload(factories.image_bytes(), "small.png")
        assert "draw it on the picture itself" in sent(
            images=[drawn("crack", 1)], masks=[small], defect="crack"
        )
        InspectorPicture.objects.create(inspector=inspector, file=stored(1), name="none1.png")
        assert "is there already as a good one to learn from" in sent(images=[drawn("none", 1)])

    def test_a_script_gets_a_line_for_its_picture(self, manager, inspector):
        url = reverse("inspector-pictures", args=[inspector.pk, "fit"])
        answer = manager.post(url, {"images": drawn("none", 1)}, headers={"HX-Request": "true"})
        assert 'data-added="new"' in page_of(answer)
        answer = manager.post(url, {"images": drawn("none", 1)}, headers={"HX-Request": "true"})
        assert 'data-added="known"' in page_of(answer)

    def test_there_are_two_kinds_of_pictures(self, manager, inspector):
        assert manager.get(f"/inspectors/{inspector.pk}/pictures/other").status_code == 404


class TestWork:
    def test_training_is_started_and_shows_its_progress(self, manager, queued):
        version = made_version("Cover")
        inspector = version.inspector
        InspectorPicture.objects.create(inspector=inspector, file=stored(2))
        page = page_of(manager.get(inspector.get_absolute_url()))
        assert "Train on 2 good pictures" in page
        manager.post(reverse("inspector-train", args=[inspector.pk]))
        assert queued == [TRAIN_KIND]
        Job.objects.update(state="running", total=100, progress=42, message="Looking at good parts")
        progress = reverse("inspector-progress", args=[inspector.pk])
        page = page_of(manager.get(progress))
        assert 'value="42"' in page
        assert "Looking at good parts" in page
        assert 'hx-trigger="every 2s"' in page
        # A second one is refused with a sentence, and when it is over, the page is loaded again.
        page = page_of(manager.post(reverse("inspector-train", args=[inspector.pk]), follow=True))
        assert "is being trained already" in page
        Job.objects.update(state="failed", error="The good picture abc can't be read.")
        assert manager.get(progress)["HX-Refresh"] == "true"
        page = page_of(manager.get(inspector.get_absolute_url()))
        assert "failed: The good picture abc can&#x27;t be read." in page

    def test_too_few_pictures_are_said(self, manager, inspector):
        page = page_of(manager.post(reverse("inspector-train", args=[inspector.pk]), follow=True))
        assert "has no pictures of good parts" in page

    def test_evaluation_is_started(self, manager, queued):
        version = made_version("Cover")
        url = reverse("inspector-version-evaluate", args=[version.pk])
        assert "has no test pictures" in page_of(manager.post(url, follow=True))
        InspectorPicture.objects.create(inspector=version.inspector, file=stored(2), purpose="test")
        assert "Evaluate version 1" in page_of(manager.get(version.inspector.get_absolute_url()))
        manager.post(url)
        assert queued == [EVALUATE_KIND]
        assert "Waiting for a worker" in page_of(manager.get(version.inspector.get_absolute_url()))

    def test_a_version_that_can_t_be_opened_is_not_activated(self, manager):
        made_version("Cover")
        version = made_version("Cover", state="ready")
        page = page_of(manager.get(version.inspector.get_absolute_url()))
        assert "Activate version 2" in page
        page = page_of(manager.post(reverse("inspector-version-activate", args=[version.pk]), follow=True))
        assert 'class="notice error"' in page
        version.refresh_from_db()
        assert version.state == "ready"

    def test_the_newest_version_comes_first(self, manager):
        for number in (1, 2, 3):
            version = made_version("Cover", number=number, state="active" if number == 3 else "retired")
        page = page_of(manager.get(version.inspector.get_absolute_url()))
        assert (
            page.index("Version 3</strong>")
            < page.index("Version 2</strong>")
            < page.index("Version 1</strong>")
        )

    def test_viewers_see_no_buttons(self, client):
        client.force_login(factories.user("Viewer"))
        version = made_version("Cover")
        made_version("Cover", state="ready")
        InspectorPicture.objects.create(inspector=version.inspector, file=stored(2))
        page = page_of(client.get(version.inspector.get_absolute_url()))
        for word in ("Activate", "Train on", "inspectors/1/edit"):
            assert word not in page
        assert "A knowledge manager may train it" in page
        page = page_of(client.get(reverse("inspector-pictures", args=[version.inspector_id, "fit"])))
        assert "Take away" not in page
        assert "data-add-pictures" not in page


class TestEvaluation:
    def test_the_newest_is_shown_with_its_failures(self, manager):
        version = made_version("Cover")
        made_evaluation(version)
        evaluation = made_evaluation(version)
        answer = manager.get(version.inspector.get_absolute_url())
        page = page_of(answer)
        assert answer.context["evaluation"] == evaluation
        for piece in (
            "ROC curve", "threshold 2.00", "False passes", "False fails", "One picture has no mask.",
            "pit &lt;b&gt;", "67 %", "33 %",
        ):  # fmt: skip
            assert piece in page, piece
        missed = evaluation.inspections.get(truth="crack", verdict="pass")
        rejected = evaluation.inspections.get(truth="", verdict="fail")
        for row in (missed, rejected):
            assert f'href="{row.get_absolute_url()}"' in page

    def test_an_older_one_can_be_chosen(self, manager):
        version = made_version("Cover")
        first = made_evaluation(version)
        made_evaluation(version)
        answer = manager.get(version.inspector.get_absolute_url(), {"evaluation": first.pk})
        assert answer.context["evaluation"] == first
        answer = manager.get(version.inspector.get_absolute_url(), {"evaluation": "x"})
        assert answer.context["evaluation"] != first

    def test_charts_without_a_threshold_or_without_defects(self, manager):
        measures = {"histogram": {"edges": [1.0, 1.0], "good": [3], "defective": [0]}, "by_defect": {}}
        charts = evaluation_charts(measures | {"threshold": None}, [("", 1.0)] * 3)
        assert charts["roc"] is None
        assert charts["histogram"]["threshold"] is None
        assert charts["strips"]["rows"][0]["marks"] == ["0.0"] * 3
        version = made_version("Cover", threshold=None)
        evaluation = made_evaluation(made_version("Plate"))
        evaluation.measures = measures | {
            "threshold": None, "counts": {"good": 3, "defective": 0}, "notes": [],
        }  # fmt: skip
        evaluation.version = version
        evaluation.save()
        page = page_of(manager.get(version.inspector.get_absolute_url()))
        assert "has no threshold" in page
        assert "ROC curve" not in page

    def test_the_list_says_the_state_of_each(self, manager):
        made_version("Cover")
        made_version("Plate", threshold=None)
        inspector_create("Lid")
        page = page_of(manager.get(reverse("inspector-list")))
        for word in ("Version 1", "No threshold", "Not trained"):
            assert word in page
