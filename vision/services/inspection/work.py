"""Long work on an inspector: what is under way, and what failed last."""

from django.db.models import Q

from cases.models import Job
from vision.models import Inspector
from vision.services.inspection.evaluation import EVALUATE_KIND
from vision.services.inspection.training import TRAIN_KIND


def _jobs(inspector: Inspector):
    versions = list(inspector.versions.values_list("pk", flat=True))
    return Job.objects.filter(
        Q(kind=TRAIN_KIND, parameters__inspector=inspector.pk)
        | Q(kind=EVALUATE_KIND, parameters__version__in=versions)
    ).select_related("created_by")


def inspector_work(inspector: Inspector) -> list[Job]:
    """Trainings and evaluations that are queued or under way, each with `title`."""
    jobs = list(_jobs(inspector).filter(state__in=[Job.State.QUEUED, Job.State.RUNNING]).order_by("pk"))
    for job in jobs:
        job.title = job_title(job)
    return jobs


def inspector_failed(inspector: Inspector) -> Job | None:
    """The newest training or evaluation when it failed, with `title`: nothing came after it."""
    job = _jobs(inspector).filter(state__in=[Job.State.DONE, Job.State.FAILED]).order_by("-pk").first()
    if job is None or job.state != Job.State.FAILED:
        return None
    job.title = job_title(job)
    return job


def job_title(job: Job) -> str:
    return "Training" if job.kind == TRAIN_KIND else "Evaluation"
