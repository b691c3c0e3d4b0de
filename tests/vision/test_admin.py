"""What vision wrote can be read in the admin, and never changed."""

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests import factories as make
from tests.vision.inspection_rows import made_evaluation, made_inspection, made_version
from vision.models import (
    Decision,
    Diagnosis,
    EmbeddingSpace,
    Evaluation,
    Inspection,
    Inspector,
    InspectorVersion,
    LibraryChange,
)

pytestmark = pytest.mark.django_db

ALL = [model for model in admin.site._registry if model._meta.app_label == "vision"]
MODELS = [model for model in ALL if model is not Inspector]


def suggestion(space):
    category = make.category()
    case = make.case(labelled=category)
    diagnosis = Diagnosis.objects.create(
        case=case, outcome="confident", reason="Clear", category=category, probability=0.93, space=space,
        classifier="knn", library_watermark=1, library_size=1,
    )  # fmt: skip
    Decision.objects.create(case=case, diagnosis=diagnosis, verdict="fault", category=category, agrees=True)
    image = case.images.get()
    LibraryChange.objects.create(space=space, image_id=image.pk, operation="add", made_at=timezone.now())
    version = made_version(state="ready")
    made_inspection(version)
    made_evaluation(version)


@pytest.fixture
def space():
    return EmbeddingSpace.objects.create(slug="faultnet", backbone="faultnet", dimension=8, state="active")


def url(model, page, *args):
    return reverse(f"admin:vision_{model._meta.model_name}_{page}", args=args)


def test_all_that_people_read_is_there():
    inspection = {Inspector, InspectorVersion, Evaluation, Inspection}
    assert {EmbeddingSpace, Diagnosis, Decision, LibraryChange} | inspection == set(ALL)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_pages_open_for_reading_only(client, space, model):
    suggestion(space)
    client.force_login(make.user("superuser", is_staff=True))
    key = model.objects.first().pk
    assert client.get(url(model, "changelist")).status_code == 200
    assert client.get(url(model, "change", key)).status_code == 200
    assert client.post(url(model, "change", key), {}).status_code == 403
    assert client.post(url(model, "delete", key), {"post": "yes"}).status_code == 403
    assert client.get(url(model, "add")).status_code == 403


def test_permissions_hold(client, space):
    suggestion(space)
    client.force_login(make.user("Knowledge manager", is_staff=True))
    seen = {model.__name__: client.get(url(model, "changelist")).status_code for model in MODELS}
    assert seen.pop("LibraryChange") == 403
    assert set(seen.values()) == {200}


def test_knowledge_managers_edit_inspectors(client):
    version = made_version("Cover")
    client.force_login(make.user("Knowledge manager", "kim", is_staff=True))
    fields = {
        "backbone": "faultnet", "resolution": "", "rule": "deviations", "alpha": "0.02", "hold_out": "parts"
    }  # fmt: skip
    assert client.post(url(Inspector, "add"), {"name": "Plate", **fields}).status_code == 302
    assert Inspector.objects.get(name="Plate").created_by.username == "kim"
    page = url(Inspector, "change", version.inspector_id)
    assert client.get(page).status_code == 200
    assert client.post(page, {"name": "Lid", **fields}).status_code == 302
    assert Inspector.objects.get(pk=version.inspector_id).name == "Lid"
    assert (
        b"less than or equal to 0.5" in client.post(page, {"name": "Lid", **fields, "alpha": "0.9"}).content
    )
    assert client.post(url(Inspector, "delete", version.inspector_id), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_lists_ask_the_same_number_of_queries_for_more_rows(client, space, model):
    def count():
        with CaptureQueriesContext(connection) as queries:
            client.get(url(model, "changelist"))
        return len(queries)

    client.force_login(make.user("superuser", is_staff=True))
    suggestion(space)
    count()
    few = count()
    for _ in range(3):
        suggestion(space)
    assert count() <= few
