"""The console: choose the part, drop its pictures, read the verdicts."""

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import Count, OuterRef, Q, Subquery
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from cases.services.intake import Picture, image_limits
from cases.storages import StorageAway
from cases.views.access import needs
from vision.engine.backbones import WeightsError
from vision.engine.images import ACCEPTED, ACCEPTED_MIME_TYPES, display_name
from vision.models import Inspection, Inspector, InspectorVersion
from vision.services.inspection.good_pictures import GoodPictureError
from vision.services.inspection.inspecting import pictures_inspect
from vision.services.inspection.inspectors import inspector_find
from vision.services.inspection.versions import InspectorUnusable

#: The session remembers the inspector of a person's last pictures under this key.
_LAST = "inspection-inspector"
_SERIAL_LENGTH = Inspection._meta.get_field("serial_number").max_length


@dataclass(frozen=True)
class Outcome:
    """What became of one uploaded picture: an inspection, or a sentence why there is none."""

    name: str
    inspection: Inspection | None = None
    problem: str = ""


@require_http_methods(["GET", "HEAD", "POST"])
@needs("vision.view_inspector", "see inspectors")
def console(request):
    """The page; the part of it that names the inspector for a script; results for pictures that are sent."""
    if request.method == "POST":
        return _inspect(request)
    context = _chosen(request)
    if request.htmx:
        return render(request, "vision/inspection/console_part.html", context)
    return _page(request, context)


@needs("vision.add_inspection", "inspect pictures")
def _inspect(request):
    context, outcomes = _chosen(request, request.POST), []
    serial = request.POST.get("serial_number", "").strip()
    problem = context["problem"] or _serial_problem(serial)
    if not context["inspector"] and not problem:
        problem = (
            "Choose the part first: scan its code, or take it from the list. Then send the pictures again."
        )
    uploads = request.FILES.getlist("images")
    if not uploads and not problem:
        problem = "No picture was sent: choose one or more."
    for upload in [] if problem else uploads:
        outcomes.append(_outcome(context["inspector"], upload, serial, request.user))
    if request.htmx:
        shown = outcomes or [Outcome(display_name(upload.name), problem=problem) for upload in uploads]
        # As for htmx, a refusal comes as an answer that succeeds.
        context = {"outcomes": shown or [Outcome("", problem=problem)]}
        return render(request, "vision/inspection/console_results.html", context)
    failed = bool(problem) or any(outcome.problem for outcome in outcomes)
    context |= {"outcomes": outcomes, "problem": problem, "serial_number": serial if problem else ""}
    return _page(request, context, status=422 if failed else 200)


def _outcome(inspector: Inspector, upload, serial: str, user) -> Outcome:
    picture = Picture(upload.name, upload.read())
    try:
        (row,) = pictures_inspect(inspector, [picture], serial_number=serial, user=user)
    except ValidationError as error:
        return Outcome(display_name(upload.name), problem=" ".join(error.messages))
    except (GoodPictureError, InspectorUnusable, StorageAway, WeightsError) as error:
        return Outcome(display_name(upload.name), problem=str(error))
    return Outcome(row.name, row)


def _serial_problem(serial: str) -> str:
    if len(serial) > _SERIAL_LENGTH:
        return (
            f"The serial number has {len(serial)} characters, and {_SERIAL_LENGTH} is the most: shorten it."
        )
    try:
        ProhibitNullCharactersValidator()(serial)
    except ValidationError as error:
        return " ".join(error.messages)
    return ""


def _chosen(request, parameters=None) -> dict:
    """The inspector that was named, else the one of the last time; and why there is none.

    A code that nobody knows chooses nothing: the pictures that follow are of some other part.
    """
    parameters = request.GET if parameters is None else parameters
    text = parameters.get("part", "").replace("\x00", "").strip()
    problem, inspector = "", None
    if text:
        inspector = inspector_find(text)
        if inspector is None:
            problem = (
                f"No inspector is known by “{text[:80]}”, or several are."
                " Scan again, or choose one from the list."
            )
    elif "part" not in parameters:
        inspector = Inspector.objects.filter(pk=request.session.get(_LAST)).first()
    if inspector and request.session.get(_LAST) != inspector.pk:
        request.session[_LAST] = inspector.pk
    inspectors = inspectors_with_state()
    chosen = next((one for one in inspectors if inspector and one.pk == inspector.pk), None)
    return {"inspector": chosen, "inspectors": inspectors, "problem": problem}


def inspectors_with_state():
    """All inspectors, each with `active` (number of the version that serves), its threshold, and counts."""
    active = InspectorVersion.objects.filter(inspector=OuterRef("pk"), state=InspectorVersion.State.ACTIVE)
    return list(
        Inspector.objects.select_related("part").annotate(
            active=Subquery(active.values("number")),
            threshold=Subquery(active.values("threshold")),
            good_count=Count("pictures", filter=Q(pictures__purpose="fit")),
            test_count=Count("pictures", filter=Q(pictures__purpose="test")),
        )
    )


def _page(request, context: dict, status: int = 200):
    limits = image_limits()
    context |= {
        "max_mib": limits.max_bytes // (1024 * 1024),
        "max_bytes": limits.max_bytes,
        "accepted": ACCEPTED,
        "accept": ",".join(ACCEPTED_MIME_TYPES),
        "serial_length": _SERIAL_LENGTH,
    }
    return render(request, "vision/inspection/console.html", context, status=status)
