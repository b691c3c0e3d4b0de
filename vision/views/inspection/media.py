"""Pictures of an inspection: what was inspected, its heat map, and what it was compared with."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from cases.views.access import needs
from cases.views.media import file_serve, unchanging_serve
from vision.models import Inspection, InspectorPicture
from vision.services.inspection.drawings import inspection_heat, inspection_overlay, inspection_thumbnail
from vision.services.inspection.evidence import NoEvidence, patch_picture, region_picture
from vision.services.inspection.good_pictures import GoodPictureError

_SEE = needs("vision.view_inspection", "see inspections")


@require_safe
@_SEE
def picture(request, pk: int):
    """The picture itself, as large as a screen shows it."""
    return file_serve(request, _inspection(pk).file, "preview")


@require_safe
@_SEE
def thumbnail(request, pk: int):
    return _drawn(request, pk, "thumbnail", inspection_thumbnail, "image/webp")


@require_safe
@_SEE
def heat(request, pk: int):
    """The heat map alone, transparent where nothing is suspicious."""
    return _drawn(request, pk, "heat", inspection_heat, "image/png")


@require_safe
@_SEE
def overlay(request, pk: int):
    """The picture with heat map and outlines at its own size."""
    return _drawn(request, pk, "overlay", inspection_overlay, "image/png")


@require_safe
@_SEE
def region(request, pk: int, number: int):
    """A suspicious region with some of its surroundings."""
    return _drawn(request, pk, f"region-{number}", lambda row: region_picture(row, number), "image/webp")


@require_safe
@_SEE
def evidence(request, pk: int, number: int, place: int):
    """A good patch that a region was compared with."""
    return _drawn(
        request,
        pk,
        f"evidence-{number}-{place}",
        lambda row: patch_picture(row, number, place),
        "image/webp",
    )


@require_safe
@needs("vision.view_inspectorpicture", "see the pictures of inspectors")
def inspector_picture(request, pk: int, size: str):
    """A picture that an inspector learns from, or is judged by."""
    return file_serve(
        request, get_object_or_404(InspectorPicture.objects.select_related("file"), pk=pk).file, size
    )


def _inspection(pk: int) -> Inspection:
    return get_object_or_404(Inspection.objects.select_related("file", "version__inspector"), pk=pk)


def _drawn(request, pk: int, what: str, draw, mime: str) -> HttpResponse:
    row = _inspection(pk)

    def respond() -> HttpResponse:
        try:
            return HttpResponse(draw(row), content_type=mime)
        except (FileNotFoundError, GoodPictureError, NoEvidence) as error:
            raise Http404(str(error)) from error

    return unchanging_serve(request, f"inspection-{row.pk}-{what}", respond)
