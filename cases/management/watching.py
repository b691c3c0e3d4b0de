"""Commands that watch a job or do its work themselves: the terminal shows its progress."""

import time
from collections.abc import Callable
from typing import TextIO

from django.core.management.base import CommandError
from tqdm import tqdm

from cases.models import Job
from cases.services.jobs import JobProgress, job_run

_LOOK_EVERY = 0.5
#: Seconds after which a job that nobody has taken is spoken of.
_PATIENCE = 20


def job_watch(job: Job, out: TextIO) -> None:
    """Show a progress bar until the job is over, then its message. Raises CommandError when it failed."""
    started = time.monotonic()
    with tqdm(desc=f"Job {job.pk}") as bar:
        while not job.is_over:
            bar.total = job.total or None
            bar.update(job.progress - bar.n)
            if job.started_at is None and time.monotonic() - started > _PATIENCE:
                bar.close()
                raise CommandError(
                    f"Job {job.pk} waits: no worker has taken it yet. Start the server with"
                    " script/server, or look at the library page, where its progress is shown as well."
                )
            time.sleep(_LOOK_EVERY)
            job.refresh_from_db()
        bar.total = job.total
        bar.update(job.progress - bar.n)
    if job.state == Job.State.FAILED:
        raise CommandError(f"Job {job.pk} failed: {job.error}")
    out.write(job.message)


def job_do(job: Job, work: Callable[[JobProgress], object], out: TextIO) -> None:
    """Do the work of a job here, with a progress bar and its message; watch it if a worker has it already.

    A job that was broken off by the keyboard is taken up by a worker, or by whoever asks for it again.
    """
    with tqdm(desc=f"Job {job.pk}") as bar:

        def tell(done: int, total: int, message: str) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if message:
                bar.set_postfix_str(message[:60], refresh=False)

        with job_run(job.pk, tell) as progress:
            if progress is not None:
                work(progress)
        bar.set_postfix_str("", refresh=False)
    job.refresh_from_db()
    if job.is_over:
        out.write(job.message)
    else:
        job_watch(job, out)
