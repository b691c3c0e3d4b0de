"""Long work with progress that survives crashes: a Job row, whose kind is the dotted name of its task."""

import logging
import threading
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta

from django.db import Error, connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string

from cases.models import Job
from cases.services.moments import long_ago
from cases.storages import StorageAway

logger = logging.getLogger(__name__)

#: A running job that gave no sign of life for so long has lost its worker.
SILENCE = timedelta(seconds=30)
#: Seconds between the signs of life of a job that has nothing else to report.
SIGN_EVERY = 5


def job_create(kind: str, parameters: dict, *, user=None) -> Job:
    """Create a job and hand it to the task at the dotted path `kind` once the transaction is committed."""
    job = Job.objects.create(kind=kind, parameters=parameters, created_by=user)
    job_enqueue(job)
    return job


def job_enqueue(job: Job) -> None:
    """Give the job to a worker after commit."""
    transaction.on_commit(lambda: import_string(job.kind).delay(job.pk), robust=True)


def jobs_recover() -> int:
    """Queue again what a crash left behind; returns how many jobs that were."""
    lost = Job.objects.filter(
        Q(long_ago("heartbeat_at", SILENCE), state=Job.State.RUNNING)
        | Q(long_ago("created_at", SILENCE), state=Job.State.QUEUED)
    )
    for job in lost:
        job_enqueue(job)
    return len(lost)


#: Called with what is done, the total, and the newest message ("" for the one before).
Tell = Callable[[int, int, str], None]


class JobProgress:
    """The handle with which a task reports on its job; `tell` hears the same."""

    def __init__(self, job: Job, tell: Tell | None = None):
        self.job = job
        self.tell = tell
        self.total = 0
        self.result: dict = {}
        self.again = False

    def pause(self) -> None:
        """Put the job back into the queue once this step is over: others get the worker in between."""
        self.again = True

    def start(self, total: int, message: str = "", done: int = 0) -> None:
        """Set the number of steps, and how many of them were done before."""
        self.total = total
        self._update(total=total, progress=done, message=message)

    def advance(self, progress: int, message: str = "") -> None:
        """Set the number of steps done so far."""
        self._update(progress=progress, **({"message": message[:300]} if message else {}))

    @contextmanager
    def alive(self):
        """Give signs of life around work that reports nothing for long; they end with the process."""
        over = threading.Event()

        def give_signs():
            while not over.wait(SIGN_EVERY):
                try:
                    self._update()
                except Error as error:
                    logger.warning("%s gave no sign of life: %s", self.job, error)
                    connection.close()
            connection.close()

        thread = threading.Thread(target=give_signs, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _update(self, **values):
        if self.tell and "progress" in values:
            self.tell(values["progress"], self.total, values.get("message", ""))
        Job.objects.filter(pk=self.job.pk).update(heartbeat_at=timezone.now(), **values)


@contextmanager
def job_run(job_id: int, tell: Tell | None = None):
    """Claim a job, run the body with its JobProgress, and record how it ended.

    Yields None when another worker holds the job or it is over: the body should then return at once.
    A body that calls `pause` runs again, from the queue, with the progress that it noted.
    An exception ends the job as failed, with its sentence on the row, and is raised again; only while the
    storage of the pictures is away does it go on waiting.
    """
    now = timezone.now()
    claimed = (
        Job.objects.filter(pk=job_id)
        .filter(Q(state=Job.State.QUEUED) | Q(long_ago("heartbeat_at", SILENCE), state=Job.State.RUNNING))
        .update(state=Job.State.RUNNING, started_at=now, heartbeat_at=now, error="")
    )
    if not claimed:
        yield None
        return
    progress = JobProgress(Job.objects.get(pk=job_id), tell)
    try:
        yield progress
    except StorageAway as away:
        # Not the job's fault, and it would fail again at once: jobs_recover queues it in a minute.
        Job.objects.filter(pk=job_id).update(state=Job.State.QUEUED, message=str(away)[:300])
        raise
    except Exception as error:
        Job.objects.filter(pk=job_id).update(
            state=Job.State.FAILED, error=str(error) or type(error).__name__, finished_at=timezone.now()
        )
        raise
    if progress.again:
        Job.objects.filter(pk=job_id).update(state=Job.State.QUEUED, heartbeat_at=timezone.now())
        job_enqueue(progress.job)
        return
    Job.objects.filter(pk=job_id).update(
        state=Job.State.DONE, result=progress.result, finished_at=timezone.now()
    )
