"""Starting an adaptation, and taking it back."""

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from cases.views.access import needs
from vision.services.adaptation import AdaptationRefused, adaptation_start, adaptation_undo

_PURPOSE = "tune the embedding"


@require_POST
@needs("vision.add_adaptation", _PURPOSE)
def adaptation_begin(request):
    return _answer(
        request,
        lambda: adaptation_start(request.user, network=request.POST.get("network") == "1"),
        "The adaptation goes on in the background.",
    )


@require_POST
@needs("vision.add_adaptation", _PURPOSE)
def adaptation_take_back(request):
    return _answer(
        request, lambda: adaptation_undo(request.user), "The space before is being completed, then it serves."
    )


def _answer(request, start, success):
    try:
        job = start()
    except AdaptationRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"Job {job.pk} is queued. {success}")
    return redirect("library-status")
