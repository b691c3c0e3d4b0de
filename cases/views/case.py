"""The page of a case: head data, pictures, status, resolution, labels and history."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Prefetch
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cases.forms import CaseForm, TransitionForm
from cases.history import case_history
from cases.models import ActionTaken, Case, CaseImage, Label, Resolution
from cases.services.intake import Picture, case_add_images
from cases.services.workflow import case_transition
from cases.views.access import needs
from cases.views.options import datalists
from vision.engine.images import ACCEPTED_MIME_TYPES

#: The straight way of an 8D report; every other status is a side step.
MAIN_WAY = [
    Case.Status.NEW,
    Case.Status.TRIAGED,
    Case.Status.CONTAINED,
    Case.Status.ANALYSIS,
    Case.Status.ACTIONS,
    Case.Status.EFFECTIVENESS,
    Case.Status.CLOSED,
]


def visible_case(request, number: str, queryset=None) -> Case:
    """The case with this number, or 404 when the user may not see it."""
    cases = Case.objects.all() if queryset is None else queryset
    return get_object_or_404(cases.visible_to(request.user), number=number.upper())


@require_safe
@needs("cases.view_case", "see cases")
def case_detail(request, number: str):
    case = visible_case(request, number, Case.objects.with_people_and_parts().select_related("duplicate_of"))
    return render(request, "cases/case_detail.html", _context(case))


def _context(case, **extra):
    resolution = (
        Resolution.objects.filter(case=case)
        .prefetch_related(
            "why_steps",
            Prefetch("actions_taken", ActionTaken.objects.select_related("action", "owner")),
        )
        .first()
    )
    images = list(case.images.select_related("file", "confirmed_category", "labelled_by"))
    allowed = case.next_statuses()
    return {
        "case": case,
        "images": images,
        "may_add_images": CaseImage.MAX_PER_CASE - len(images),
        "accept": ",".join(ACCEPTED_MIME_TYPES),
        "confirmed": {image.confirmed_category for image in images if image.confirmed_category},
        "resolution": resolution,
        "steps": _steps(case),
        "next_main": [status for status in allowed if status in MAIN_WAY],
        "next_side": [status for status in allowed if status not in MAIN_WAY],
        "labels": Label.objects.filter(image__case=case)
        .select_related("image", "category", "made_by")
        .order_by("-id")[:50],
        "transitions": case.transitions.select_related("made_by").order_by("-id"),
        "history": case_history(case),
        **extra,
    }


def _steps(case):
    """(label, "done" | "now" | "") along the main way; a side status keeps the last step reached."""
    reached = MAIN_WAY.index(Case.Status.NEW)
    for status in case.transitions.order_by("id").values_list("to_status", flat=True):
        if status in MAIN_WAY:
            reached = MAIN_WAY.index(status)
    aside = case.status not in MAIN_WAY
    return [
        (status.label, "done" if place < reached else "now" if place == reached and not aside else
         "done" if place == reached else "")
        for place, status in enumerate(MAIN_WAY)
    ]  # fmt: skip


@require_POST
@needs("cases.change_case", "change the status of cases")
def case_move(request, number: str):
    """Take a step to another status."""
    case = visible_case(request, number)
    form = TransitionForm(request.POST)
    try:
        if not form.is_valid():
            raise ValidationError([sentence for some in form.errors.values() for sentence in some])
        case_transition(
            case,
            form.cleaned_data["to_status"],
            user=request.user,
            note=form.cleaned_data["note"],
            duplicate_of=form.cleaned_data["duplicate_of"],
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"{case} is now {case.get_status_display()}.")
    return redirect(case)


@require_http_methods(["GET", "POST"])
@needs("cases.change_case", "change cases")
def case_edit(request, number: str):
    """Change the head data."""
    case = visible_case(request, number)
    form = CaseForm(request.POST or None, instance=case)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, f"{case} was saved.")
        return redirect(case)
    status = 422 if form.is_bound else 200
    return render(request, "cases/case_edit.html", {"case": case, "form": form, **datalists()}, status=status)


@require_POST
@needs("cases.add_caseimage", "add pictures to cases")
def case_images_add(request, number: str):
    """Add views to a case."""
    case = visible_case(request, number)
    if not request.user.has_perm("cases.change_case"):
        raise PermissionDenied(f"Your account may not change {case}.")
    pictures = [Picture(upload.name, upload.read()) for upload in request.FILES.getlist("images")]
    try:
        added = case_add_images(case, pictures)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"{len(added)} picture{'' if len(added) == 1 else 's'} added to {case}.")
    return redirect(case)
