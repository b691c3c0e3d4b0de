"""Celery tasks of vision: each calls one service and may run any number of times."""

import time
from datetime import timedelta

from celery import shared_task
from celery.signals import worker_ready

from cases.models import Case
from cases.services.jobs import job_run, jobs_recover
from cases.storages import StorageAway
from vision.services.adaptation import AdaptationRefused, adaptation_run
from vision.services.classifiers import classifier_fit, classifier_keep
from vision.services.diagnosis import case_process, waiting_cases_enqueue
from vision.services.embedding import (
    failures_forget,
    images_pending,
    pending_embed,
    pending_enqueue,
)
from vision.services.inspection.evaluation import EvaluationRefused, version_evaluate
from vision.services.inspection.pictures import PictureUnreadable
from vision.services.inspection.training import TrainingRefused, inspector_train
from vision.services.inspection.versions import InspectorUnusable
from vision.services.library import library_current
from vision.services.recall_audit import promise_keep, search_audit
from vision.services.snapshots import snapshot_build, snapshot_keep
from vision.services.spaces import (
    SpaceRefused,
    settings_follow,
    settings_follow_enqueue,
    sight_warm_up,
    space_build_step,
)

#: New cases younger than this are probably still in the queue.
_PATIENCE = timedelta(seconds=30)


@shared_task(throws=(StorageAway,))
def process_case(case_id: int, enqueued_at: float) -> int | None:
    """Embed and diagnose a case that somebody waits for; while its storage is away, the sweep repeats it."""
    case = Case.objects.filter(pk=case_id).first()
    if case is None:
        return None
    diagnosis = case_process(case, queued_ms=max(0.0, time.time() - enqueued_at) * 1000)
    return diagnosis and diagnosis.pk


@shared_task(throws=(StorageAway,))
def embed_pending() -> None:
    """Embed a batch of imported images, and queue the next one while there is more."""
    if pending_embed():
        pending_enqueue()
    else:
        # Now the library is whole: cases that came in with it get their answers from all of it, and from a
        # classifier that knows it.
        library = library_current()
        library.refresh()
        if not classifier_keep(library):
            waiting_cases_enqueue()


@shared_task
def fit_classifier() -> None:
    """Fit the classifier to the library of this moment; cases that waited for that get their answers."""
    library = library_current()
    classifier_fit(library)
    if not images_pending(library.space).exists():
        waiting_cases_enqueue()


@shared_task
def warm_up() -> None:
    """Load the network and the library before the first person waits for them."""
    sight_warm_up()


@shared_task(throws=(AdaptationRefused, StorageAway))
def adapt(job_id: int) -> None:
    """Tune the embedding to the labels; not on the queue of the pictures, which would wait for it."""
    with job_run(job_id) as progress:
        if progress is not None:
            adaptation_run(progress)


@shared_task(throws=(SpaceRefused, StorageAway))
def build_space(job_id: int) -> None:
    """Build a part of an embedding space, and queue the next one while there is more."""
    with job_run(job_id) as progress:
        if progress is not None:
            space_build_step(progress)


@shared_task(throws=(SpaceRefused,))
def follow_settings(job_id: int) -> None:
    """Load the network that the settings ask for, and have its space built."""
    with job_run(job_id) as progress:
        if progress is not None:
            settings_follow(progress)


@shared_task
def build_snapshot(job_id: int) -> None:
    """Write a snapshot of the library, so that no process has to load it from the database."""
    with job_run(job_id) as progress:
        if progress is not None:
            snapshot_build(progress)


@shared_task(throws=(TrainingRefused, PictureUnreadable, StorageAway))
def train_inspector(job_id: int) -> None:
    """Train a new version of an inspector from the pictures of good parts."""
    with job_run(job_id) as progress:
        if progress is not None:
            inspector_train(progress)


@shared_task(throws=(EvaluationRefused, InspectorUnusable, StorageAway))
def evaluate_inspector(job_id: int) -> None:
    """Inspect the test pictures of an inspector and measure how well a version tells them apart."""
    with job_run(job_id) as progress:
        if progress is not None:
            version_evaluate(progress)


@shared_task
def audit_search(packed: str) -> None:
    """Repeat a search exactly, to see what the approximate one missed."""
    search_audit(library_current(), packed)


@shared_task
def sweep() -> None:
    """Take up what a crash left behind: images without vectors, cases without diagnosis, silent jobs.

    And have the classifier fitted after labels that no page told of, such as those of a bulk update.
    """
    jobs_recover()
    failures_forget()
    settings_follow_enqueue()
    pending_enqueue()
    waiting_cases_enqueue(_PATIENCE)
    library = library_current()
    classifier_keep(library)
    snapshot_keep(library.space)
    promise_keep(library.space)


@worker_ready.connect
def sweep_at_start(**kwargs):
    """A worker that comes back gets ready and looks at once for what its predecessor left."""
    warm_up.delay()
    sweep.delay()
