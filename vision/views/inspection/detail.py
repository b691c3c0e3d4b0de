"""One inspection: what was seen and why, similar past faults, its case and its report."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from cases.models import Case
from cases.views.access import needs
from vision.models import Inspection
from vision.services.inspection.following import inspection_case_open, inspection_similar
from vision.services.inspection.report import inspection_report

#: Width of the drawing over the picture in its own units; sizes in the style sheet count on it.
SCENE_WIDTH = 1000


@require_safe
@needs("vision.view_inspection", "see inspections")
def detail(request, pk: int):
    row = _inspection(pk)
    scale = SCENE_WIDTH / row.file.width
    context = {
        "inspection": row,
        "inspector": row.version.inspector,
        "scene": {"width": SCENE_WIDTH, "height": round(row.file.height * scale, 1)},
        "regions": [_shown(region, number, scale) for number, region in enumerate(row.regions, 1)],
        "may_see_case": bool(row.case) and Case.objects.visible_to(request.user).contains(row.case),
    }
    # Without scripts the similar faults come with the page, when they are asked for.
    if "similar" in request.GET and request.user.has_perm("cases.view_case"):
        context |= _similar(row)
    return render(request, "vision/inspection/detail.html", context)


@require_safe
@needs("vision.view_inspection", "see inspections")
@needs("cases.view_case", "see cases")
def similar(request, pk: int):
    """The part of the page with similar past faults, which takes longer than the rest."""
    row = _inspection(pk)
    return render(request, "vision/inspection/similar.html", {"inspection": row} | _similar(row))


@require_POST
@needs("cases.add_case", "create cases")
@needs("vision.view_inspection", "see inspections")
def case_open(request, pk: int):
    """Open the case of the part, once, and go on to its triage."""
    row = _inspection(pk)
    try:
        case = inspection_case_open(row, user=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect(row)
    return redirect(case.get_triage_url())


@require_safe
@needs("vision.view_inspection", "see inspections")
def report(request, pk: int):
    """The same as PDF, for a file or a customer."""
    row = _inspection(pk)
    response = HttpResponse(inspection_report(row), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="inspection-{row.pk}.pdf"'
    response["Cache-Control"] = "private, no-cache"
    return response


def _inspection(pk: int) -> Inspection:
    rows = Inspection.objects.select_related(
        "file", "version__inspector__part", "case", "created_by", "evaluation__version"
    )
    return get_object_or_404(rows, pk=pk)


def _similar(row: Inspection) -> dict:
    try:
        return {"similar": inspection_similar(row)}
    except ValidationError as error:
        return {"similar_problem": " ".join(error.messages)}


def _shown(region: dict, number: int, scale: float) -> dict:
    """A region with what the template draws of it, in units of the drawing."""
    x, y, width, height = (round(value * scale, 1) for value in region["box"])
    outline = " ".join(f"{round(x * scale, 1)},{round(y * scale, 1)}" for x, y in region["outline"])
    return region | {
        "number": number,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        # The number stands above the box, or in it where the picture ends.
        "label_y": round(y - 6 if y > 40 else y + 34, 1),
        "points": outline,
        "size": region["box"][2:],
        "patches": list(enumerate(region["nearest"])),
    }
