"""The library searched by picture: by one that is not stored, or by a picture of a case; whole or in part."""

from base64 import b64encode

from django.core.exceptions import ValidationError
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_safe

from cases.models import CaseImage
from cases.services.intake import Picture, image_limits
from cases.views.access import needs
from cases.views.options import datalists
from vision.engine.images import ACCEPTED, ACCEPTED_MIME_TYPES, render_preview
from vision.engine.regions import MIN_SIDE, Region
from vision.services.search import SearchResult, pictures_search, region_search
from vision.views.search_forms import PictureSearchForm, RegionForm

#: Past cases shown.
SHOWN = 20
#: Longer side of the pictures that come with an answer, in pixels.
_SEEN = 960


@require_http_methods(["GET", "HEAD", "POST"])
@needs("cases.view_case", "see cases")
def picture_search(request):
    """The page for pictures that are not stored; a script gets the answer alone."""
    form = PictureSearchForm(request.POST if request.method == "POST" else None)
    context, status = {"form": form}, 200
    if request.method == "POST":
        pictures = [Picture(upload.name, upload.read()) for upload in request.FILES.getlist("images")]
        answer = _answer(
            form, lambda region: pictures_search(pictures, region=region, top_k=SHOWN, filters=form.filters())
        )
        context |= answer
        if request.htmx:
            # htmx swaps only answers that succeed: a refusal comes as one, too.
            return render(request, "vision/found.html", context)
        status = 422 if "problems" in answer else 200
    limits = image_limits()
    context |= {
        "limits": limits,
        "max_mib": limits.max_bytes // (1024 * 1024),
        "least": MIN_SIDE,
        "accepted": ACCEPTED,
        "accept": ",".join(ACCEPTED_MIME_TYPES),
        **datalists("part", "customer", "category"),
    }
    return render(request, "vision/picture_search.html", context, status=status)


@require_safe
@needs("cases.view_case", "see cases")
def image_similar(request, pk: int):
    """What looks like a picture of a case, or like a region of it."""
    images = CaseImage.objects.visible_to(request.user).select_related("file", "case")
    image = get_object_or_404(images, pk=pk)
    form = RegionForm(request.GET)
    answer = _answer(form, lambda region: region_search(image, region, top_k=SHOWN))
    context = {
        "form": form,
        "image": image,
        "case": image.case,
        "others": images.filter(case=image.case).exclude(pk=pk),
        "least": MIN_SIDE,
        **answer,
    }
    return render(request, "vision/image_similar.html", context, status=422 if "problems" in answer else 200)


def _answer(form, search) -> dict:
    """What the template shows of an answer: similar cases and what was seen, or why there is none."""
    try:
        if not form.is_valid():
            raise ValidationError([sentence for some in form.errors.values() for sentence in some])
        region: Region = form.cleaned_data["region"]
        result: SearchResult = search(region)
    except ValidationError as error:
        return {"problems": error.messages}
    return {
        "result": result,
        "region": None if region.is_whole else region,
        "seen": [_data_url(render_preview(picture, _SEEN)) for picture in result.seen],
    }


def _data_url(webp: bytes) -> str:
    return f"data:image/webp;base64,{b64encode(webp).decode()}"
