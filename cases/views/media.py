"""Pictures, for people who may see the case or the category that they belong to."""

from collections.abc import Callable

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from cases.models import CaseImage, CategoryExample, ImageFile
from cases.services.previews import SIZES, preview_open


@require_safe
@login_required
def image(request, pk: int, size: str):
    """A picture of a case, in one of SIZES or as its original."""
    found = get_object_or_404(CaseImage.objects.visible_to(request.user).select_related("file"), pk=pk)
    return file_serve(request, found.file, size)


@require_safe
@login_required
def example(request, pk: int, size: str):
    """An example picture of the fault catalogue."""
    if not request.user.has_perm("cases.view_faultcategory"):
        raise Http404
    found = get_object_or_404(CategoryExample.objects.select_related("file"), pk=pk)
    return file_serve(request, found.file, size)


def file_serve(request, image_file: ImageFile, size: str) -> HttpResponse:
    """An original, or what was drawn from it in one of SIZES. Who may see it is the caller's business."""
    return unchanging_serve(request, f"{image_file.sha256}-{size}", lambda: _open(image_file, size))


def unchanging_serve(request, key: str, respond: Callable[[], HttpResponse]) -> HttpResponse:
    """A picture that never changes behind its address; `key` tells it from all others."""
    etag = f'"{key}"'
    response = get_conditional_response(request, etag=etag)
    if response is None:
        response = respond()
    response["ETag"] = etag
    # The content behind an address never changes; other people's caches must not keep it.
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _open(image_file: ImageFile, size: str) -> FileResponse:
    name = image_file.sha256[:16]
    try:
        if size in SIZES:
            file = preview_open(image_file, size)
            return FileResponse(file, filename=f"{name}-{size}.webp", content_type="image/webp")
        file = image_file.original.open("rb")
    except FileNotFoundError as error:
        raise Http404(f"The original of picture {name} is missing.") from error
    return FileResponse(file, filename=f"{name}.{image_file.extension}", content_type=image_file.mime)
