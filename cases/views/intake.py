"""New cases: from pictures and a few fields to the triage page."""

import uuid

from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from cases.forms import CaseForm
from cases.models import Case, CaseImage
from cases.services.intake import Picture, case_create, image_limits, pictures_check
from cases.services.stopwatch import Stopwatch
from cases.storages import StorageAway
from cases.views.access import needs
from cases.views.options import datalists
from vision.engine.images import ACCEPTED, ACCEPTED_MIME_TYPES

#: How long a form that was sent is remembered, in seconds.
_REMEMBERED = 3600
_STORING = "storing"


@require_http_methods(["GET", "POST"])
@needs("cases.add_case", "create cases")
def case_new(request):
    """The form for a new case; a script sends it asking for JSON, a plain browser for the next page."""
    if request.method == "GET":
        return _page(request, CaseForm(initial={"owner": request.user.pk}))
    if int(request.META.get("CONTENT_LENGTH") or 0) > _most_bytes():
        return _too_large(request)
    form = CaseForm(request.POST)
    pictures = _pictures(request)
    token = _token(request)
    if token and not cache.add(token, _STORING, _REMEMBERED):
        return _sent_before(request, cache.get(token))
    if not form.is_valid():
        return _refuse(request, form, pictures, dict(form.errors), token)
    watch = Stopwatch()
    try:
        _require_pictures(pictures)
        case = case_create(pictures=pictures, user=request.user, watch=watch, **form.cleaned_data)
    except ValidationError as error:
        return _refuse(request, form, pictures, error.message_dict, token)
    except StorageAway as error:
        return _refuse(request, form, pictures, {"__all__": [str(error)]}, token, status=503)
    except BaseException:
        cache.delete(token)
        raise
    if token:
        cache.set(token, case.number, _REMEMBERED)
    response = _go(request, case)
    response["Server-Timing"] = watch.server_timing()
    return response


def _most_bytes() -> int:
    limits = image_limits()
    return limits.max_files * limits.max_bytes + 1024 * 1024


def _too_large(request):
    sentence = (
        f"All pictures together have more than {_most_bytes() // (1024 * 1024)} MiB."
        " Send fewer or smaller ones."
    )
    if _wants_json(request):
        return JsonResponse({"errors": {"images": [sentence]}, "files": []}, status=413)
    return _page(request, CaseForm(), status=413, picture_errors=[sentence])


def _pictures(request) -> list[Picture]:
    roles = request.POST.getlist("role")
    pictures = []
    for place, upload in enumerate(request.FILES.getlist("images")):
        role = roles[place] if place < len(roles) and roles[place] in CaseImage.Role.values else None
        pictures.append(Picture(upload.name, upload.read(), role or CaseImage.Role.CLOSE_UP))
    return pictures


def _require_pictures(pictures):
    if not pictures:
        pictures_check(pictures)


def _token(request) -> str:
    """The cache key of this sending of the form, "" when the form has none."""
    try:
        return f"case-new:{request.user.pk}:{uuid.UUID(request.POST.get('token', ''))}"
    except ValueError:
        return ""


def _sent_before(request, state):
    if state and state != _STORING:
        return _go(request, Case.objects.get(number=state))
    sentence = "This case is being stored already: it will be in the queue in a moment."
    if _wants_json(request):
        return JsonResponse({"errors": {"images": [sentence]}, "files": []}, status=409)
    messages.info(request, sentence)
    return redirect("case-list")


def _go(request, case):
    if _wants_json(request):
        return JsonResponse({"next": case.get_triage_url(), "number": case.number}, status=201)
    return redirect(case.get_triage_url())


def _refuse(request, form, pictures, errors, token, status=422):
    if token:
        cache.delete(token)
    sentences = [_sentence(picture) for picture in pictures]
    if any(sentences):
        errors.pop("images", None)
    if _wants_json(request):
        listed = {name: [str(sentence) for sentence in some] for name, some in errors.items()}
        return JsonResponse({"errors": listed, "files": sentences}, status=status)
    for name, some in errors.items():
        if name in form.fields and name not in form.errors:
            form.add_error(name, some)
    context = {
        "picture_errors": [*errors.get("images", []), *(sentence for sentence in sentences if sentence)],
        "other_errors": errors.get("__all__", []),
    }
    return _page(request, form, status=status, **context)


def _sentence(picture: Picture) -> str:
    """Why this picture is refused, "" when it is not."""
    try:
        pictures_check([picture])
    except ValidationError as error:
        return " ".join(error.messages)
    return ""


def _page(request, form, status=200, **context):
    limits = image_limits()
    context |= {
        "form": form,
        "token": uuid.uuid4(),
        "limits": limits,
        "max_mib": limits.max_bytes // (1024 * 1024),
        "accepted": ACCEPTED,
        "accept": ",".join(ACCEPTED_MIME_TYPES),
        "roles": CaseImage.Role.choices,
        "details_open": any(field.errors for field in form.details) if form.is_bound else False,
        **datalists(),
    }
    return render(request, "cases/case_new.html", context, status=status)


def _wants_json(request) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")
