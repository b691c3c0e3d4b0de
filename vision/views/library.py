"""The state of the similarity library and of long work."""

from django.conf import settings
from django.db.models import Count
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cases.models import CaseImage, FaultCategory, Job
from cases.views.access import needs
from vision.models import ClassifierVersion, Embedding, EmbeddingFailure, EmbeddingSpace
from vision.selectors import index_state
from vision.services.adaptation import adaptation_state
from vision.services.snapshots import snapshots_quarantined
from vision.services.spaces import settings_note

JOBS_SHOWN = 10
VERSIONS_SHOWN = 5
_FIGURES = {
    "map_at_r": "mAP@R",
    "precision_at_5": "Precision@5",
    "top1": "Top-1",
    "unknown_auroc": "AUROC of unknown faults",
}


@require_safe
@needs("cases.view_case", "see the library")
def library_status(request):
    return render(request, "vision/library.html", _figures() | _jobs() | _adaptation())


@require_safe
@needs("cases.view_case", "see the library")
def library_progress(request):
    """The part of the page that changes while work is going on."""
    return render(request, "vision/library_progress.html", _figures() | _jobs() | _adaptation())


def _figures():
    space = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE).first()
    diagnostic = CaseImage.objects.diagnostic()
    categories = list(
        FaultCategory.objects.annotate(
            images=Count("labelled_images"), case_count=Count("labelled_images__case", distinct=True)
        )
        .filter(images__gt=0)
        .order_by("-images")
    )
    return {
        "space": space,
        "images": diagnostic.count(),
        "embedded": Embedding.objects.filter(space=space).count() if space else 0,
        "failed": EmbeddingFailure.objects.filter(space=space).count() if space else 0,
        "labelled": diagnostic.labelled().count(),
        "categories": categories,
        "largest": max((category.images for category in categories), default=0),
        "few": settings.CONFIDENT_CASES,
        **_classifiers(space),
        "index": space and index_state(space),
        "quarantined": [folder.name for folder in snapshots_quarantined(space)] if space else [],
    }


def _classifiers(space):
    """The classifier that serves, and the newest that were refused."""
    versions = ClassifierVersion.objects.filter(space=space).defer("arrays", "parameters")
    return {
        "classifier": versions.filter(state=ClassifierVersion.State.ACTIVE).first(),
        "refused": list(versions.filter(state=ClassifierVersion.State.REFUSED)[:VERSIONS_SHOWN]),
    }


def _jobs():
    jobs = list(Job.objects.select_related("created_by")[:JOBS_SHOWN])
    return {"jobs": jobs, "working": any(not job.is_over for job in jobs)}


def _adaptation():
    state = adaptation_state()
    attempt = state["attempts"][0] if state["attempts"] else None
    return {**state, "attempt": attempt, "figures": _rows(attempt), "space_note": settings_note()}


def _rows(attempt):
    """Title, before and after of each figure that an attempt measured."""
    if attempt is None:
        return []
    before, after = attempt.measures["before"], attempt.measures["after"]
    return [(title, before[name], after[name]) for name, title in _FIGURES.items() if name in before]
