"""Reads of the knowledge base that several callers need."""

import re

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db.models import Count, FloatField, Q, QuerySet
from django.db.models.functions import Cast, NullIf

from cases.models import ActionTaken, Case, CaseImage, CorrectiveAction, FaultCategory

_SEARCHED = (
    "number",
    "title",
    "description",
    "customer_reference",
    "lot",
    "serial_number",
    "detection_point",
    "part__number",
    "part__name",
    "part__family",
    "customer__name",
    "supplier__name",
    "resolution__problem",
    "resolution__root_cause",
    "resolution__summary",
)

#: Found by any piece of them, not only by how their words begin.
_NUMBERS = ("number", "part__number", "customer_reference", "lot", "serial_number")


def cases_search(cases: QuerySet[Case], text: str) -> QuerySet[Case]:
    """Cases in which every word of `text` begins some word, in whatever language.

    Numbers of cases, parts, lots and complaints are also found by any piece of them.
    """
    piece = text.strip()
    if not piece:
        return cases
    found = Q()
    for field in _NUMBERS:
        found |= Q(**{f"{field}__icontains": piece})
    words = re.findall(r"\w+", piece)
    if words:
        query = SearchQuery(" & ".join(f"{word}:*" for word in words), search_type="raw", config="simple")
        cases = cases.alias(searched=SearchVector(*_SEARCHED, config="simple"))
        found |= Q(searched=query)
    return cases.filter(found)


def cases_of_category(category: FaultCategory) -> QuerySet[Case]:
    """Cases with a picture confirmed as this category or one below it."""
    family = list(category.descendants(include_self=True).values_list("pk", flat=True))
    shown = CaseImage.objects.filter(confirmed_category__in=family).values("case")
    return Case.objects.filter(pk__in=shown)


def _with_effectiveness(actions: QuerySet[CorrectiveAction], where: Q) -> QuerySet[CorrectiveAction]:
    effective = Count("taken", filter=where & Q(taken__effectiveness=ActionTaken.Effectiveness.EFFECTIVE))
    judged = Count("taken", filter=where & ~Q(taken__effectiveness=ActionTaken.Effectiveness.PENDING))
    return actions.annotate(
        times_taken=Count("taken", filter=where),
        times_judged=judged,
        times_effective=effective,
        share_effective=Cast("times_effective", FloatField())
        / NullIf(Cast("times_judged", FloatField()), 0.0),
        # Laplace's rule of succession: once out of once says less than 19 out of 20.
        expected_effective=(Cast("times_effective", FloatField()) + 1.0)
        / (Cast("times_judged", FloatField()) + 2.0),
    )


def category_best_actions(category: FaultCategory) -> QuerySet[CorrectiveAction]:
    """Actions taken in cases of a category, those that most surely work first.

    Each has times_taken, times_judged, times_effective and share_effective (None before the first judgement).
    """
    where = Q(taken__resolution__case__in=cases_of_category(category))
    return (
        _with_effectiveness(CorrectiveAction.objects.all(), where)
        .filter(times_taken__gt=0)
        .order_by("-expected_effective", "-times_taken", "code")
    )


def actions_with_effectiveness() -> QuerySet[CorrectiveAction]:
    """All actions of the catalogue with the same figures over all cases."""
    return _with_effectiveness(CorrectiveAction.objects.all(), Q(taken__isnull=False)).order_by("code")


def categories_with_counts() -> QuerySet[FaultCategory]:
    """The tree, depth first, each with image_count and case_count of its own (not of those below)."""
    return FaultCategory.objects.with_tree_fields().annotate(
        image_count=Count("labelled_images"),
        case_count=Count("labelled_images__case", distinct=True),
    )


def case_next_to_triage(user, after: Case | None = None) -> Case | None:
    """The next new case in the order of the queue, from the top again after the last one."""
    waiting = Case.objects.visible_to(user).filter(status=Case.Status.NEW)
    if after is None:
        return waiting.first()
    waiting = waiting.exclude(pk=after.pk)
    older = Q(reported_at__lt=after.reported_at) | Q(reported_at=after.reported_at, pk__lt=after.pk)
    return waiting.filter(older).first() or waiting.first()
