"""The fault catalogue and the catalogue of corrective actions."""

from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from cases.history import record_history
from cases.models import ActionTaken, Case, CaseImage, CategoryExample, CorrectiveAction, FaultCategory
from cases.selectors import (
    actions_with_effectiveness,
    cases_of_category,
    categories_with_counts,
    category_best_actions,
)
from cases.views.access import needs

IMAGES_A_PAGE = 24
CASES_A_PAGE = 25


@require_safe
@needs("cases.view_faultcategory", "see the fault catalogue")
def category_list(request):
    """The catalogue as a tree."""
    return render(request, "cases/category_list.html", {"categories": categories_with_counts()})


@require_safe
@needs("cases.view_faultcategory", "see the fault catalogue")
def category_detail(request, code: str):
    category = get_object_or_404(FaultCategory, code=code.upper())
    family = category.descendants(include_self=True).values("pk")
    images = (
        CaseImage.objects.visible_to(request.user)
        .filter(confirmed_category__in=family)
        .select_related("case", "confirmed_category")
        .order_by("-labelled_at", "-id")
    )
    cases = cases_of_category(category).visible_to(request.user)
    context = {
        "category": category,
        "ancestors": category.ancestors(),
        "children": category.children.all(),
        "examples": category.examples.select_related("file"),
        "images": Paginator(images, IMAGES_A_PAGE).get_page(request.GET.get("page")),
        "counts": cases.aggregate(
            all=Count("pk"), open=Count("pk", filter=~Q(status__in=Case.Status.finished()))
        ),
        "best_actions": category_best_actions(category)[:10],
        "history": record_history({category: (CategoryExample,)}),
    }
    return render(request, "cases/category_detail.html", context)


@require_safe
@needs("cases.view_correctiveaction", "see corrective actions")
def action_list(request):
    """The catalogue of corrective actions with how well each has worked."""
    actions = actions_with_effectiveness()
    text = request.GET.get("q", "").strip()
    if text:
        actions = actions.filter(
            Q(code__icontains=text) | Q(title__icontains=text) | Q(description__icontains=text)
        )
    page = Paginator(actions, 50).get_page(request.GET.get("page"))
    return render(request, "cases/action_list.html", {"page": page, "q": text})


@require_safe
@needs("cases.view_correctiveaction", "see corrective actions")
def action_detail(request, code: str):
    action = get_object_or_404(actions_with_effectiveness().prefetch_related("categories"), code=code)
    taken = (
        ActionTaken.objects.filter(action=action, resolution__case__in=Case.objects.visible_to(request.user))
        .select_related("resolution__case__part", "resolution__case__customer", "owner")
        .order_by("-resolution__case__reported_at", "-id")
    )
    context = {
        "action": action,
        "taken": Paginator(taken, CASES_A_PAGE).get_page(request.GET.get("page")),
        "history": record_history({action: (CorrectiveAction.categories.through,)}),
    }
    return render(request, "cases/action_detail.html", context)
