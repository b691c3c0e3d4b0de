"""Choices of searchable fields: the first ones with the page, the others as somebody types."""

from django.db.models import Q, QuerySet
from django.http import Http404
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cases.models import CorrectiveAction, Customer, FaultCategory, Part, Site, Supplier
from cases.views.access import needs

SHOWN = 50

_SOURCES = {
    "part": (Part.objects.all(), ("number", "name", "family")),
    "customer": (Customer.objects.all(), ("code", "name")),
    "supplier": (Supplier.objects.all(), ("code", "name")),
    "site": (Site.objects.all(), ("code", "name")),
    "action": (CorrectiveAction.objects.filter(state=CorrectiveAction.State.ACTIVE), ("code", "title")),
    "category": (
        FaultCategory.objects.exclude(state=FaultCategory.State.DEPRECATED),
        ("code", "name"),
    ),
}


def options(kind: str, text: str = "") -> QuerySet:
    """The first rows of a kind in which `text` occurs."""
    queryset, fields = _SOURCES[kind]
    matching = Q()
    for field in fields:
        matching |= Q(**{f"{field}__icontains": text})
    return queryset.filter(matching)[:SHOWN] if text else queryset.all()[:SHOWN]


def datalists(*kinds: str) -> dict:
    """The context that partials/datalists.html needs."""
    return {"datalists": {kind: options(kind) for kind in kinds or ("part", "customer", "supplier", "site")}}


@require_safe
@needs("cases.view_case", "see cases")
def option_list(request, kind: str):
    """The <option>s for what somebody has typed into the field `kind`."""
    if kind not in _SOURCES:
        raise Http404(f"There is no list of {kind}.")
    # The field that asks is the only parameter, whatever its name in its form.
    text = next(iter(request.GET.values()), "").strip()
    return render(request, "partials/options.html", {"options": options(kind, text)})
