"""Deleting cases and pictures for good, while others may work on them.

The rows are locked first, cases before images as everywhere. So whoever gives one a label or a vector in the
same moment is either waited for, and what they wrote goes too, or finds it gone; nobody deadlocks.
"""

from collections.abc import Iterable

from django.db import transaction

from cases.models import Case, CaseImage


@transaction.atomic
def cases_delete(cases: Iterable[Case]) -> None:
    """Delete cases with their pictures, labels, diagnoses and resolutions; originals stay."""
    locked = _locked(Case.objects.filter(pk__in=[case.pk for case in cases]))
    _locked(CaseImage.objects.filter(case__in=locked))
    Case.objects.filter(pk__in=locked).delete()


@transaction.atomic
def images_delete(images: Iterable[CaseImage]) -> None:
    """Delete views of cases with their labels and vectors; originals stay."""
    locked = _locked(CaseImage.objects.filter(pk__in=[image.pk for image in images]))
    CaseImage.objects.filter(pk__in=locked).delete()


def _locked(rows) -> list[int]:
    return list(rows.select_for_update(of=["self"]).order_by("pk").values_list("pk", flat=True))
