"""Inspectors and inspections through the API: verdicts in one request, and all that leads to them."""

import io
from base64 import b64decode
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone
from PIL import Image

from cases.models import ImageFile, Job
from tests import factories
from tests.hostile import ACCEPTED, REFUSED
from tests.vision.inspected import HEIGHT, WIDTH, mask_picture, other_product, plate_picture
from vision.models import Inspection, Inspector, InspectorPicture, InspectorVersion
from vision.services.inspection.evaluation import EVALUATE_KIND
from vision.services.inspection.inspecting import pictures_inspect
from vision.services.inspection.training import TRAIN_KIND
from vision.services.inspection.versions import version_folder, versions_forget
from vision.tasks import evaluate_inspector, train_inspector

pytestmark = pytest.mark.django_db
INSPECT, INSPECTORS, INSPECTIONS = "/api/v1/inspect", "/api/v1/inspectors", "/api/v1/inspections"
FAULT = (70, 80)


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path


@pytest.fixture
def client():
    return factories.api_client(factories.user("Integration", "line-3"))


@pytest.fixture
def manager():
    return factories.api_client(factories.user("Knowledge manager", "maria"))


def sent(picture):
    return factories.upload(picture.data, picture.name)


def inspect(client, *pictures, **fields):
    files = [sent(picture) for picture in pictures]
    return client.post(INSPECT, {"images": files, "inspector": "Plate", **fields}, format="multipart")


def test_one_request_answers_with_verdicts_and_all_that_speaks_for_them(client, inspector):
    version = inspector.versions.get()
    answer = inspect(
        client, plate_picture(50), plate_picture(51, FAULT), other_product(), serial_number="SN 7"
    )
    assert answer.status_code == 201, answer.data
    good, bad, foreign = answer.data
    assert [one["verdict"] for one in answer.data] == ["pass", "fail", "fail"]
    for one in answer.data:
        assert (one["inspector"], one["inspector_id"], one["version"]) == ("Plate", inspector.pk, 1)
        assert (one["rule"], one["alpha"], one["serial_number"]) == ("conformal", 0.1, "SN 7")
        assert one["threshold"] == version.threshold
        assert 0 < one["p_value"] <= 1
        assert one["created_by"] == "line-3"
        assert one["milliseconds"] > 0
        assert (one["width"], one["height"]) == (WIDTH, HEIGHT)
    assert (good["name"], good["notes"], good["is_foreign"]) == (
        "plate50.png",
        [],
        False,
    )
    assert good["score"] <= version.threshold < bad["score"]
    assert foreign["is_foreign"]
    assert "is it the right part?" in foreign["notes"][0]
    region = bad["regions"][0]
    x, y, width, height = region["box"]
    assert x <= FAULT[0] + 12 < x + width
    assert y <= FAULT[1] + 12 < y + height
    assert region["area"] <= width * height
    assert len(region["outline"]) >= 3
    known = set(inspector.pictures.values_list("file__sha256", flat=True))
    assert {patch["sha256"] for patch in region["nearest"] + bad["nearest"]} <= known
    assert bad["heatmap"] == f"http://testserver{INSPECTIONS}/{bad['id']}/heatmap"
    heat = client.get(bad["heatmap"])
    assert heat["Content-Type"] == "image/png"
    assert "private" in heat["Cache-Control"]
    assert Image.open(io.BytesIO(heat.content)).size == (WIDTH, HEIGHT)
    overlay = client.get(bad["overlay"], HTTP_ACCEPT="image/*")
    assert Image.open(io.BytesIO(overlay.content)).size == (WIDTH, HEIGHT)
    assert client.get(f"{INSPECTIONS}/{bad['id']}").data == bad


def test_a_heat_map_in_the_answer_or_none(client, inspector):
    (inside,) = inspect(client, plate_picture(51, FAULT), heatmap="base64").data
    heat = np.asarray(Image.open(io.BytesIO(b64decode(inside["heatmap"], validate=True))))
    assert heat.shape == (HEIGHT, WIDTH, 4)
    assert heat[FAULT[1] + 12, FAULT[0] + 12, 3] > heat[5, 150, 3]
    assert inside["overlay"].endswith("/overlay")
    (without,) = inspect(client, plate_picture(51, FAULT), heatmap="none").data
    assert (without["heatmap"], without["overlay"]) == (None, None)


def test_the_inspector_is_named_by_name_part_or_id(client, inspector):
    inspector.part = factories.part("4711")
    inspector.save()
    for name in ("Plate", "PLATE", "4711", str(inspector.pk)):
        answer = inspect(client, plate_picture(50), inspector=name, heatmap="none")
        assert answer.status_code == 201, name
        assert answer.data[0]["inspector_id"] == inspector.pk
    other = Inspector.objects.create(name="Its back", part=inspector.part)
    answer = inspect(client, plate_picture(50), inspector="4711")
    assert (answer.status_code, list(answer.data["errors"])) == (400, ["inspector"])
    assert f"{inspector.pk}, {other.pk}" in answer.data["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("inspector", "nobody"),
        ("inspector", "\x00"),
        ("inspector", "9" * 5000),
        ("inspector", ""),
        ("heatmap", "jpeg"),
        ("serial_number", "9" * 61),
        ("serial_number", "\x00"),
    ],
)
def test_nonsense_is_named_and_nothing_is_stored(client, inspector, field, value):
    before = ImageFile.objects.count()
    answer = inspect(client, plate_picture(50), **{field: value})
    assert (answer.status_code, list(answer.data["errors"])) == (400, [field])
    assert (Inspection.objects.count(), ImageFile.objects.count()) == (0, before)


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_name(client, inspector, name):
    answer = client.post(
        INSPECT,
        {"inspector": "Plate", "images": [sent(plate_picture(50)), factories.upload(REFUSED[name][0], name)]},
        format="multipart",
    )
    assert (answer.status_code, list(answer.data["errors"])) == (400, ["images"])
    assert name in answer.data["detail"]
    assert REFUSED[name][1] in answer.data["detail"]
    assert not Inspection.objects.exists()


def test_strange_pictures_are_inspected(client, inspector):
    files = [factories.upload(data, name) for name, (data, _) in ACCEPTED.items()]
    answer = client.post(INSPECT, {"images": files, "inspector": "Plate"}, format="multipart")
    assert answer.status_code == 201, answer.data
    assert [(one["width"], one["height"]) for one in answer.data] == [size for _, size in ACCEPTED.values()]


def test_the_number_of_files_and_the_content_type_are_checked(client, inspector):
    answer = inspect(client)
    assert (answer.status_code, list(answer.data["errors"])) == (400, ["images"])
    eleven = inspect(client, *[plate_picture(seed) for seed in range(11)])
    assert (eleven.status_code, eleven.data["code"]) == (400, "too_many_files")
    assert "11 files were sent, and 10 at most" in eleven.data["detail"]
    assert client.post(INSPECT, {"inspector": "Plate"}).status_code == 415
    assert client.get(INSPECT).status_code == 405


def test_an_inspector_that_can_t_inspect_says_why(client, inspector):
    Inspector.objects.create(name="New")
    answer = inspect(client, plate_picture(50), inspector="New")
    assert (answer.status_code, answer.data["code"]) == (409, "inspector_unusable")
    assert answer.data["detail"].startswith("New has not been trained yet: give it pictures of good parts")
    versions_forget()
    (version_folder(inspector, 1) / "opinions" / "manifest.json").unlink()
    answer = inspect(client, plate_picture(50))
    assert (answer.status_code, answer.data["code"]) == (409, "inspector_unusable")
    assert "Train the inspector again" in answer.data["detail"]


def test_another_version_serves_from_the_next_request_on(client, manager, inspector):
    first = inspector.versions.get()
    first.pk, first.number, first.state, first.threshold = None, 2, "ready", None
    first.reason = "No verdicts: made for a test."
    InspectorVersion.objects.bulk_create([first])
    version_folder(inspector, 1).rename(version_folder(inspector, 2))
    versions_forget()
    broken = manager.post(f"{INSPECTORS}/{inspector.pk}/versions/1/activate")
    assert (broken.status_code, broken.data["code"]) == (409, "inspector_unusable")
    answer = manager.post(f"{INSPECTORS}/{inspector.pk}/versions/2/activate")
    assert answer.status_code == 200, answer.data
    assert (answer.data["state"], answer.data["activated_by"]) == ("active", "maria")
    (seen,) = inspect(client, plate_picture(51, FAULT), heatmap="none").data
    assert (seen["version"], seen["verdict"], seen["threshold"]) == (2, "undecided", None)
    assert seen["notes"] == ["No verdicts: made for a test."]
    listed = manager.get(f"{INSPECTORS}/{inspector.pk}/versions").data["results"]
    assert [(one["number"], one["state"]) for one in listed] == [(2, "active"), (1, "retired")]
    assert (listed[0]["learned_from"], listed[0]["held_out"]) == (12, 0)
    assert manager.post(f"{INSPECTORS}/{inspector.pk}/versions/3/activate").status_code == 404
    assert manager.post(f"{INSPECTORS}/{inspector.pk}/versions/{'9' * 5000}/activate").status_code == 404
    assert manager.get(f"{INSPECTORS}/{inspector.pk}").data["active_version"] == 2


def test_reload_opens_every_version_anew(client, manager, inspector):
    versions_forget()
    inspect(client, plate_picture(50), heatmap="none")
    assert manager.post(f"{INSPECTORS}/reload").data == {"forgotten": 1}
    assert manager.post(f"{INSPECTORS}/reload").data == {"forgotten": 0}
    assert client.post(f"{INSPECTORS}/reload").status_code == 403


def test_inspectors_are_created_and_changed(manager, client):
    factories.part("4711")
    made = manager.post(INSPECTORS, {"name": "4711", "alpha": 0.05, "rule": "split"})
    assert made.status_code == 201, made.data
    assert (made.data["part"], made.data["created_by"], made.data["active_version"]) == (
        "4711",
        "maria",
        None,
    )
    assert (made.data["good_pictures"], made.data["test_pictures"]) == (0, 0)
    address = f"{INSPECTORS}/{made.data['id']}"
    changed = manager.patch(address, {"description": "Top view", "resolution": 512})
    assert (changed.data["description"], changed.data["resolution"]) == ("Top view", 512)
    assert client.get(address).data == manager.get(address).data
    assert [one["name"] for one in client.get(INSPECTORS, {"part": "4711"}).data["results"]] == ["4711"]
    assert client.get(INSPECTORS, {"name": "x"}).data["count"] == 0
    for wrong, field in (
        ({"name": "4711"}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x", "alpha": 2}, "alpha"),
        ({"name": "x", "backbone": "none"}, "backbone"),
        ({"name": "x", "resolution": 64}, "resolution"),
        ({"name": "x", "rule": "luck"}, "rule"),
        ({"name": "x", "part": "NONE"}, "part"),
    ):
        answer = manager.post(INSPECTORS, wrong)
        assert (answer.status_code, list(answer.data["errors"])) == (400, [field]), wrong
    unbounded = manager.post(INSPECTORS, {"name": "x", "alpha": "nan"}, format="multipart")
    assert unbounded.status_code == 400
    assert client.post(INSPECTORS, {"name": "x"}).status_code == 403
    assert manager.delete(address).status_code == 405


def add(client, inspector, *pictures, mask=None, **fields):
    files = {"images": [sent(picture) for picture in pictures], **fields}
    if mask:
        files["mask"] = sent(mask)
    return client.post(f"{INSPECTORS}/{inspector.pk}/pictures", files, format="multipart")


def test_pictures_are_added_listed_and_taken_away(manager, client):
    inspector = Inspector.objects.create(name="Plate")
    good = add(manager, inspector, plate_picture(0), plate_picture(1))
    assert good.status_code == 201, good.data
    assert [(one["purpose"], one["defect"], one["has_mask"]) for one in good.data] == [("fit", "", False)] * 2
    bad = add(
        manager, inspector, plate_picture(2, FAULT), mask=mask_picture(FAULT), purpose="test", defect="blot"
    )
    assert bad.status_code == 201, bad.data
    assert (bad.data[0]["defect"], bad.data[0]["has_mask"], bad.data[0]["added_by"]) == (
        "blot",
        True,
        "maria",
    )
    again = add(manager, inspector, plate_picture(0), purpose="test")
    assert again.data[0] == good.data[0], "it stays what it was"
    address = f"{INSPECTORS}/{inspector.pk}/pictures"
    assert client.get(address).data["count"] == 3
    assert client.get(f"{INSPECTORS}/{inspector.pk}").data["good_pictures"] == 2
    assert client.delete(f"{address}/{bad.data[0]['id']}").status_code == 403
    other = InspectorPicture.objects.create(
        inspector=Inspector.objects.create(name="Other"), file=ImageFile.objects.first()
    )
    assert manager.delete(f"{address}/{other.pk}").status_code == 404
    assert manager.delete(f"{address}/{bad.data[0]['id']}").status_code == 204
    assert client.get(address).data["count"] == 2


def test_pictures_that_can_t_be_used_are_named_and_none_is_added(manager):
    inspector = Inspector.objects.create(name="Plate")
    small = plate_picture(9)
    small = type(small)("small.png", factories.image_bytes(size=(80, 60)))
    torn = type(small)("torn.png", b"torn")
    for fields, field, said in (
        ({"pictures": []}, "images", "required"),
        ({"pictures": [plate_picture(1), torn]}, "images", "torn.png"),
        ({"pictures": [plate_picture(1)], "defect": "blot"}, "images", "learns from good parts only"),
        ({"pictures": [plate_picture(1)], "purpose": "test", "defect": "good"}, "defect", "leave it"),
        ({"pictures": [plate_picture(1)], "purpose": "show"}, "purpose", "not a valid choice"),
        (
            {"pictures": [plate_picture(1)], "purpose": "test", "defect": "blot", "mask": small},
            "mask",
            "80 x 60 pixels",
        ),
        (
            {
                "pictures": [plate_picture(1), plate_picture(2)],
                "defect": "b",
                "purpose": "test",
                "mask": small,
            },
            "mask",
            "send them in pairs",
        ),
    ):
        pictures = fields.pop("pictures")
        answer = add(manager, inspector, *pictures, **fields)
        assert (answer.status_code, list(answer.data["errors"])) == (400, [field]), answer.data
        assert said in answer.data["detail"]
    assert not InspectorPicture.objects.exists()


def test_training_is_a_job_that_makes_a_version(manager, client):
    inspector = Inspector.objects.create(name="Plate", alpha=0.3)
    refused = manager.post(f"{INSPECTORS}/{inspector.pk}/train")
    assert (refused.status_code, refused.data["code"]) == (409, "training_refused")
    assert "no pictures of good parts: add 2 or more" in refused.data["detail"]
    add(manager, inspector, *[plate_picture(seed) for seed in range(3)])
    started = manager.post(f"{INSPECTORS}/{inspector.pk}/train")
    assert started.status_code == 202, started.data
    assert (started.data["kind"], started.data["state"], started.data["created_by"]) == (
        TRAIN_KIND,
        "queued",
        "maria",
    )
    twice = manager.post(f"{INSPECTORS}/{inspector.pk}/train")
    assert (twice.status_code, "wait for it" in twice.data["detail"]) == (409, True)
    train_inspector(started.data["id"])
    job = client.get(f"/api/v1/jobs/{started.data['id']}").data
    assert (job["state"], job["result"]["number"]) == ("done", 1)
    (version,) = client.get(f"{INSPECTORS}/{inspector.pk}/versions").data["results"]
    assert (version["state"], version["learned_from"], version["job"]) == ("active", 3, started.data["id"])
    assert version["reason"].startswith("Threshold")
    assert inspect(client, plate_picture(51, FAULT)).data[0]["verdict"] == "fail"
    assert client.post(f"{INSPECTORS}/{inspector.pk}/train").status_code == 403


def test_an_evaluation_is_a_job_and_its_pictures_stand_apart(manager, client, inspector):
    address = f"{INSPECTORS}/{inspector.pk}"
    assert manager.post(f"{address}/evaluate").data["code"] == "evaluation_refused"
    assert client.get(f"{address}/evaluation").status_code == 404
    add(manager, inspector, plate_picture(200), purpose="test")
    add(
        manager, inspector, plate_picture(300, FAULT), mask=mask_picture(FAULT), purpose="test", defect="blot"
    )
    started = manager.post(f"{address}/evaluate", {"version": 1})
    assert started.status_code == 202, started.data
    assert started.data["kind"] == EVALUATE_KIND
    evaluate_inspector(started.data["id"])
    assert Job.objects.get(pk=started.data["id"]).state == "done"
    newest = client.get(f"{address}/evaluation").data
    assert newest["version"] == 1
    assert newest["measures"]["counts"] == {"good": 1, "defective": 1}
    assert newest["measures"]["image_auroc"]["value"] == 1
    assert client.get(f"{address}/evaluation", {"version": 1}).data == newest
    assert client.get(f"{address}/evaluation", {"version": 2}).status_code == 404
    assert client.get(f"{address}/evaluation", {"version": "x"}).status_code == 400
    assert manager.post(f"{address}/evaluate", {"version": 2}).status_code == 404
    assert manager.post(f"{address}/evaluate", {"version": 10**30}).status_code == 400
    assert client.get(INSPECTIONS).data["count"] == 0
    tests = client.get(INSPECTIONS, {"evaluation": newest["id"]}).data["results"]
    assert {one["truth"] for one in tests} == {"", "blot"}


def test_inspections_are_found_again(client, inspector):
    inspect(client, plate_picture(50), serial_number="SN 7", heatmap="none")
    inspect(client, plate_picture(51, FAULT), heatmap="none")
    today, tomorrow = timezone.localdate(), timezone.localdate() + timedelta(days=1)
    for filters, count in (
        ({}, 2),
        ({"inspector": "plate"}, 2),
        ({"inspector": inspector.pk}, 2),
        ({"inspector": "nobody"}, 0),
        ({"inspector": "9" * 5000}, 0),
        ({"verdict": "fail"}, 1),
        ({"verdict": ["fail", "pass"]}, 2),
        ({"serial_number": "sn 7"}, 1),
        ({"inspected_after": today, "inspected_before": today}, 2),
        ({"inspected_after": tomorrow}, 0),
    ):
        assert client.get(INSPECTIONS, filters).data["count"] == count, filters
    for wrong in ({"verdict": "bad"}, {"inspected_after": "soon"}, {"evaluation": "x"}):
        assert client.get(INSPECTIONS, wrong).status_code == 400, wrong
    newest = client.get(INSPECTIONS).data["results"][0]
    assert newest["verdict"] == "fail"
    assert client.get(newest["overlay"]).status_code == 200
    assert client.get(f"{INSPECTIONS}/{10**30}").status_code == 404
    assert client.delete(f"{INSPECTIONS}/{newest['id']}").status_code == 405


def test_an_overlay_whose_picture_is_lost_says_so(client, inspector):
    (row,) = pictures_inspect(inspector, [plate_picture(51, FAULT)])
    row.file.original.storage.delete(row.file.original.name)
    answer = client.get(f"{INSPECTIONS}/{row.pk}/overlay")
    assert (answer.status_code, "can't be read" in answer.data["detail"]) == (404, True)
    assert client.get(f"{INSPECTIONS}/{row.pk}/heatmap").status_code == 200
