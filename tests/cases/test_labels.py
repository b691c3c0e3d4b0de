"""Labels are append-only, the newest counts, and a category goes with faults only."""

import pytest
from django.core.exceptions import ValidationError
from django.db import Error, transaction

from cases.models import FaultCategory, Label
from cases.services.intake import case_create
from cases.services.labels import images_label
from tests.cases.test_intake import picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def category():
    return FaultCategory.objects.create(code="PIT", name="Pitting", state="active")


@pytest.fixture
def case():
    return case_create(pictures=[picture(1), picture(2)])


def test_a_fault_becomes_the_confirmed_category(case, category, django_user_model):
    user = django_user_model.objects.create_user("ada")
    images_label(case.images.all(), verdict="fault", category=category, user=user)
    for image in case.images.all():
        assert (image.confirmed_category, image.labelled_by) == (category, user)
        assert image.labelled_at is not None


def test_the_newest_label_counts_and_the_older_one_stays(case, category):
    images_label(case.images.all(), verdict="fault", category=category)
    images_label(case.images.all(), verdict="no_defect")
    image = case.images.first()
    assert image.confirmed_category is None
    assert [label.verdict for label in image.labels.all()] == ["no_defect", "fault"]


@pytest.mark.parametrize(
    ("verdict", "with_category", "sentence"),
    [
        ("fault", False, "Name a category"),
        ("unknown", True, "none for any other"),
        ("nonsense", False, "no verdict"),
    ],
)
def test_verdict_and_category_must_fit(case, category, verdict, with_category, sentence):
    with pytest.raises(ValidationError, match=sentence):
        images_label(case.images.all(), verdict=verdict, category=category if with_category else None)
    assert not Label.objects.exists()


def test_a_deprecated_category_takes_no_new_labels(case, category):
    category.state = FaultCategory.State.DEPRECATED
    category.save()
    with pytest.raises(ValidationError, match="deprecated"):
        images_label(case.images.all(), verdict="fault", category=category)


def test_the_database_refuses_to_change_a_label(case, category):
    images_label(case.images.all(), verdict="fault", category=category)
    with pytest.raises(Error, match="Cannot update"), transaction.atomic():
        Label.objects.update(note="rewritten")
