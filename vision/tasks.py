"""Celery tasks of vision: each calls one service and may run any number of times."""

import time
from datetime import timedelta

from celery import shared_task
from celery.signals import worker_ready

from cases.models import Case
from cases.services.jobs import jobs_recover
from vision.services.classifiers import classifier_fit, classifier_keep
from vision.services.diagnosis import case_process, waiting_cases_enqueue
from vision.services.embedding import failures_forget, pending_embed, pending_enqueue
from vision.services.library import library_current

#: New cases younger than this are probably still in the queue.
_PATIENCE = timedelta(seconds=30)


@shared_task
def process_case(case_id: int, enqueued_at: float) -> int | None:
    """Embed and diagnose a case that somebody waits for."""
    case = Case.objects.filter(pk=case_id).first()
    if case is None:
        return None
    diagnosis = case_process(case, queued_ms=max(0.0, time.time() - enqueued_at) * 1000)
    return diagnosis and diagnosis.pk


@shared_task
def embed_pending() -> None:
    """Embed a batch of imported images, and queue the next one while there is more."""
    if pending_embed():
        pending_enqueue()
    else:
        # Now the library is whole: cases that came in with it get their answers from all of it.
        library = library_current()
        library.refresh()
        classifier_keep(library)
        waiting_cases_enqueue()


@shared_task
def fit_classifier() -> None:
    """Fit the classifier to the library of this moment."""
    classifier_fit(library_current())


@shared_task
def warm_up() -> None:
    """Load the network and the library before the first person waits for them."""
    library_current().refresh()


@shared_task
def sweep() -> None:
    """Take up what a crash left behind: images without vectors, cases without diagnosis, silent jobs.

    And have the classifier fitted after labels that no page told of, such as those of a bulk update.
    """
    jobs_recover()
    failures_forget()
    pending_enqueue()
    waiting_cases_enqueue(_PATIENCE)
    classifier_keep(library_current())


@worker_ready.connect
def sweep_at_start(**kwargs):
    """A worker that comes back gets ready and looks at once for what its predecessor left."""
    warm_up.delay()
    sweep.delay()
