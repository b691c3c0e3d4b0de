"""What people say that a picture shows."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from cases.models import CaseImage, FaultCategory, Label


@transaction.atomic
def images_label(
    images: Iterable[CaseImage],
    *,
    verdict: str,
    category: FaultCategory | None = None,
    user=None,
    note: str = "",
) -> list[Label]:
    """Record a verdict on images; for a fault, its category becomes their confirmed category.

    The newest label counts: any other verdict than a fault takes the confirmed category away.
    Raises ValidationError when the category is missing, superfluous or deprecated.
    """
    if verdict not in Label.Verdict.values:
        raise ValidationError({"verdict": f"{verdict} is no verdict; use {', '.join(Label.Verdict.values)}."})
    if (verdict == Label.Verdict.FAULT) != (category is not None):
        raise ValidationError({"category": "Name a category for a fault, and none for any other verdict."})
    if category is not None and category.state == FaultCategory.State.DEPRECATED:
        raise ValidationError({"category": f"{category.code} is deprecated; choose an active category."})
    # Rows are locked in one order, so that two people labelling the same case wait instead of deadlocking.
    locked = list(
        CaseImage.objects.select_for_update().filter(pk__in=[image.pk for image in images]).order_by("pk")
    )
    labels = Label.objects.bulk_create(
        Label(image=image, verdict=verdict, category=category, note=note, made_by=user) for image in locked
    )
    CaseImage.objects.filter(pk__in=[image.pk for image in locked]).update(
        confirmed_category=category,
        labelled_by=user,
        labelled_at=timezone.now(),
    )
    return labels
