"""The queue of cases: what waits, what is mine, and what the pictures seem to show."""

import django_filters
from django import forms
from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from cases.forms import CategoryField, LookupField
from cases.models import Case, CaseImage, Customer, Part, Site
from cases.selectors import cases_of_category, cases_search
from cases.views.access import needs
from cases.views.options import datalists
from vision.models import Diagnosis

CASES_A_PAGE = 40

TABS = {
    "triage": ("To triage", lambda user: Q(status=Case.Status.NEW)),
    "mine": ("Mine", lambda user: Q(owner=user) & ~Q(status__in=Case.Status.finished())),
    "open": ("All open", lambda user: ~Q(status__in=Case.Status.finished())),
    "closed": ("Closed", lambda user: Q(status__in=Case.Status.finished())),
    "all": ("All", lambda user: Q()),
}


class _LookupFilter(django_filters.Filter):
    field_class = LookupField


class _CategoryFilter(django_filters.Filter):
    field_class = CategoryField

    def filter(self, queryset, value):
        return _seen_as(queryset, value) if value else queryset


class CaseFilter(django_filters.FilterSet):
    """The filters above the queue."""

    q = django_filters.CharFilter(label="Search", method="search")
    status = django_filters.ChoiceFilter(choices=Case.Status.choices, empty_label="Any")
    kind = django_filters.ChoiceFilter(choices=Case.Kind.choices, empty_label="Any")
    category = _CategoryFilter(
        label="Category", widget=forms.TextInput(attrs={"placeholder": "Code or name"})
    )
    part = _LookupFilter(label="Part", queryset=Part.objects.all(), keys=["number"], datalist="part-options")
    customer = _LookupFilter(
        label="Customer", queryset=Customer.objects.all(), keys=["code", "name"], datalist="customer-options"
    )
    site = django_filters.ModelChoiceFilter(queryset=Site.objects.all(), empty_label="Any")
    owner = django_filters.ChoiceFilter(
        label="Owner", method="owned_by", choices=[("me", "Me"), ("none", "Nobody")], empty_label="Anybody"
    )
    reported_after = django_filters.DateFilter(
        label="Reported from",
        field_name="reported_at",
        lookup_expr="date__gte",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reported_before = django_filters.DateFilter(
        label="Reported until",
        field_name="reported_at",
        lookup_expr="date__lte",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    class Meta:
        model = Case
        fields = []

    def search(self, queryset, name, value):
        return cases_search(queryset, value)

    def owned_by(self, queryset, name, value):
        return queryset.filter(owner=self.request.user if value == "me" else None)


@require_safe
@needs("cases.view_case", "see cases")
def case_list(request):
    """The queue, or only its results when a filter asks for them."""
    visible = Case.objects.visible_to(request.user)
    wanted = request.GET.get("q", "").strip().upper()
    if not request.htmx and wanted and (case := visible.filter(number=wanted).first()):
        return redirect(case)
    filters = CaseFilter(request.GET, queryset=visible, request=request)
    found = filters.qs if filters.form.is_valid() else filters.queryset.none()
    rules = {name: rule(request.user) for name, (_, rule) in TABS.items()}
    counts = visible.filter(pk__in=found.values("pk")).aggregate(
        **{name: Count("pk", filter=rule) if rule else Count("pk") for name, rule in rules.items()}
    )
    tab = request.GET.get("view")
    if tab not in TABS:
        tab = "triage" if counts["triage"] else "open"
    page = Paginator(_rows(found.filter(rules[tab])), CASES_A_PAGE).get_page(request.GET.get("page"))
    seen = _latest_diagnoses(page.object_list)
    for case in page.object_list:
        case.seen = seen.get(case.pk)
        case.shown = _shown(case)
    filtered = any(value for name, value in request.GET.items() if name in filters.filters)
    context = {
        "page": page,
        "filters": filters,
        "filtered": filtered,
        "tab": tab,
        "tabs": [(name, label, counts[name]) for name, (label, _) in TABS.items()],
        "empty_system": not visible.exists(),
    }
    if request.htmx and request.htmx.target == "results":
        return render(request, "vision/queue_results.html", context)
    return render(request, "vision/queue.html", context | datalists("part", "customer", "category"))


def _rows(cases: QuerySet[Case]) -> QuerySet[Case]:
    images = CaseImage.objects.select_related("confirmed_category").order_by("position")
    return cases.with_people_and_parts().prefetch_related(Prefetch("images", images))


def _latest_diagnoses(cases) -> dict[int, Diagnosis]:
    newest = (
        Diagnosis.objects.filter(case__in=[case.pk for case in cases])
        .order_by("case_id", "-id")
        .distinct("case_id")
        .select_related("category")
        .defer("matches", "images", "timings", "thresholds", "categories")
    )
    return {diagnosis.case_id: diagnosis for diagnosis in newest}


def _seen_as(cases, category) -> QuerySet[Case]:
    """Cases confirmed as a category or one below it, and those whose newest suggestion names it."""
    family = list(category.descendants(include_self=True).values_list("pk", flat=True))
    newest = Diagnosis.objects.filter(case=OuterRef("pk")).order_by("-id").values("category")[:1]
    undecided = ~Q(pk__in=CaseImage.objects.labelled().values("case"))
    return cases.alias(suggested=Subquery(newest)).filter(
        Q(pk__in=cases_of_category(category).values("pk")) | (undecided & Q(suggested__in=family))
    )


def _shown(case):
    """The confirmed category of a case, None while no picture has one."""
    return next((image.confirmed_category for image in case.images.all() if image.confirmed_category), None)
