"""Writing the resolution of a case: one page, saved as a whole or not at all."""

from django.contrib import messages
from django.db import transaction
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from cases.forms import ActionTakenFormSet, ResolutionForm
from cases.models import Case, Resolution
from cases.services.resolutions import ResolutionChanged, resolution_lock, resolution_version
from cases.views.access import needs
from cases.views.case import visible_case
from cases.views.options import datalists


@require_http_methods(["GET", "POST"])
@needs("cases.change_resolution", "write resolutions")
def resolution_edit(request, number: str):
    case = visible_case(request, number, Case.objects.select_related("part", "customer"))
    resolution = Resolution.objects.filter(case=case).first() or Resolution(case=case)
    form = ResolutionForm(request.POST or None, instance=resolution)
    actions = ActionTakenFormSet(request.POST or None, instance=resolution, prefix="actions")
    if request.method == "POST" and form.is_valid() and actions.is_valid():
        try:
            with transaction.atomic():
                resolution_lock(case, request.POST.get("version", ""))
                actions.instance = form.save()
                form.save_whys(actions.instance)
                actions.save()
        except ResolutionChanged:
            form.add_error(
                None,
                "Somebody saved this resolution after you opened it. Your text is kept below: compare it with"
                f" the page of {case}, then save again.",
            )
        else:
            messages.success(request, f"The resolution of {case} was saved.")
            return redirect(actions.instance.get_absolute_url())
    context = {
        "case": case,
        "form": form,
        "actions": actions,
        "version": resolution_version(case),
        **datalists("action"),
    }
    status = 422 if form.is_bound else 200
    return render(request, "cases/resolution_edit.html", context, status=status)
