"""Only allowed steps, each recorded, and nothing is closed half answered."""

import datetime as dt

import pytest
from django.core.exceptions import ValidationError
from django.db import Error, transaction

from cases.models import Case, CaseTransition, CorrectiveAction, Resolution
from cases.models.case import STATUS_TRANSITIONS
from cases.services.intake import case_create
from cases.services.workflow import case_transition

pytestmark = pytest.mark.django_db


@pytest.fixture
def case():
    return case_create(pictures=[])


def advance(case, *statuses):
    for status in statuses:
        case_transition(case, status)


def test_every_status_can_be_left_and_reached():
    reached = {status for allowed in STATUS_TRANSITIONS.values() for status in allowed}
    assert reached == set(Case.Status.values)
    assert set(STATUS_TRANSITIONS) == set(Case.Status)


def test_a_step_is_recorded_with_its_author(case, django_user_model):
    user = django_user_model.objects.create_user("ada")
    case_transition(case, "triaged", user=user, note="Pitting")
    step = CaseTransition.objects.filter(case=case).last()
    assert (step.from_status, step.to_status, step.made_by, step.note) == ("new", "triaged", user, "Pitting")
    assert case.status == "triaged"


def test_a_forbidden_step_names_the_allowed_ones(case):
    with pytest.raises(ValidationError, match="is New: from there it can go to Triaged, Waiting"):
        case_transition(case, "closed")
    assert Case.objects.get().status == "new"


def test_the_database_refuses_a_forbidden_step_as_well(case):
    with pytest.raises(Error, match="Invalid transition"), transaction.atomic():
        Case.objects.update(status="closed")


def test_a_duplicate_names_its_original(case):
    with pytest.raises(ValidationError, match="Name the other case"):
        case_transition(case, "duplicate")
    original = case_create(pictures=[])
    case_transition(case, "duplicate", duplicate_of=original)
    assert Case.objects.get(pk=case.pk).duplicate_of == original


def test_closing_needs_a_complete_resolution(case):
    advance(case, "triaged", "analysis", "actions", "effectiveness")
    with pytest.raises(ValidationError, match="root cause and a disposition"):
        case_transition(case, "closed")
    resolution = Resolution.objects.create(case=case, root_cause="Coolant too hot", disposition="rework")
    action = CorrectiveAction.objects.create(code="CA-1", title="Cool the coolant")
    taken = resolution.actions_taken.create(action=action)
    with pytest.raises(ValidationError, match="judged effective or ineffective"):
        case_transition(case, "closed")
    taken.done_on, taken.effectiveness = dt.date(2026, 1, 2), "effective"
    taken.save()
    case_transition(case, "closed")
    assert case.status in Case.Status.finished()


def test_an_action_is_judged_only_when_done(case):
    resolution = Resolution.objects.create(case=case)
    action = CorrectiveAction.objects.create(code="CA-1", title="Cool the coolant")
    with pytest.raises(Error, match="action_judged_only_when_done"), transaction.atomic():
        resolution.actions_taken.create(action=action, effectiveness="effective")
