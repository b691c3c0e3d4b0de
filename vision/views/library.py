"""The state of the similarity library and of long work."""

from django.conf import settings
from django.db.models import Count
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cases.models import CaseImage, FaultCategory, Job
from cases.views.access import needs
from vision.models import ClassifierVersion, Embedding, EmbeddingFailure, EmbeddingSpace

JOBS_SHOWN = 10
VERSIONS_SHOWN = 5


@require_safe
@needs("cases.view_case", "see the library")
def library_status(request):
    return render(request, "vision/library.html", _figures() | _jobs())


@require_safe
@needs("cases.view_case", "see the library")
def library_progress(request):
    """The part of the page that changes while work is going on."""
    return render(request, "vision/library_progress.html", _figures() | _jobs())


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
