"""Writing resolutions: nobody's text is erased unseen."""

import pytest
from django.db import transaction
from django.urls import reverse

from cases.services.resolutions import (
    ResolutionChanged,
    resolution_lock,
    resolution_update,
    resolution_version,
)
from tests import factories

pytestmark = pytest.mark.django_db


def test_what_was_saved_since_it_was_read_is_refused():
    case = factories.case()
    with transaction.atomic():
        resolution_lock(case, "")
    resolution = factories.resolution(case)
    version = resolution_version(case)
    resolution_update(resolution, why_steps=[{"answer": "First"}])
    with pytest.raises(ResolutionChanged), transaction.atomic():
        resolution_lock(case, version)


def test_the_page_keeps_the_text_of_the_second_writer_and_the_first_one_s_record(client):
    client.force_login(factories.user("Engineer"))
    case = factories.case()
    resolution = factories.resolution(case)
    rows = {"actions-TOTAL_FORMS": 0, "actions-INITIAL_FORMS": 0}
    stale = {**rows, "version": resolution_version(case), "root_cause": "What the second one wrote"}
    resolution_update(resolution, root_cause="What the first one wrote")
    answer = client.post(reverse("resolution-edit", args=[case.number]), stale)
    assert answer.status_code == 422
    assert "Somebody saved this resolution after you opened it" in answer.content.decode()
    assert "What the second one wrote" in answer.content.decode()
    resolution.refresh_from_db()
    assert resolution.root_cause == "What the first one wrote"
    again = client.post(
        reverse("resolution-edit", args=[case.number]), {**stale, "version": resolution_version(case)}
    )
    assert again.status_code == 302
