"""The pictures of an inspector: good ones to learn from, and test pictures; adding and taking away."""

from pathlib import PurePath

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from cases.services.intake import Picture, image_limits
from cases.storages import StorageAway
from cases.views.access import needs
from vision.engine.images import ACCEPTED, ACCEPTED_MIME_TYPES, display_name
from vision.models import Inspector, InspectorPicture
from vision.services.inspection.pictures import inspector_picture_add, inspector_picture_remove

A_PAGE = 48
_DEFECT_LENGTH = InspectorPicture._meta.get_field("defect").max_length
Purpose = InspectorPicture.Purpose


@require_http_methods(["GET", "HEAD", "POST"])
@needs("vision.view_inspectorpicture", "see the pictures of inspectors")
def inspector_pictures(request, pk: int, purpose: str):
    """The gallery; pictures that are sent to it are added, and a script gets a line for each."""
    if purpose not in Purpose.values:
        raise Http404(f"An inspector has no pictures of the kind {purpose}.")
    inspector = get_object_or_404(Inspector, pk=pk)
    if request.method == "POST":
        return _add(request, inspector, purpose)
    return _page(request, inspector, purpose)


@needs("vision.add_inspectorpicture", "give pictures to inspectors")
def _add(request, inspector: Inspector, purpose: str):
    defect = " ".join(request.POST.get("defect", "").replace("\x00", "").split())
    pictures = [Picture(upload.name, upload.read()) for upload in request.FILES.getlist("images")]
    masks = [Picture(upload.name, upload.read()) for upload in request.FILES.getlist("masks")]
    lines = []
    if not pictures:
        lines.append({"problem": "No picture was sent: choose one or more."})
    elif len(defect) > _DEFECT_LENGTH:
        lines.append(
            {"problem": f"The defect type may have {_DEFECT_LENGTH} characters at most: shorten it."}
        )
    else:
        lines += [
            _line(inspector, picture, purpose, defect, pictures, masks, request.user) for picture in pictures
        ]
        of_none = masks_of_none(pictures, masks)
        lines += [{"name": display_name(mask.name), "problem": _unused(mask)} for mask in of_none]
    failed = [line for line in lines if line.get("problem")]
    if request.htmx:
        # As for htmx, a refusal comes as an answer that succeeds.
        return render(request, "vision/inspection/added_lines.html", {"lines": lines})
    added = sum(1 for line in lines if line.get("is_new"))
    if added:
        messages.success(request, f"{added} picture{'s' if added > 1 else ''} added.")
    known = sum(1 for line in lines if not line.get("is_new") and not line.get("problem"))
    if known:
        messages.info(request, f"{known} of them {'were' if known > 1 else 'was'} there already.")
    if failed:
        return _page(request, inspector, purpose, status=422, lines=failed, defect=defect)
    return redirect("inspector-pictures", pk=inspector.pk, purpose=purpose)


def _line(inspector, picture, purpose, defect, pictures, masks, user) -> dict:
    """What became of one picture: name, is_new, or problem as a sentence."""
    line = {"name": display_name(picture.name)}
    try:
        row, line["is_new"] = inspector_picture_add(
            inspector,
            picture,
            purpose=purpose,
            defect=defect,
            mask=mask_of(picture, pictures, masks),
            user=user,
        )
    except ValidationError as error:
        return line | {"problem": " ".join(error.messages)}
    except StorageAway as error:
        return line | {"problem": str(error)}
    if not line["is_new"] and (row.purpose, row.defect) != (purpose, defect):
        kept = (
            "a good one to learn from"
            if row.purpose == Purpose.FIT
            else f"a test picture, {row.defect or 'good'}"
        )
        return line | {
            "problem": f"{line['name']} is there already as {kept}. It stays so: take it away first to change"
            " that."
        }
    return line


def mask_of(picture: Picture, pictures: list[Picture], masks: list[Picture]) -> Picture | None:
    """The mask of a picture: of its name, or its name with _mask. A single one is a single picture's."""
    if len(pictures) == len(masks) == 1:
        return masks[0]
    stem = PurePath(picture.name).stem.casefold()
    return next(
        (mask for mask in masks if PurePath(mask.name).stem.casefold() in (stem, f"{stem}_mask")), None
    )


def masks_of_none(pictures: list[Picture], masks: list[Picture]) -> list[Picture]:
    used = [mask_of(picture, pictures, masks) for picture in pictures]
    return [mask for mask in masks if not any(mask is other for other in used)]


def _unused(mask: Picture) -> str:
    return (
        f"The mask {display_name(mask.name)} belongs to none of the pictures. Call it as its picture, or with"
        " _mask behind the name, and send both together."
    )


@require_POST
@needs("vision.delete_inspectorpicture", "take pictures away from inspectors")
def inspector_picture_away(request, pk: int):
    row = get_object_or_404(InspectorPicture.objects.select_related("inspector"), pk=pk)
    address = reverse("inspector-pictures", args=[row.inspector_id, row.purpose])
    messages.success(
        request, f"{inspector_picture_remove(row)} is taken away. The next training is without it."
    )
    page = request.POST.get("page", "")
    return redirect(f"{address}?page={page}" if page.isdecimal() else address)


def _page(request, inspector, purpose, status=200, **extra):
    rows = inspector.pictures.filter(purpose=purpose).select_related("file").order_by("-id")
    limits = image_limits()
    defects = inspector.pictures.tested().exclude(defect="").values_list("defect", flat=True)
    context = {
        "inspector": inspector,
        "purpose": purpose,
        "page": Paginator(rows, A_PAGE).get_page(request.GET.get("page")),
        "defects": sorted(set(defects)),
        "defect_length": _DEFECT_LENGTH,
        "max_bytes": limits.max_bytes,
        "max_mib": limits.max_bytes // (1024 * 1024),
        "accepted": ACCEPTED,
        "accept": ",".join(ACCEPTED_MIME_TYPES),
        **extra,
    }
    return render(request, "vision/inspection/inspector_pictures.html", context, status=status)
