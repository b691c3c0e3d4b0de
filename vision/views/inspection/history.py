"""Past inspections: found by part, verdict, day and serial number, and taken along as CSV."""

import django_filters
from django import forms
from django.core.paginator import Paginator
from django.http import StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from cases.views.access import needs
from vision.models import Inspection, Inspector
from vision.services.inspection.history import inspections_csv

A_PAGE = 40


def _day(label: str, lookup: str) -> django_filters.DateFilter:
    return django_filters.DateFilter(
        label=label,
        field_name="created_at",
        lookup_expr=lookup,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


class InspectionFilter(django_filters.FilterSet):
    """The filters above the history."""

    serial = django_filters.CharFilter(
        label="Serial number", field_name="serial_number", lookup_expr="icontains"
    )
    inspector = django_filters.ModelChoiceFilter(
        label="Inspector",
        field_name="version__inspector",
        queryset=Inspector.objects.all(),
        empty_label="Any",
    )
    verdict = django_filters.ChoiceFilter(choices=Inspection.Verdict.choices, empty_label="Any")
    after = _day("From", "date__gte")
    before = _day("Until", "date__lte")

    class Meta:
        model = Inspection
        fields = []


@require_safe
@needs("vision.view_inspection", "see inspections")
def history(request):
    """The table, or only its rows when a filter asks for them."""
    filters, found = _found(request)
    rows = found.select_related("version__inspector", "file", "case", "created_by").defer("grid")
    page = Paginator(rows, A_PAGE).get_page(request.GET.get("page"))
    parameters = request.GET.copy()
    parameters.pop("page", None)
    context = {
        "page": page,
        "filters": filters,
        "filtered": any(value for name, value in request.GET.items() if name in filters.filters),
        "query": parameters.urlencode(),
    }
    if request.htmx and request.htmx.target == "results":
        return render(request, "vision/inspection/history_results.html", context)
    return render(request, "vision/inspection/history.html", context)


@require_safe
@needs("vision.view_inspection", "see inspections")
def export(request):
    """The filtered rows as CSV, sent while they are read."""
    filters, found = _found(request)
    if not filters.form.is_valid():
        # The page says what is wrong with the filters.
        return redirect(f"{request.path.removesuffix('.csv')}?{request.GET.urlencode()}")
    response = StreamingHttpResponse(inspections_csv(found), content_type="text/csv; charset=utf-8")
    day = timezone.localdate().isoformat()
    response["Content-Disposition"] = f'attachment; filename="inspections-{day}.csv"'
    return response


def _found(request):
    filters = InspectionFilter(request.GET, queryset=Inspection.objects.of_parts())
    return filters, filters.qs if filters.form.is_valid() else filters.queryset.none()
